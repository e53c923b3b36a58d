//! The server process: the bare relay and a chat node in one runtime.

use crate::{bare, support::process};
use anyhow::Result;
use chat::config::Config;
use chat::config::limits::Limits;
use chat::node::Node;

/// As many as the machine that the figures are compared on has.
const WORKER_THREADS: usize = 2;

pub fn run(database: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    let config = Config {
        // The rate limit is on, but never reached; and the receivers say nothing for a whole run.
        limits: Limits {
            messages_per_second: 1_000_000,
            message_burst: 1_000_000,
            heartbeat_s: 3_600,
            ..Limits::default()
        },
        ..chat::bench::config(database)
    };
    let relay = runtime.block_on(bare::start())?;
    let node = runtime.block_on(Node::start(config))?;
    process::say_ready(&[relay, node.address()])?;
    node.shutdown().force();
    node.shutdown().drain();
    runtime.block_on(node.stopped())?;
    Ok(())
}
