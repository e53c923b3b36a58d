//! A machine ends at once, as in a power failure: nothing is flushed and nobody is told. Its peers get resets for what
//! they send on, unlike with a pause or a cut. Redis comes back empty.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "kill MACHINE",
    effect: "ends at once, as in a power failure; heals by starting again",
    needs: None,
    table: &[
        ("kill node-1", 5),
        ("kill redis", 5),
        ("kill database", 5),
        ("kill nginx", 2),
        ("kill database-1", 5),
        ("kill database-3", 5),
        ("kill redis-1", 5),
    ],
    chances: |setup| chances::on_machines("kill", setup),
    read: |words| Ok(Arc::new(Kill { machine: words[0].into() })),
};

struct Kill {
    machine: String,
}

#[async_trait]
impl Breakage for Kill {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.kill(&self.machine).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.start(&self.machine).await?;
        cluster.ready(&self.machine).await
    }
}
