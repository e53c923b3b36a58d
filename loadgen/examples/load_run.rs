//! A load run from code: lays out a plan, carries it out against an embedded cluster, and prints the table.
//!
//! `cargo run --release -p loadgen --example load_run`

use anyhow::Result;
use loadgen::cluster::{Cluster, Nodes};
use loadgen::plan::Plan;
use loadgen::run::{Silent, execute};
use loadgen::scenario::Kind;
use loadgen::{analyse::assert, report};
use std::process::ExitCode;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

fn main() -> Result<ExitCode> {
    let plan = Plan {
        users: 100,
        rate: 500.0,
        duration_s: 5.0,
        mix: [(Kind::FriendChat, 3.0), (Kind::GroupChat, 1.0)].into(),
        ..Plan::default()
    };

    // The cluster has a runtime of its own, and stops when it is dropped.
    let cluster = Cluster::start(plan.nodes)?;
    let runtime = Runtime::new()?;
    let interrupt = CancellationToken::new();
    let mut outcome = runtime.block_on(execute(plan, &cluster.targets(), Nodes::Threads, &Silent, interrupt))?;

    assert::check(&mut outcome, &["p99(cross) < 100ms".parse()?, "lost == 0".parse()?]);
    print!("{}", report::table(&outcome));
    Ok(outcome.exit_code().into())
}
