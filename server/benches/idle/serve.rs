//! The server process: one node.

use crate::support::process;
use anyhow::Result;
use chat::config::limits::Limits;
use chat::config::{Config, Database, Listen, Password};
use chat::node::Node;

const WORKER_THREADS: usize = 2;

pub fn run(database: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    let config = Config {
        listen: Listen { host: "127.0.0.1".into(), port: 0, ..Listen::default() },
        database: Database { url: database.into(), ..Database::default() },
        password: Password { memory_kib: 8, iterations: 1, ..Password::default() },
        // The clients are asleep; PING would find them so.
        limits: Limits { heartbeat_s: 3_600, drain_s: 0, registrations_per_hour_per_ip: 0, ..Limits::default() },
        ..Config::default()
    };
    let node = runtime.block_on(Node::start(config))?;
    process::say_ready(&[node.address()])?;
    node.shutdown().drain();
    runtime.block_on(node.stopped())?;
    Ok(())
}
