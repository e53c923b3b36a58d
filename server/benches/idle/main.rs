//! What an idle, logged-in connection costs a node in memory, and how fast all of them log in.
//!
//! One process makes the accounts and fetches a token for each; then the measured node starts afresh on the same
//! database. It first serves one login and loses it again; what it holds more when everybody is logged in is the cost.
//! Then every connection answers a PING, to show that all are alive and that none keeps a buffer.
//!
//! `IDLE_BENCH_CONNECTIONS` sets how many (18,000; client and node each need a descriptor for every one).

mod serve;
#[path = "../support/mod.rs"]
mod support;

use anyhow::{Context, Result};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::client::Client;
use support::figures;
use support::process::{self, Server};
use support::source;

const CONNECTIONS: usize = 18_000;
/// Logins under way at once: as many threads, each with blocking sockets.
const THREADS: usize = 64;
/// Waiting for a session to end.
const POLL: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    source::raise_descriptor_limit()?;
    if let Some(arguments) = process::serving() {
        return serve::run(&arguments[0]);
    }
    let count = std::env::var("IDLE_BENCH_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(CONNECTIONS);
    let directory = tempfile::tempdir()?;
    let database = format!("sqlite:{}", directory.path().join("chat.db").display());
    let tokens = prepare(&database, count)?;

    let server = Server::start(&[&database])?;
    let node = server.addresses[0];
    serve_one(node, &tokens[0])?;
    let before = server.resident_bytes()?;
    let (cpu_before, started) = (server.cpu_time()?, Instant::now());
    let mut clients = spread(&tokens, |place, token| log_in(node, place, token))?;
    let (took, cpu) = (started.elapsed(), server.cpu_time()? - cpu_before);
    println!("{count} logins by token in {took:.1?}: {:.0} a second", count as f64 / took.as_secs_f64());
    let cpu_us = cpu.as_secs_f64() * 1e6 / count as f64;
    println!("processor time of the node for a login: {cpu_us:.0} µs");
    figures::keep("idle: logins by token", "logins/s", [count as f64 / took.as_secs_f64()])?;
    figures::keep("idle: login by token, server", "µs a login", [cpu_us])?;
    let logged_in = server.resident_bytes()?;
    report("logged in and idle", before, logged_in, count);
    figures::keep("idle: a connection", "bytes", [logged_in.saturating_sub(before) as f64 / count as f64])?;
    for client in &mut clients {
        client.ask(&json!({"msgid": 19})).or_else(pong_has_no_errno)?;
    }
    report("after a PING from each", before, server.resident_bytes()?, count);
    drop(clients);
    server.stop()
}

/// PONG may or may not carry `errno`; that it came is what counts.
fn pong_has_no_errno(error: anyhow::Error) -> Result<serde_json::Value> {
    if error.to_string().contains("\"msgid\":20") { Ok(serde_json::Value::Null) } else { Err(error) }
}

fn report(when: &str, before: u64, now: u64, count: usize) {
    let each = now.saturating_sub(before) as f64 / count as f64;
    println!(
        "{when}: {each:.0} bytes of resident memory a connection ({:.1} MB, {:.1} MB without them)",
        now as f64 / 1e6,
        before as f64 / 1e6
    );
}

/// Makes the accounts and a token for each; the node that does it ends again.
fn prepare(database: &str, count: usize) -> Result<Vec<String>> {
    let server = Server::start(&[database])?;
    let node = server.addresses[0];
    let started = Instant::now();
    let tokens = spread(&vec![(); count], |place, ()| {
        let mut client = Client::connect(node)?;
        let id = client.register(&format!("idle{place}"))?;
        let ack = client.log_in(id)?;
        Ok(format!("{id} {}", ack["token"].as_str().context("no token in LOGIN_ACK")?))
    })?;
    println!("{count} accounts made and logged in by password in {:.1?}", started.elapsed());
    server.stop()?;
    Ok(tokens)
}

/// Logs in, goes, and waits until the session has ended.
fn serve_one(node: SocketAddr, token: &str) -> Result<()> {
    drop(log_in(node, 0, token)?);
    while log_in(node, 0, token).is_err() {
        std::thread::sleep(POLL);
    }
    // That second session ends as the first did.
    while log_in(node, 0, token).is_err() {
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn log_in(node: SocketAddr, place: usize, token: &str) -> Result<Client> {
    let (id, token) = token.split_once(' ').context("id and token")?;
    let id: u64 = id.parse()?;
    let mut client = Client { socket: source::connect(node, place)? };
    client.ask(&json!({"msgid": 1, "id": id, "token": token}))?;
    Ok(client)
}

/// Does `work` on every item, from several threads, and keeps the results in order.
fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let share = items.len().div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        let shares = items.chunks(share).enumerate().map(|(part, items)| {
            let work = &work;
            scope.spawn(move || {
                items.iter().enumerate().map(|(at, item)| work(part * share + at, item)).collect::<Result<Vec<R>>>()
            })
        });
        let threads: Vec<_> = shares.collect();
        let mut results = Vec::with_capacity(items.len());
        for thread in threads {
            results.extend(thread.join().map_err(|_| anyhow::anyhow!("a client thread panicked"))??);
        }
        Ok(results)
    })
}
