//! Every node in turn is asked to end and started again, as in a deployment: the next only when the one before answers.

use super::{Breakage, Kind, Lasting};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "rolling-restart",
    effect: "every node in turn is asked to end, and started again; nothing is left to heal",
    needs: None,
    table: &[("rolling-restart", 0)],
    chances: |_| vec!["rolling-restart".into()],
    read: |_| Ok(Arc::new(RollingRestart)),
};

struct RollingRestart;

#[async_trait]
impl Breakage for RollingRestart {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        for node in cluster.machines().iter().filter(|machine| machine.starts_with("node-")) {
            cluster.terminate(node).await?;
            cluster.start(node).await?;
            cluster.ready(node).await?;
        }
        Ok(None)
    }
}
