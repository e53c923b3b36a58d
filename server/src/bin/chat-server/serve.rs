//! The node as a process: what signals and the supervisor have to do with it.

use super::supervisor;
use anyhow::Context;
use chat::config::Config;
use chat::node::{Error, Node};
use chat::shutdown::Shutdown;
use chat::telemetry::logging::Filter;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where the settings come from, each time they are read.
pub struct Sources {
    pub file: Option<PathBuf>,
    /// As given on the command line, which counts for more than all else.
    pub port: Option<u16>,
}

impl Sources {
    pub fn read(&self) -> Result<Config, chat::config::Error> {
        let mut config = Config::load(self.file.as_deref())?;
        config.listen.port = self.port.unwrap_or(config.listen.port);
        Ok(config)
    }
}

/// Serves until a signal or a mishap ends it.
pub async fn serve(config: Config, sources: Sources, filter: Filter) -> anyhow::Result<()> {
    if config.database.is_sqlite() && config.bus.url.is_empty() {
        tracing::info!(
            database = config.database.url,
            "a single node: SQLite and no Redis. For a cluster set database.url = mysql://… and bus.url = redis://…"
        );
    }
    // From here on a signal is heard, also while the node starts: as process 1 of a container it would else be ignored.
    let shutdown = Shutdown::new();
    let signals = shutdown.signals().context("cannot listen for signals")?;
    let hang_ups = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let serving = async {
        match Node::start_under(config, shutdown.clone()).await {
            Ok(node) => run(node, sources, filter, hang_ups).await,
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
        never = supervisor::tell(shutdown.clone()) => match never {},
    }
}

async fn run(node: Node, sources: Sources, filter: Filter, mut hang_ups: Signal) -> anyhow::Result<()> {
    supervisor::ready();
    let settings = node.settings();
    let mut stopped = pin!(node.stopped());
    loop {
        tokio::select! {
            stopped = &mut stopped => return Ok(stopped?),
            Some(()) = hang_ups.recv() => {
                supervisor::reloading();
                match sources.read().and_then(|new| settings.reload(&new)) {
                    Ok(config) => filter.set(&config.log),
                    Err(error) => tracing::error!(%error, "nothing has changed"),
                }
                supervisor::ready();
            }
        }
    }
}
