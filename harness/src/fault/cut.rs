//! Packets between two machines are lost, both ways or one way: a broken switch, a wrong firewall rule. Nobody is told,
//! and what is in flight is sent again and again until somebody's patience ends.
//!
//! It is a packet filter rule in the receiver's network namespace, so that everything else there goes on. That takes
//! root on the machine of the engine, with nsenter and iptables.

use super::Heal;
use crate::containers::machine::Machine;
use crate::containers::topology::Topology;
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use tokio::process::Command;

/// Which packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those from the one to the other only.
    Forth,
    Both,
}

pub(super) async fn inflict(topology: &Topology, one: &str, direction: Direction, other: &str) -> Result<Heal> {
    for (sender, receiver) in lost(topology, one, direction, other)? {
        filter("-I", receiver, sender).await?;
    }
    let (one, other) = (one.to_owned(), other.to_owned());
    Ok(Box::new(move |topology| {
        Box::pin(async move {
            for (sender, receiver) in lost(&topology, &one, direction, &other)? {
                // A machine that ended or started anew meanwhile has no rule any more.
                if receiver.pid().await.is_ok() && filter("-C", receiver, sender).await.is_ok() {
                    filter("-D", receiver, sender).await?;
                }
            }
            Ok(())
        })
    }))
}

/// Whose packets do not arrive where.
fn lost<'a>(
    topology: &'a Topology,
    one: &str,
    direction: Direction,
    other: &str,
) -> Result<Vec<(Ipv4Addr, &'a Machine)>> {
    let (one, other) = (topology.machine(one)?, topology.machine(other)?);
    let forth = (one.address, other);
    Ok(match direction {
        Direction::Forth => vec![forth],
        Direction::Both => vec![forth, (other.address, one)],
    })
}

async fn filter(action: &str, receiver: &Machine, sender: Ipv4Addr) -> Result<()> {
    let (pid, sender) = (receiver.pid().await?.to_string(), sender.to_string());
    let rule = ["iptables", "-w", action, "INPUT", "-s", &sender, "-j", "DROP"];
    let output = Command::new("nsenter").args(["-t", &pid, "-n", "--"]).args(rule).output().await;
    let output = output.context("cannot run nsenter: apt-get install util-linux iptables, and run as root")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cutting networks needs root and iptables; it says: {}", said.trim());
    Ok(())
}
