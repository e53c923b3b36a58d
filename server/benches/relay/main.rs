//! What a chat node costs over a bare relay: the same frames through both, side by side in one server process.
//!
//! A hundred pairs of clients; in each, one sends and the other receives. First with one message under way in each
//! pair, where every message pays for its own wake-ups and system calls, then with 32, where they are shared. Rounds of
//! relay and node alternate, so that a busy machine hits both. At the end `qos` 1: acknowledged, so committed, messages
//! a second.
//!
//! `RELAY_BENCH_SECONDS` sets the length of a round (2), `RELAY_BENCH_ROUNDS` their number (5).

mod bare;
mod pairs;
mod serve;
#[path = "../support/mod.rs"]
mod support;

use anyhow::Result;
use pairs::{Pairs, Round};
use std::time::Duration;
use support::figures;
use support::process::{self, Server};

const PAIRS: usize = 100;
/// Messages under way in each pair.
const WINDOWS: [u64; 2] = [1, 32];

fn main() -> Result<()> {
    if let Some(arguments) = process::serving() {
        return serve::run(&arguments[0]);
    }
    let directory = tempfile::tempdir()?;
    let server = Server::start(&[&sqlite(directory.path())])?;
    let mut relay = Pairs::of_relay(server.addresses[0], PAIRS)?;
    let mut node = Pairs::of_node(server.addresses[1], PAIRS, 0)?;
    println!("{PAIRS} pairs, frames of {} bytes, client and server on the same machine", pairs::FRAME_BYTES);
    for window in WINDOWS {
        compare(&server, &mut relay, &mut node, window)?;
    }
    node.set_qos(1);
    acknowledged(&server, &mut node, "SQLite")?;
    drop((relay, node));
    server.stop()?;
    with_mariadb()
}

fn sqlite(directory: &std::path::Path) -> String {
    format!("sqlite:{}", directory.join("chat.db").display())
}

fn compare(server: &Server, relay: &mut Pairs, node: &mut Pairs, window: u64) -> Result<()> {
    relay.run(server, window, Duration::from_millis(300))?;
    node.run(server, window, Duration::from_millis(300))?;
    let (mut relays, mut nodes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let (bare, ours) = (relay.run(server, window, length())?, node.run(server, window, length())?);
        ratios.push(ours.per_second / bare.per_second);
        relays.push(bare);
        nodes.push(ours);
    }
    println!("\nqos 0, {window} under way in each pair, median of {} rounds of {:?}", rounds(), length());
    report("bare relay", &relays);
    report("chat node", &nodes);
    figures::keep(&format!("relay: node to relay, {window} a pair"), "ratio", ratios.iter().copied())?;
    keep(&format!("relay: qos 0, {window} a pair"), &nodes)?;
    let (bare, ours) = (median(relays.iter().map(Round::server_us)), median(nodes.iter().map(Round::server_us)));
    println!("  ratio      {:.2} of the messages, {:.2} of the processor time", median(ratios), ours / bare);
    Ok(())
}

fn acknowledged(server: &Server, node: &mut Pairs, database: &str) -> Result<()> {
    println!("\nqos 1 with {database}, acknowledged after the commit");
    for window in WINDOWS {
        node.run(server, window, Duration::from_millis(300))?;
        let rounds: Vec<Round> = (0..rounds()).map(|_| node.run(server, window, length())).collect::<Result<_>>()?;
        report(&format!("{window:>2} a pair"), &rounds);
        keep(&format!("relay: qos 1 with {database}, {window} a pair"), &rounds)?;
    }
    Ok(())
}

fn with_mariadb() -> Result<()> {
    let mariadb = match services::mariadb::Mariadb::start() {
        Ok(mariadb) => mariadb,
        Err(error) => {
            println!("\nqos 1 with MariaDB: left out, {error:#}");
            return Ok(());
        }
    };
    mariadb.create_database("chat")?;
    let server = Server::start(&[&mariadb.url("chat")])?;
    let mut node = Pairs::of_node(server.addresses[1], PAIRS, 1)?;
    acknowledged(&server, &mut node, "MariaDB")?;
    drop(node);
    server.stop()
}

fn report(what: &str, rounds: &[Round]) {
    println!(
        "  {what:<10} {:>9.0} messages/s; processor time a message: server {:.2} µs, client {:.2} µs",
        median(rounds.iter().map(|round| round.per_second)),
        median(rounds.iter().map(Round::server_us)),
        median(rounds.iter().map(Round::client_us)),
    );
}

fn keep(what: &str, rounds: &[Round]) -> Result<()> {
    figures::keep(what, "messages/s", rounds.iter().map(|round| round.per_second))?;
    figures::keep(&format!("{what}, server"), "µs a message", rounds.iter().map(Round::server_us))?;
    Ok(())
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounds() -> usize {
    setting("RELAY_BENCH_ROUNDS", 5)
}

fn length() -> Duration {
    Duration::from_secs(setting("RELAY_BENCH_SECONDS", 2) as u64)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).filter(|value| *value > 0).unwrap_or(default)
}
