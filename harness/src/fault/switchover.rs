//! The preferred member of a replicated database takes no more writes, as before maintenance: its connections stay
//! open, and whoever writes over them is refused. On Galera it is made read-only; in a replication group another
//! becomes the primary.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Cluster, PREFERRED};
use anyhow::{Context, Result};
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "switchover",
    effect: "the database's preferred member takes no more writes, and keeps its connections",
    needs: None,
    table: &[("switchover", 5)],
    chances: |setup| chances::members(setup).take(1).map(|_| "switchover".to_owned()).collect(),
    read: |_| Ok(Arc::new(Switchover)),
};

struct Switchover;

#[async_trait]
impl Breakage for Switchover {
    fn takes(&self) -> &'static [&'static str] {
        &[PREFERRED]
    }

    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.demote().await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.promote().await.context("the preferred member takes no writes")
    }
}
