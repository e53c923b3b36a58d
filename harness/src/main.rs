//! `harness`: clusters in containers, for working by hand and for telling stories.

mod cli;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use cli::sim::NOT_RUN;
use harness::cluster::{Cluster, Setup};
use harness::containers::images;
use harness::containers::reaper::{CLUSTER, sweep};
use harness::containers::{Builder, Containers, Topology, docker, list, reaper};
use harness::fault::{self, Fault};
use harness::program::Program;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use strum::VariantArray;

/// Starts chat clusters in containers, and breaks them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    generate: chat_generate::Flag,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, print its addresses, and stay until Ctrl-C.
    Up {
        /// How many nodes, from 1 to 200
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        #[command(flatten)]
        services: cli::stage::Services,
        /// A name to find the cluster by [default: random]
        #[arg(long)]
        name: Option<String>,
        /// Nodes reach the database and Redis through relays, for the faults slow, thin, silent and reset
        #[arg(long)]
        proxied: bool,
        /// A setting for every node, as in conf/server.toml; repeatable
        #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = cli::stage::setting)]
        settings: Vec<(String, String)>,
    },
    /// List the clusters that run, also those of tests.
    Ps,
    /// Remove a cluster, or all of them, and what killed runs left.
    Down {
        /// Its name [default: all]
        cluster: Option<String>,
        /// Remove the images of nodes too, one for each build
        #[arg(long)]
        images: bool,
    },
    /// Break something in a running cluster; it heals at Ctrl-C, or after --seconds.
    #[command(after_help = fault::help())]
    Fault {
        /// What, as in: kill node-1
        #[arg(required = true)]
        fault: Vec<String>,
        /// In which cluster [default: the only one]
        #[arg(long)]
        cluster: Option<String>,
        /// Heal after that many seconds
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// Tell a story on a cluster of its own, with a fault, and judge it promise by promise.
    Story(cli::story::Arguments),
    /// Break one thing after the other at random while people chat; where that fails, look for the fewest steps that
    /// do.
    Chaos(cli::chaos::Arguments),
    /// Live through schedules of whole clusters in virtual time, with several faults at once; where one fails, look for
    /// the smallest that does.
    Sim(cli::sim::Arguments),
    /// Tell every story with every fault, and print a table of the verdicts.
    Table(cli::table::Arguments),
    /// Build faults into the server and show that simulator and stories find every one of them.
    Prove(cli::prove::Arguments),
    /// Obtain all images that a cluster is made of, building what is missing.
    Images,
    /// Wait for the end of standard input, then remove all that a run left. For the harness's own use.
    #[command(hide = true)]
    Reap { run: String },
}

fn main() -> ExitCode {
    if let Some(code) = chat_generate::asked::<Arguments>() {
        return code;
    }
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(shown) => {
            // Help and version are no errors. Where even this cannot be printed, the exit code has to do.
            let _ = shown.print();
            return if shown.use_stderr() { ExitCode::from(NOT_RUN) } else { ExitCode::SUCCESS };
        }
    };
    let failure = if matches!(command, Command::Sim(_)) { ExitCode::from(NOT_RUN) } else { ExitCode::FAILURE };
    let runtime = tokio::runtime::Runtime::new().context("no runtime");
    runtime.and_then(|runtime| runtime.block_on(run(command))).unwrap_or_else(|error| {
        eprintln!("harness: {error:#}");
        failure
    })
}

