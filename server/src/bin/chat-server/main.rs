//! `chat-server`: runs one node until it is told to stop.

mod migrate;

use anyhow::Context;
use chat::config::Config;
use chat::node::{Error, Node};
use chat::shutdown::Shutdown;
use chat::telemetry::logging;
use clap::{Parser, Subcommand};
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;

/// One node of a chat cluster.
///
/// Without any setting it serves on port 12345, keeps everything in the SQLite file chat.db and needs nothing
/// installed. For a cluster give every node the same MySQL (database.url) and Redis (bus.url).
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Every setting can come from the environment: CHAT_DATABASE__URL=mysql://…, \
CHAT_BUS__URL=redis://…\nconf/server.toml lists them all.\n\nSIGTERM or Ctrl-C drains: clients are sent elsewhere, what is in \
flight is finished, exit code 0. A second one stops at once. A node that ends by itself drains as well, and says why: exit code 1."
)]
struct Arguments {
    /// Port for clients [default: 12345, or listen.port of the configuration]
    port: Option<u16>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Take over the database of a classic chat server: users, friends, groups and waiting messages
    Migrate(migrate::Arguments),
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = match &arguments.command {
        Some(Command::Migrate(migrate)) => migrate.config.as_deref(),
        None => arguments.config.as_deref(),
    };
    let mut config = Config::load(file)?;
    if let Some(port) = arguments.port {
        config.listen.port = port;
    }
    logging::init(&config.log)?;
    #[cfg(feature = "failpoints")]
    chat::failpoint::set_from_environment()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        match arguments.command {
            Some(Command::Migrate(arguments)) => migrate::run(&arguments, &config).await,
            None => serve(config).await,
        }
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    if config.database.is_sqlite() && config.bus.url.is_empty() {
        tracing::info!(
            database = config.database.url,
            "a single node: SQLite and no Redis. For a cluster set database.url = mysql://… and bus.url = redis://…"
        );
    }
    // From here on a signal is heard, also while the node starts: as process 1 of a container it would else be ignored.
    let shutdown = Shutdown::new();
    let signals = shutdown.signals().context("cannot listen for signals")?;
    let serving = async {
        match Node::start_under(config, shutdown).await {
            Ok(node) => Ok(node.stopped().await?),
            Err(Error::Stopped) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    tokio::select! {
        served = serving => served,
        never = async {
            signals.await;
            std::future::pending::<Infallible>().await
        } => match never {},
    }
}
