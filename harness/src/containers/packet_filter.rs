//! Losing packets: a rule in the receiver's network namespace, so that everything else there goes on. That takes root
//! on the machine of the engine, with nsenter and iptables.

use super::machine::Machine;
use anyhow::{Context, Result, ensure};
use tokio::process::Command;

pub(super) async fn drop_from(sender: &Machine, receiver: &Machine) -> Result<()> {
    filter("-I", sender, receiver).await
}

/// Nothing happens where there is no rule, as on a machine that ended or started anew meanwhile.
pub(super) async fn accept_from(sender: &Machine, receiver: &Machine) -> Result<()> {
    if receiver.pid().await.is_ok() && filter("-C", sender, receiver).await.is_ok() {
        filter("-D", sender, receiver).await?;
    }
    Ok(())
}

async fn filter(action: &str, sender: &Machine, receiver: &Machine) -> Result<()> {
    let (pid, sender) = (receiver.pid().await?.to_string(), sender.address.to_string());
    let rule = ["iptables", "-w", action, "INPUT", "-s", &sender, "-j", "DROP"];
    let output = Command::new("nsenter").args(["-t", &pid, "-n", "--"]).args(rule).output().await;
    let output = output.context("cannot run nsenter: apt-get install util-linux iptables, and run as root")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cutting networks needs root and iptables; it says: {}", said.trim());
    Ok(())
}
