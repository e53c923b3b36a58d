//! Packets between two machines are lost, both ways: a broken switch. Nobody is told, and what is in flight is sent
//! again and again until somebody's patience ends.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Ability, Cluster};
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "cut ONE OTHER",
    effect: "packets between two machines are lost, both ways (takes root and iptables)",
    needs: Some(Ability::Cut),
    // Clients take 6 s to find out.
    table: &[("cut node-1 redis", 5), ("cut node-1 database", 5), ("cut nginx node-1", 8)],
    chances: |setup| chances::pairs(setup).map(|(node, other)| format!("cut {node} {other}")).collect(),
    read: |words| Ok(Arc::new(Cut { one: words[0].into(), other: words[1].into() })),
};

struct Cut {
    one: String,
    other: String,
}

#[async_trait]
impl Breakage for Cut {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.cut_both_ways(&self.one, &self.other).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.mend_both_ways(&self.one, &self.other).await
    }
}
