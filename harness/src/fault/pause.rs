//! A machine stands still: its connections stay open and its kernel acknowledges what arrives, but nothing is answered.
//! As with a long garbage collection, a hung disk or a suspended virtual machine.

use super::Heal;
use crate::containers::topology::Topology;
use anyhow::Result;

pub(super) async fn inflict(topology: &Topology, role: &str) -> Result<Heal> {
    topology.machine(role)?.pause().await?;
    let role = role.to_owned();
    Ok(Box::new(move |topology| Box::pin(async move { topology.machine(&role)?.resume().await })))
}
