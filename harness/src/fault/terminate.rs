//! A machine is asked to end, as by an operator or a deployment, and has ended when the fault is there.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "term MACHINE",
    effect: "is asked to end, and given the time for it; heals by starting again",
    needs: None,
    table: &[("term node-1", 2)],
    chances: |setup| chances::on_nodes("term", setup),
    read: |words| Ok(Arc::new(Terminate { machine: words[0].into() })),
};

struct Terminate {
    machine: String,
}

#[async_trait]
impl Breakage for Terminate {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.terminate(&self.machine).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.start(&self.machine).await?;
        cluster.ready(&self.machine).await
    }
}
