//! The preferred member of a replicated database takes no more writes, as before maintenance: its connections stay
//! open, and whoever writes over them is refused.

use super::{Breakage, Kind, Lasting, chances, statement};
use crate::cluster::Cluster;
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

/// The first of the list that nodes have.
const PREFERRED: &str = "database-1";

#[async_trait]
impl Breakage for Switchover {
    fn takes(&self) -> &'static [&'static str] {
        &[PREFERRED]
    }

    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        statement::execute(&cluster.administration(PREFERRED)?, "SET GLOBAL read_only = 1").await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        let healed = statement::execute(&cluster.administration(PREFERRED)?, "SET GLOBAL read_only = 0").await;
        healed.context("the preferred member stays read only")
    }
}
