//! A machine is asked to end, as by an operator or a deployment, and has ended when the fault is there.

use super::{Heal, kill};
use crate::containers::topology::Topology;
use anyhow::Result;
use std::time::Duration;

/// Longer than any drain: a node that takes more has not drained but hangs.
const END_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn inflict(topology: &Topology, role: &str) -> Result<Heal> {
    end(topology, role).await?;
    let role = role.to_owned();
    Ok(Box::new(move |topology| Box::pin(async move { kill::start(&topology, &role).await })))
}

/// Asks a machine to end and waits until it has.
pub(super) async fn end(topology: &Topology, role: &str) -> Result<()> {
    let machine = topology.machine(role)?;
    machine.signal("SIGTERM").await?;
    machine.ended(END_WITHIN).await.map(|_| ())
}
