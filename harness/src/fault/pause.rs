//! A machine stands still: its connections stay open and its kernel acknowledges what arrives, but nothing is answered.
//! As with a long garbage collection, a hung disk or a suspended virtual machine.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "pause MACHINE",
    effect: "stands still with its connections open",
    needs: None,
    // Longer than a node's lease.
    table: &[
        ("pause node-2", 12),
        ("pause redis", 5),
        ("pause database", 5),
        ("pause database-1", 5),
        ("pause database-2", 5),
    ],
    chances: |setup| chances::on_machines("pause", setup),
    read: |words| Ok(Arc::new(Pause { machine: words[0].into() })),
};

struct Pause {
    machine: String,
}

#[async_trait]
impl Breakage for Pause {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.pause(&self.machine).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.resume(&self.machine).await
    }
}
