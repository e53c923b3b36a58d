//! What it costs to account for everything: the load generator's closed model against a driver that only counts, both
//! through the same bare relay.
//!
//! A hundred pairs of users who write to each other. The driver is as quick as tokio allows: it looks at one byte of a
//! frame. The load generator reads every frame, verifies every text, keeps the ledger and records every latency. Rounds
//! of the two alternate, so that a busy machine hits both. First with one message under way from each user, then with
//! 32.
//!
//! `COST_BENCH_SECONDS` sets the length of a round (2), `COST_BENCH_ROUNDS` their number (5).

#[path = "../../../server/benches/relay/bare.rs"]
mod bare;
mod driver;
#[path = "../../../server/benches/support/figures.rs"]
mod figures;
#[path = "../../../server/benches/support/process.rs"]
#[allow(dead_code, reason = "the relay's bench uses the rest")]
mod process;
mod wire;

use anyhow::{Result, ensure};
use judge::Verdict;
use loadgen::cluster::Nodes;
use loadgen::plan::Plan;
use loadgen::run::Silent;
use loadgen::run::execute_over;
use loadgen::scenario::Kind;
use loadgen::user::accounts::{self, Account, Book};
use process::Server;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use wire::Relayed;

const USERS: u32 = 200;
/// Messages under way from each user.
const WINDOWS: [u32; 2] = [1, 32];
const WORKER_THREADS: usize = 2;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    if process::serving().is_some() {
        let relay = runtime.block_on(bare::start())?;
        return process::say_ready(&[relay]);
    }
    let server = Server::start(&[])?;
    let directory = tempfile::tempdir()?;
    let plan = plan(&directory.path().join("accounts.json"))?;
    let relayed = Arc::new(Relayed::new(&plan.lay_out().world));
    println!(
        "{USERS} users in pairs, frames of {} bytes, relay and users on the same machine",
        relayed.frame_bytes(&plan)
    );
    for window in WINDOWS {
        let plan = Plan { window: Some(window), ..plan.clone() };
        compare(&runtime, &server, &plan, &relayed)?;
    }
    server.stop()
}

/// Friends who write to each other; the relay knows no accounts, so that all are known already.
fn plan(accounts: &Path) -> Result<Plan> {
    let plan = Plan {
        users: USERS,
        qos: 0,
        duration_s: length().as_secs_f64(),
        ramp_s: 0.0,
        mix: BTreeMap::from([(Kind::FriendChat, 1.0)]),
        accounts: Some(accounts.to_owned()),
        ..Plan::default()
    };
    let account = |user| Account { name: accounts::name(&plan, user), id: u64::from(user) + 1, token: None };
    let friends = plan.lay_out().world.friends;
    Book { accounts: (0..USERS).map(account).collect(), friends, groups: Vec::new() }.save(accounts)?;
    Ok(plan)
}

fn compare(runtime: &Runtime, server: &Server, plan: &Plan, relayed: &Arc<Relayed>) -> Result<()> {
    let (mut drivers, mut loadgens, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let only_counting = runtime.block_on(driver::run(server.addresses[0], plan, relayed))?;
        let accounting = account_for_all(runtime, server, plan, relayed)?;
        ratios.push(accounting / only_counting);
        drivers.push(only_counting);
        loadgens.push(accounting);
    }
    let window = plan.window.unwrap_or(1);
    println!("\n{window} under way from each user, median of {} rounds of {:?}", rounds(), length());
    figures::keep(&format!("cost: loadgen to driver, {window} a user"), "ratio", ratios.iter().copied())?;
    figures::keep(&format!("cost: loadgen, {window} a user"), "messages/s", loadgens.iter().copied())?;
    println!("  only counting      {:>9.0} messages/s", median(drivers));
    println!("  accounting for all {:>9.0} messages/s", median(loadgens));
    println!("  ratio              {:>9.2}", median(ratios));
    Ok(())
}

fn account_for_all(runtime: &Runtime, server: &Server, plan: &Plan, relayed: &Arc<Relayed>) -> Result<f64> {
    let targets = [server.addresses[0].to_string()];
    let running =
        execute_over(relayed.clone(), plan.clone(), &targets, Nodes::Elsewhere, &Silent, CancellationToken::new());
    let outcome = runtime.block_on(running)?;
    ensure!(outcome.verdict == Verdict::Valid && outcome.account.is_clean(), "{:?}", outcome.reasons);
    Ok(outcome.delivered_per_second())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounds() -> usize {
    setting("COST_BENCH_ROUNDS", 5)
}

fn length() -> Duration {
    Duration::from_secs(setting("COST_BENCH_SECONDS", 2) as u64)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).filter(|value| *value > 0).unwrap_or(default)
}
