//! A machine ends at once and starts again at the same address. Redis comes back empty, the database recovers.

use super::kill;
use crate::containers::topology::Topology;
use anyhow::Result;

pub(super) async fn inflict(topology: &Topology, role: &str) -> Result<()> {
    topology.machine(role)?.kill().await?;
    kill::start(topology, role).await
}
