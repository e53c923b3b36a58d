//! Each node reaches all buses but one, and not all the same: no bus carries everything.

use super::{Breakage, Kind, Lasting};
use crate::cluster::{Ability, Cluster};
use anyhow::{Result, ensure};
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "split redis",
    effect: "of several Redis each node is cut off from one, and not all from the same (takes root and iptables)",
    needs: Some(Ability::Cut),
    table: &[("split redis", 5)],
    chances: |setup| if setup.buses > 1 { vec!["split redis".into()] } else { Vec::new() },
    read: |_| Ok(Arc::new(Split)),
};

struct Split;

/// Each node with the bus that it loses.
fn losses(cluster: &dyn Cluster) -> Result<Vec<(String, String)>> {
    let (redises, others): (Vec<_>, Vec<_>) =
        cluster.machines().into_iter().partition(|machine| machine.starts_with("redis"));
    ensure!(redises.len() > 1, "one redis alone cannot be split");
    let nodes = others.into_iter().filter(|machine| machine.starts_with("node-"));
    Ok(nodes.enumerate().map(|(place, node)| (node, redises[place % redises.len()].clone())).collect())
}

#[async_trait]
impl Breakage for Split {
    fn takes(&self) -> &'static [&'static str] {
        &["redis-2"]
    }

    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        for (node, redis) in losses(cluster)? {
            cluster.cut_both_ways(&node, &redis).await?;
        }
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        for (node, redis) in losses(cluster)? {
            cluster.mend_both_ways(&node, &redis).await?;
        }
        Ok(())
    }
}
