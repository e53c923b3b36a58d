//! A machine's network cable is out: it loses its interface, and with it what it had open. It comes back at the same
//! address.

use super::Heal;
use crate::containers::topology::Topology;
use anyhow::Result;

pub(super) async fn inflict(topology: &Topology, role: &str) -> Result<Heal> {
    topology.machine(role)?.disconnect().await?;
    let role = role.to_owned();
    Ok(Box::new(move |topology| {
        Box::pin(async move {
            let machine = topology.machine(&role)?;
            machine.reconnect().await?;
            topology.ready(machine).await
        })
    }))
}
