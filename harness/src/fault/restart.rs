//! A machine ends at once and starts again at the same address. Redis comes back empty, the database recovers.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "restart MACHINE",
    effect: "ends at once and starts again; heals when it is ready",
    needs: None,
    table: &[("restart redis", 0), ("restart database-2", 0)],
    chances: |setup| chances::on_machines("restart", setup),
    read: |words| Ok(Arc::new(Restart { machine: words[0].into() })),
};

struct Restart {
    machine: String,
}

#[async_trait]
impl Breakage for Restart {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.kill(&self.machine).await?;
        cluster.start(&self.machine).await?;
        Ok(None)
    }

    /// Only now: without others that are broken as well it may not get ready.
    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.ready(&self.machine).await
    }
}
