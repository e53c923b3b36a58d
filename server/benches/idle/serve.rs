//! The server process: one node.

use crate::support::process;
use anyhow::Result;
use chat::config::Config;
use chat::config::limits::Limits;
use chat::node::Node;

const WORKER_THREADS: usize = 2;

pub fn run(database: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    let config = Config {
        // The clients are asleep; PING would find them so.
        limits: Limits { heartbeat_s: 3_600, drain_s: 0, registrations_per_hour_per_ip: 0, ..Limits::default() },
        ..chat::bench::config(database)
    };
    let node = runtime.block_on(Node::start(config))?;
    process::say_ready(&[node.address()])?;
    node.shutdown().drain();
    runtime.block_on(node.stopped())?;
    Ok(())
}
