//! Packets from one machine to another are lost, those the other way are not: a wrong firewall rule. To the one side
//! the connection looks alive.

use super::{Breakage, Kind, Lasting, chances};
use crate::cluster::{Ability, Cluster};
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "cut-from ONE OTHER",
    effect: "packets from one machine to another are lost",
    needs: Some(Ability::Cut),
    // Clients take 6 s to find out.
    table: &[("cut-from redis node-2", 5), ("cut-from database node-2", 5), ("cut-from node-2 nginx", 8)],
    chances: |setup| {
        let both = |(node, other)| [format!("cut-from {node} {other}"), format!("cut-from {other} {node}")];
        chances::pairs(setup).flat_map(both).collect()
    },
    read: |words| Ok(Arc::new(CutFrom { sender: words[0].into(), receiver: words[1].into() })),
};

struct CutFrom {
    sender: String,
    receiver: String,
}

#[async_trait]
impl Breakage for CutFrom {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.cut(&self.sender, &self.receiver).await?;
        Ok(None)
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<()> {
        cluster.mend(&self.sender, &self.receiver).await
    }
}
