//! The bus between processes: one Redis channel per node, publish and subscribe only.
//!
//! Redis keeps nothing for us. Two tasks run per node, each with a connection of its own that it makes anew, with
//! growing waits, whenever it breaks: the publisher sends what has queued up and a heartbeat a second to every live
//! node and to itself; the subscriber reads this node's channel and never waits for anyone. That the own heartbeat
//! comes back proves the whole way through Redis. Redis is not trusted with more than that: what it brings counts only
//! with the signature of a node of this cluster.

mod publisher;
mod subscriber;

use super::numbering::LiveRuns;
use super::outbox::Outbox;
use super::signature::BusKey;
use super::{Arrival, Bus, BusStats, Error, Item};
use crate::bus::ARRIVALS;
use crate::cluster::{ClusterSecret, NodeId, NodeKey};
use crate::config;
use crate::tls;
use ::redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates, io::tcp::TcpSettings};
use async_trait::async_trait;
use chat_environment::{Died, Environment};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// What channel names begin with where the setting is empty.
const DEFAULT_PREFIX: &str = "chat";
/// A connection that takes longer to be usable counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What [`Bus::close`] takes at most.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Starts this node's end of the bus. Only a bad setting is an error: while Redis is out of reach, items queue up to
/// their limit and [`Bus::is_connected`] is false.
pub async fn connect(
    config: &config::Bus,
    key: &NodeKey,
    secret: &ClusterSecret,
    environment: &Environment,
) -> Result<(Arc<dyn Bus>, mpsc::Receiver<Arrival>), Error> {
    let bad_url = |error: ::redis::RedisError| Error::BadUrl(error.to_string());
    let info = config.url.as_str().into_connection_info().map_err(bad_url)?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let description = format!("redis at {}", info.addr());
    let client = client(config, info)?;

    let prefix = if config.channel_prefix.is_empty() { DEFAULT_PREFIX } else { &config.channel_prefix };
    let stats = Arc::new(BusStats::default());
    let shared = Arc::new(Shared {
        environment: environment.clone(),
        key: key.clone(),
        bus_key: BusKey::new(secret),
        live: Arc::default(),
        client,
        outbox: Outbox::new(key.id.clone(), prefix.to_owned(), Arc::clone(&stats)),
        stats,
        is_subscribed: AtomicBool::new(false),
        echo: Echo::new(),
        closing: CancellationToken::new(),
    });
    let (sender, arrivals) = mpsc::channel(ARRIVALS);
    let tasks = &environment.tasks;
    let tasks = vec![
        tasks.spawn("bus publisher", publisher::run(Arc::clone(&shared))),
        tasks.spawn("bus subscriber", subscriber::Subscriber::new(Arc::clone(&shared), sender).run()),
    ];
    Ok((Arc::new(RedisBus { description, shared, tasks: Mutex::new(tasks) }), arrivals))
}

/// A client for `redis://` or, over TLS, for `rediss://`.
fn client(config: &config::Bus, info: ConnectionInfo) -> Result<Client, Error> {
    let bad_url = |error: ::redis::RedisError| Error::BadUrl(error.to_string());
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(info).map_err(bad_url);
    }
    // The client can only be given the process's own provider. Where an embedder has set another, that serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root_cert = config.ca.as_deref().map(tls::authorities_pem).transpose()?;
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }).map_err(bad_url)
}

struct RedisBus {
    description: String,
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<Result<(), Died>>>>,
}

/// What the bus and its two tasks have in common.
struct Shared {
    environment: Environment,
    key: NodeKey,
    bus_key: BusKey,
    live: Arc<LiveRuns>,
    client: Client,
    outbox: Outbox,
    stats: Arc<BusStats>,
    is_subscribed: AtomicBool,
    echo: Echo,
    /// Ends both tasks; the publisher sends what is queued first.
    closing: CancellationToken,
}

#[async_trait]
impl Bus for RedisBus {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn send(&self, to: &NodeId, item: Item) {
        self.shared.outbox.send(to, item);
    }

    fn set_peers(&self, peers: &[NodeKey]) {
        self.shared.live.set(peers);
        let peers: Vec<NodeId> = peers.iter().map(|peer| peer.id.clone()).collect();
        self.shared.outbox.set_peers(&peers);
    }

    fn is_connected(&self) -> bool {
        self.shared.is_subscribed.load(Ordering::Relaxed)
    }

    fn stats(&self) -> &BusStats {
        &self.shared.stats
    }

    async fn close(&self) {
        self.shared.closing.cancel();
        let deadline = Instant::now() + CLOSE_WITHIN;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for mut task in tasks {
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

/// Measures how long an own heartbeat takes through Redis: one at a time, from before its publish to its arrival.
struct Echo {
    origin: Instant,
    /// Microseconds since `origin` at which the heartbeat under way was sent; 0: none is.
    sent_micros: AtomicU64,
}

impl Echo {
    fn new() -> Self {
        Echo { origin: Instant::now(), sent_micros: AtomicU64::new(0) }
    }

    /// A heartbeat is about to be sent. While an earlier one is under way, that one is measured.
    fn sent(&self) {
        let now = self.now_micros();
        let _ = self.sent_micros.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A heartbeat is back; how long it took.
    fn came_back(&self) -> Option<Duration> {
        match self.sent_micros.swap(0, Ordering::Relaxed) {
            0 => None,
            sent => Some(Duration::from_micros(self.now_micros().saturating_sub(sent))),
        }
    }

    /// The heartbeat under way will not come back.
    fn forget(&self) {
        self.sent_micros.store(0, Ordering::Relaxed);
    }

    fn now_micros(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect_to(url: &str) -> Result<(Arc<dyn Bus>, mpsc::Receiver<Arrival>), Error> {
        let config = config::Bus { url: url.into(), ..config::Bus::default() };
        connect(&config, &NodeKey { id: "one".into(), boot: 1 }, &ClusterSecret([7; 32]), &Environment::default()).await
    }

    #[tokio::test]
    async fn bad_url_is_an_error_that_keeps_the_password() {
        for url in ["", "localhost", "http://:geheim@localhost", "redis://:geheim@localhost:port", "redis://:geheim@"] {
            let Err(error) = connect_to(url).await else { panic!("{url} was taken") };
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
    }

    #[tokio::test]
    async fn description_keeps_the_password() {
        let (bus, _arrivals) = connect_to("redis://:geheim@127.0.0.1:1").await.expect("the URL is good");
        assert_eq!(bus.describe(), "redis at 127.0.0.1:1");
        assert!(!bus.is_connected());
    }

    #[tokio::test]
    async fn close_ends_although_redis_is_out_of_reach() {
        let (bus, mut arrivals) = connect_to("redis://127.0.0.1:1").await.expect("the URL is good");
        bus.send(&"two".into(), Item::Yielded { user: 1 });
        bus.close().await;
        assert_eq!(arrivals.recv().await, None);
    }
}
