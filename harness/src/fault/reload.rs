//! nginx reads its configuration again: new workers take new connections, the old ones keep theirs until they end.

use crate::containers::parts::{NGINX_CONFIG, nginx_config};
use crate::containers::topology::Topology;
use anyhow::Result;

pub(super) async fn inflict(topology: &Topology) -> Result<()> {
    let nodes: Vec<_> = topology.nodes().iter().map(|node| node.address).collect();
    let config = nginx_config(&nodes)?;
    topology.nginx.put(&[(NGINX_CONFIG.to_owned(), config.into_bytes())]).await?;
    topology.nginx.signal("SIGHUP").await
}
