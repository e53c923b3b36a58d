//! The link between a node and the database or Redis is in trouble: slow, thin, silent, or broken off. Unlike with a
//! cut, TCP itself finds nothing wrong.
//!
//! It takes a cluster whose nodes reach both through relays, and works from any process: see [`links`].

use super::{Fault, Heal};
use crate::containers::topology::Topology;
use crate::link;
use anyhow::Result;
use tokio::task::spawn_blocking;

pub(super) async fn inflict(topology: &Topology, fault: &Fault, one: &str, other: &str) -> Result<Heal> {
    // Where there is no such machine, the error names those there are.
    topology.machine(one)?;
    topology.machine(other)?;
    let (cluster, fault) = (topology.name().to_owned(), fault.clone());
    let held = spawn_blocking(move || link::ask(&cluster, &fault)).await??;
    Ok(Box::new(move |_| Box::pin(async move { spawn_blocking(move || held.release()).await? })))
}