async fn run(command: Command) -> Result<ExitCode> {
    let done = match command {
        Command::Up { nodes, services, name, proxied, settings } => {
            let setup = services.below(Setup::nodes(nodes)).clocks();
            let setup = settings.iter().fold(setup, |setup, (key, value)| setup.setting(key, value));
            let mut builder = services.with_options(Containers::builder(if proxied { setup.relays() } else { setup }));
            if let Some(name) = name {
                builder = builder.name(&name);
            }
            up(builder).await
        }
        Command::Ps => ps().await,
        Command::Down { cluster, images } => down(cluster, images).await,
        Command::Fault { fault, cluster, seconds } => inflict(&fault.join(" "), cluster, seconds).await,
        Command::Story(arguments) => cli::story::execute(arguments).await,
        Command::Chaos(arguments) => cli::chaos::execute(arguments).await,
        Command::Sim(arguments) => return cli::sim::execute(arguments).await,
        Command::Table(arguments) => cli::table::execute(arguments).await,
        Command::Prove(arguments) => cli::prove::execute(arguments).await,
        Command::Images => images().await,
        Command::Reap { run } => reaper::reap(&run).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

async fn up(builder: Builder) -> Result<()> {
    let began = Instant::now();
    let cluster = tokio::select! {
        started = builder.start() => started?,
        // What was made until now is the reaper's.
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    println!("cluster   {} (ready in {:.1} s)", cluster.name(), began.elapsed().as_secs_f64());
    println!("clients   {}", cluster.entry());
    for (place, address) in cluster.node_addresses().into_iter().enumerate() {
        let metrics = cluster.admin_address(place);
        println!("{:<9} {address}   metrics http://{metrics}/metrics", format!("node-{}", place + 1));
    }
    println!("database  {}", cluster.database_url());
    println!("redis     {}", cluster.redis_url());
    println!("Ctrl-C ends it; harness fault breaks something meanwhile.");
    tokio::signal::ctrl_c().await?;
    cluster.stop().await
}

async fn ps() -> Result<()> {
    let docker = docker::connect().await?;
    let entries = list(&docker).await?;
    if entries.is_empty() {
        eprintln!("harness: no cluster runs");
    }
    for entry in entries {
        println!("{:<20} {:<10} {:<16} {}", entry.cluster, entry.role, entry.address, entry.status);
    }
    Ok(())
}

async fn down(cluster: Option<String>, with_images: bool) -> Result<()> {
    let docker = docker::connect().await?;
    let removed = sweep(&docker, CLUSTER, cluster.as_deref()).await?;
    eprintln!("harness: removed {removed} containers and networks");
    if with_images {
        eprintln!("harness: removed {} images", images::remove_all(&docker).await?);
    }
    Ok(())
}

async fn inflict(fault: &str, cluster: Option<String>, seconds: Option<u64>) -> Result<()> {
    let fault: Fault = fault.parse()?;
    let docker = docker::connect().await?;
    let cluster = match cluster {
        Some(cluster) => cluster,
        None => only_one(&docker).await?,
    };
    let topology = Topology::find(&docker, &cluster).await?;
    let active = fault.inflict(&topology).await?;
    eprintln!("harness: {fault} in {cluster}; Ctrl-C heals it");
    let patience = Duration::from_secs(seconds.unwrap_or(u64::from(u32::MAX)));
    tokio::select! {
        _ = tokio::time::sleep(patience) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    active.heal().await?;
    eprintln!("harness: healed");
    Ok(())
}

async fn only_one(docker: &testcontainers::bollard::Docker) -> Result<String> {
    let mut clusters: Vec<String> = list(docker).await?.into_iter().map(|entry| entry.cluster).collect();
    clusters.dedup();
    match &clusters[..] {
        [one] => Ok(one.clone()),
        [] => anyhow::bail!("no cluster runs: harness up starts one"),
        several => anyhow::bail!("several clusters run; say --cluster with one of {}", several.join(", ")),
    }
}

async fn images() -> Result<()> {
    let docker = docker::connect().await?;
    for part in images::Part::VARIANTS {
        println!("{:<8} {}", part.to_string(), images::acquire(&docker, *part).await?);
    }
    println!("{:<8} {}", "node", images::node(&docker, Program::Server).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn man_pages_can_be_made_of_every_command() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = chat_generate::generate(Arguments::command(), directory.path()).expect("it is written");
        for name in ["harness.1", "harness-story.1", "_harness"] {
            assert!(files.contains(&directory.path().join(name)), "{name} is not among {files:?}");
        }
    }

    #[test]
    fn help_says_what_each_command_does() {
        let mut whole = Arguments::command();
        let names: Vec<String> = whole.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let mut text = whole.render_long_help().to_string();
        for name in names {
            let command = whole.find_subcommand_mut(&name).expect("it is one");
            text += &format!("\n==> {name}\n{}", command.render_long_help());
        }
        insta::assert_snapshot!(text);
    }
}
