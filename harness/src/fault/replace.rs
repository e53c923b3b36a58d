//! A member of a replicated database is lost with all that it kept, and another takes its place: it gets everything
//! from one that has it, which is busy with that meanwhile.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "replace MACHINE",
    effect: "a member of the database is lost with its data; heals by starting with none",
    needs: None,
    table: &[("replace database-3", 3)],
    chances: |setup| chances::on_members("replace", setup, ""),
    read: |words| Ok(Arc::new(Replace { machine: words[0].into() })),
};

struct Replace {
    machine: String,
}

#[async_trait]
impl Breakage for Replace {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.kill(&self.machine).await?;
        cluster.forget(&self.machine).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.start(&self.machine).await?;
        cluster.ready(&self.machine).await
    }
}
