//! What comes before a node's tasks: its port, its name, and the name's lease.

use super::Error;
use super::lock::{self, NodeLock};
use crate::cluster::NodeKey;
use crate::config::Config;
use crate::membership::lease::{LEASE, LEASE_WATCH};
use crate::net::entrance::Port;
use crate::storage::{self, NodeStart, Peer, Storage};
use chat_environment::Environment;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Between two looks whether an earlier run's lease has ended.
const LEASE_POLL: Duration = Duration::from_millis(500);
/// An earlier run's lease must have ended after this; if it has not, that run is alive.
const LEASE_PATIENCE: Duration = Duration::from_secs(LEASE.as_secs() + 4);
/// Times that a run is called gone because its lock is free: its last renewal may arrive in between, once.
const LOCK_TRIES: u32 = 2;
/// For how long a step of the start is tried that the database refuses: longer than it leaves locks to somebody who is
/// paused.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries.
const START_RETRY: Duration = Duration::from_millis(500);

pub(super) async fn bind(config: &Config, environment: &Environment) -> Result<(Port, NodeKey), Error> {
    let host = format!("{}:{}", config.listen.host, config.listen.port);
    let mut addresses = tokio::net::lookup_host(&host).await.map_err(|source| listen_error(&host, source))?;
    let address = addresses.next().ok_or_else(|| listen_error(&host, std::io::ErrorKind::NotFound.into()))?;
    let bound = Port::bind(address).map_err(|source| listen_error(&host, source))?;
    let port = bound.address().map_err(|source| listen_error(&host, source))?.port();
    let id = match config.node.id.as_str() {
        "" => format!("{}:{port}", host_name()),
        id => id.to_owned(),
    };
    // The time of the start, finer than two starts under one name can be apart.
    let boot = environment.clock.now_us().max(1);
    Ok((bound, NodeKey { id: id.as_str().into(), boot }))
}

pub(super) fn listen_error(address: &str, cause: std::io::Error) -> Error {
    Error::Listen { address: address.to_owned(), cause }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(40).collect();
    if name.is_empty() { "node".into() } else { name }
}

pub(super) async fn bind_admin(address: &str) -> Result<Option<TcpListener>, Error> {
    if address.is_empty() {
        return Ok(None);
    }
    TcpListener::bind(address).await.map(Some).map_err(|source| listen_error(address, source))
}

/// The node's lock, where it is to have one. Waits for an earlier run that has not quite ended.
pub(super) async fn obtain_lock(config: &Config, key: &NodeKey) -> Result<Option<NodeLock>, Error> {
    let Some(directory) = &config.node.lock_dir else { return Ok(None) };
    let give_up_at = Instant::now() + LEASE_PATIENCE;
    loop {
        match NodeLock::take(directory, key) {
            Err(lock::Error::Held(_)) if Instant::now() < give_up_at => tokio::time::sleep(LEASE_POLL).await,
            taken => return Ok(Some(taken?)),
        }
    }
}

/// Waits out the lease of an earlier run that did not end in good order, unless its lock proves it dead.
pub(super) async fn obtain_lease(
    storage: &dyn Storage,
    key: &NodeKey,
    lock: Option<&mut NodeLock>,
) -> Result<(), Error> {
    let is_dead = |other: &Peer| lock.as_ref().is_some_and(|lock| lock.proves_dead(other.key.boot));
    outlast_earlier_run(storage, key, is_dead).await?;
    lock.map(|lock| lock.speak_for(key)).transpose()?;
    Ok(())
}

async fn outlast_earlier_run(
    storage: &dyn Storage,
    key: &NodeKey,
    is_dead: impl Fn(&Peer) -> bool,
) -> Result<(), Error> {
    let give_up_at = Instant::now() + LEASE_PATIENCE;
    let mut seen: Option<(Peer, Instant)> = None;
    let mut lock_tries = LOCK_TRIES;
    loop {
        let NodeStart::Taken(other) = patiently(|| storage.start_node(key)).await? else { return Ok(()) };
        let now = Instant::now();
        if lock_tries > 0 && is_dead(&other) {
            lock_tries -= 1;
            if patiently(|| storage.call_gone(&other)).await? {
                tracing::info!(node = %key.id, "an earlier run is dead: its lock is free");
            }
            continue;
        }
        match &seen {
            Some((before, since)) if *before == other && now - *since >= LEASE_WATCH => {
                patiently(|| storage.call_gone(&other)).await?;
                continue;
            }
            Some((before, _)) if *before == other => {}
            _ => {
                tracing::info!(node = %key.id, "waiting for an earlier run to stop, or to be gone for {LEASE_WATCH:?}");
                seen = Some((other, now));
            }
        }
        if now > give_up_at {
            return Err(Error::NameTaken(key.id.clone()));
        }
        tokio::time::sleep(LEASE_POLL).await;
    }
}

/// Tries a step of the start for a while: neither a busy database nor rows that somebody paused has locked are reasons
/// to give up.
pub(super) async fn patiently<T, F: Future<Output = storage::Result<T>>>(step: impl Fn() -> F) -> storage::Result<T> {
    let give_up_at = Instant::now() + START_PATIENCE;
    loop {
        match step().await {
            Err(error @ storage::Error::Unavailable(_)) if Instant::now() < give_up_at => {
                tracing::warn!(%error, "cannot start yet, trying again");
                tokio::time::sleep(START_RETRY).await;
            }
            done => return done,
        }
    }
}
