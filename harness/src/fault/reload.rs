//! nginx reads its configuration again: new workers take new connections, the old ones keep theirs until they end.

use super::{Breakage, Kind, Lasting};
use crate::cluster::Cluster;
use anyhow::Result;
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    usage: "reload",
    effect: "nginx reads its configuration again; nothing is left to heal",
    needs: None,
    table: &[("reload", 2)],
    chances: |_| vec!["reload".into()],
    read: |_| Ok(Arc::new(Reload)),
};

struct Reload;

#[async_trait]
impl Breakage for Reload {
    async fn inflict(&self, cluster: &dyn Cluster) -> Result<Lasting> {
        cluster.reload().await?;
        Ok(None)
    }
}
