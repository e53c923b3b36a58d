//! Two machines are cut off from all the others, but not from each other, as in a rack whose uplink broke: a node with
//! a member of its database that has lost the majority. Clients still reach the node.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Ability, Cluster};
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "isolate ONE with OTHER",
    effect: "both are cut off from all others, but not from each other (takes root and iptables)",
    needs: Some(Ability::Cut),
    // Longer than a node's lease.
    table: &[("isolate database-1 with node-1", 12)],
    chances: |setup| chances::members(setup).map(|member| format!("isolate {member} with node-1")).collect(),
    read: |words| Ok(Arc::new(IsolateWith { pair: [words[0].into(), words[2].into()] })),
};

struct IsolateWith {
    pair: [String; 2],
}

impl IsolateWith {
    /// Each of the two with each of the others.
    fn links(&self, cluster: &dyn Cluster) -> Vec<(String, String)> {
        let others = cluster.machines().into_iter().filter(|machine| !self.pair.contains(machine));
        others.flat_map(|other| self.pair.clone().map(|one| (one, other.clone()))).collect()
    }
}

#[async_trait]
impl Breakage for IsolateWith {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        for (one, other) in self.links(cluster) {
            cluster.cut_both_ways(&one, &other).await?;
        }
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        for (one, other) in self.links(cluster) {
            cluster.mend_both_ways(&one, &other).await?;
        }
        cluster.ready(&self.pair[0]).await?;
        cluster.ready(&self.pair[1]).await
    }
}
