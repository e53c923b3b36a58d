//! `harness story`: one story with one fault, on a cluster of its own.

use super::output::Outputs;
use anyhow::{Result, bail};
use clap::Args;
use harness::container::fault::Fault;
use harness::container::{Cluster, Flavour, Plot, Story};
use loadgen::outcome::Verdict;
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// chat: all write to friends and groups; offline: some leave and come back elsewhere; logins: some take their session
    /// over from another node
    #[arg(default_value = "chat")]
    plot: Plot,
    /// What breaks meanwhile, as `harness fault` has it: --fault 'kill node-1'; repeat for several at once [default: nothing]
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// How long it stays broken
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[arg(long, default_value_t = 50)]
    users: usize,
    /// How many nodes, from 1 to 200
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// MariaDB instead of MySQL
    #[arg(long)]
    mariadb: bool,
    #[command(flatten)]
    outputs: Outputs,
}

/// Prints what each promise came to; an error where the verdict is not `valid`.
pub async fn execute(arguments: Arguments) -> Result<()> {
    let Arguments { plot, faults, seconds, users, nodes, mariadb, outputs } = arguments;
    let flavour = if mariadb { Flavour::Mariadb } else { Flavour::Mysql };
    eprintln!("harness: starting {nodes} nodes");
    let cluster = Cluster::builder().nodes(nodes).database(flavour).for_faults(&faults).start().await?;
    let with: Vec<String> = faults.iter().map(|fault| format!(", {fault}")).collect();
    let about = format!("story {plot}, {users} users{}, {seconds} s", with.concat());
    eprintln!("harness: {about}");
    let story = Story::on(&cluster).of(plot).users(users).lasting(Duration::from_secs(seconds));
    let told = story.tell(&faults).await;
    let is_valid = told.as_ref().is_ok_and(|conclusion| conclusion.verdict() == Verdict::Valid);
    if let Ok(conclusion) = &told {
        print!("{conclusion}");
        let with: Vec<String> = faults.iter().map(|fault| format!(" --fault '{fault}'")).collect();
        let size = format!("--seconds {seconds} --users {users} --nodes {nodes}");
        outputs.write(conclusion, &about, &format!("harness story {plot}{} {size}", with.concat()))?;
    }
    if !is_valid {
        let kept = cluster.keep_evidence().await?;
        eprintln!("harness: histories, logs and configurations are in {}", kept.display());
    }
    cluster.stop().await?;
    match told?.verdict() {
        Verdict::Valid => Ok(()),
        verdict => bail!("the verdict is {}", verdict.name()),
    }
}
