//! A machine's network cable is out: it loses its interface, and with it what it had open. It comes back at the same
//! address.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Ability, Cluster};
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "isolate MACHINE",
    effect: "has no network at all: its cable is out",
    needs: Some(Ability::Unplug),
    table: &[("isolate node-1", 5), ("isolate database-1", 5)],
    chances: |setup| [chances::on_nodes("isolate", setup), chances::on_members("isolate", setup, "")].concat(),
    read: |words| Ok(Arc::new(Isolate { machine: words[0].into() })),
};

struct Isolate {
    machine: String,
}

#[async_trait]
impl Breakage for Isolate {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.unplug(&self.machine).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.plug(&self.machine).await?;
        cluster.ready(&self.machine).await
    }
}
