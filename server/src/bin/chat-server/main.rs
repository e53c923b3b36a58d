//! `chat-server`: runs one node until it is told to stop.

mod admin;
mod migrate;
mod serve;
mod supervisor;
mod verify;

use anyhow::Context;
use chat::admin::health;
use chat::config;
use chat::telemetry::logging;
use clap::{Parser, Subcommand};
use serve::Sources;
use std::path::PathBuf;
use std::process::ExitCode;

/// One node of a chat cluster.
///
/// Without any setting it serves on port 12345, keeps everything in the SQLite file chat.db and needs nothing
/// installed. For a cluster give every node the same MySQL (database.url) and Redis (bus.url).
#[derive(Parser)]
#[command(
    name = "chat-server",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Every setting can come from the environment: CHAT_DATABASE__URL=mysql://…, \
CHAT_BUS__URL=redis://…\nconf/server.toml lists them all.\n\nSIGTERM or Ctrl-C drains: clients are sent elsewhere, what \
is in flight is finished, exit code 0. A second one stops at once. SIGHUP reads settings and certificate again. A node \
that ends by itself drains as well, and says why: exit code 1."
)]
struct Arguments {
    /// Port for clients [default: 12345, or listen.port of the configuration]
    port: Option<u16>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    generate: chat_generate::Flag,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Take over the database of a classic chat server: users, friends, groups and waiting messages
    Migrate(migrate::Arguments),
    /// Ask the node with these settings whether it is healthy: exit code 0 if it says so, else 1
    Health {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check whether the database is as it must be: every message, every cursor, every member
    Verify(verify::Arguments),
    /// Ask a running node who is online where; kick and disable users, reset passwords, drain, prune
    Admin(admin::Arguments),
}

pub fn main() -> ExitCode {
    if let Some(code) = chat_generate::asked::<Arguments>() {
        return code;
    }
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chat-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let file = match &arguments.command {
        Some(Command::Migrate(migrate)) => migrate.config.clone(),
        Some(Command::Health { config }) => config.clone(),
        Some(Command::Verify(verify)) => verify.config.clone(),
        Some(Command::Admin(admin)) => admin.config.clone(),
        None => arguments.config.clone(),
    };
    let sources = Sources { file, port: arguments.port };
    let config = sources.read()?;
    let filter = logging::init(&config.log)?;
    if let Some(warning) = config::unknown_variables() {
        tracing::warn!("{warning}");
    }
    #[cfg(feature = "failpoints")]
    chat::failpoint::set_from_environment()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        match arguments.command {
            Some(Command::Migrate(arguments)) => migrate::run(&arguments, &config).await?,
            Some(Command::Health { .. }) => health::ask(&config.admin.address).await?,
            Some(Command::Verify(arguments)) => return Ok(verify::run(&arguments, &config).await),
            Some(Command::Admin(arguments)) => return Ok(admin::run(arguments, &config).await),
            None => serve::serve(config, sources, filter).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
