//! A machine ends at once, as in a power failure: nothing is flushed and nobody is told. Its peers get resets for what
//! they send on, unlike with a pause or a cut.

use super::Heal;
use crate::containers::topology::Topology;
use anyhow::Result;

pub(super) async fn inflict(topology: &Topology, role: &str) -> Result<Heal> {
    topology.machine(role)?.kill().await?;
    let role = role.to_owned();
    Ok(Box::new(move |topology| Box::pin(async move { start(&topology, &role).await })))
}

/// Switches a machine on and waits until it does its work.
pub(super) async fn start(topology: &Topology, role: &str) -> Result<()> {
    let machine = topology.machine(role)?;
    machine.start().await?;
    topology.ready(machine).await
}
