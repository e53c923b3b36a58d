//! Wires one node together: `Node::start(config)` is all an embedder needs.
//!
//! Start: storage, bus, lease, then the port. Drain: the port closes, clients are sent elsewhere over the grace time, what is in
//! flight is finished, cursors are saved, the lease is given back.

use crate::admin::{AdminState, Readiness};
use crate::audiences::Audiences;
use crate::bus::{self, Arrival, Bus, local::LocalHub};
use crate::catch_up::CatchUp;
use crate::cluster::{NodeId, NodeKey};
use crate::config::{self, Config};
use crate::core::{Core, Parts};
use crate::delivery::Delivery;
use crate::lease::Lease;
use crate::limits::LEASE;
use crate::listener::{self, Open, Port};
use crate::metrics::Metrics;
use crate::password::{self, PasswordHasher};
use crate::protocol::errno::Errno;
use crate::relay::Relays;
use crate::shutdown::Shutdown;
use crate::storage::{self, NodeStart, Storage};
use crate::token::TokenKey;
use crate::writer::{self, Writers};
use crate::{inbox, keeper, marks, pulse, sweep, tls};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Between two looks whether an earlier run's lease has ended.
const LEASE_POLL: Duration = Duration::from_millis(500);
/// An earlier run's lease must have ended after this; if it has not, that run is alive.
const LEASE_PATIENCE: Duration = Duration::from_secs(LEASE.as_secs() + 4);
/// How long connections that were cut have to save their cursors.
const CUT_PATIENCE: Duration = Duration::from_secs(3);
/// How often a draining node looks whether its connections have gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Why a node does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Password(#[from] password::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("another node runs under the name {0}: give this one another node.id")]
    NameTaken(NodeId),
}

/// A running node. Dropping it does not stop it: see [`Node::shutdown`].
pub struct Node {
    core: Arc<Core>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    main: JoinHandle<Result<(), Error>>,
}

/// What nodes in one process share, instead of a database server and Redis.
#[derive(Clone)]
pub struct Embedded {
    pub storage: Arc<dyn Storage>,
    pub hub: LocalHub,
}

impl Node {
    /// Starts a node with its own storage and bus, as configured. Returns once it accepts connections.
    ///
    /// # Errors
    /// Settings that cannot be used, a port that is taken, a database that is out of reach or not one of ours. Redis
    /// being out of reach is none: the node starts and keeps trying.
    pub async fn start(config: Config) -> Result<Node, Error> {
        for warning in config.validate()? {
            tracing::warn!("{warning}");
        }
        let storage = storage::open(&config.database).await?;
        let (port, key) = bind(&config).await?;
        let (bus, arrivals) = match config.bus.url.is_empty() {
            true => LocalHub::default().join(key.clone()),
            false => bus::redis::connect(&config.bus, &key).await?,
        };
        Node::assemble(config, key, port, storage, bus, arrivals).await
    }

    /// Starts a node of an embedded cluster. `config.database` and `config.bus` are not looked at.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_embedded(config: Config, embedded: &Embedded) -> Result<Node, Error> {
        let (port, key) = bind(&config).await?;
        let (bus, arrivals) = embedded.hub.join(key.clone());
        Node::assemble(config, key, port, embedded.storage.clone(), bus, arrivals).await
    }

    async fn assemble(
        config: Config,
        key: NodeKey,
        port: Port,
        storage: Arc<dyn Storage>,
        bus: Arc<dyn Bus>,
        arrivals: mpsc::Receiver<Arrival>,
    ) -> Result<Node, Error> {
        let tls = tls::acceptor(&config.tls)?;
        let host = config.listen.host.clone();
        let address = port.address().map_err(|source| listen_error(&host, source))?;
        let admin = bind_admin(&config.admin.address).await?;
        let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
        obtain_lease(storage.as_ref(), &key).await?;
        let core = make_core(config, key, storage, bus).await?;
        let listener = port.open().map_err(|source| listen_error(&host, source))?;
        announce(&core, address, admin_address);
        let background = start_background(&core, arrivals, admin);
        let open = Arc::new(Open::default());
        let accepting = tokio::spawn(listener::run(core.clone(), listener, tls, open.clone()));
        let main = tokio::spawn(run(core.clone(), open, accepting, background));
        Ok(Node { core, address, admin: admin_address, main })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    pub fn id(&self) -> &NodeId {
        &self.core.key.id
    }

    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Stops the node: drain, or force.
    pub fn shutdown(&self) -> &Shutdown {
        &self.core.shutdown
    }

    /// Waits until the node has stopped.
    ///
    /// # Errors
    /// [`Error::NameTaken`] if another node took its name.
    pub async fn stopped(self) -> Result<(), Error> {
        self.main.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

async fn bind(config: &Config) -> Result<(Port, NodeKey), Error> {
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
    let boot = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let boot = boot.map_or(1, |since| since.as_micros() as i64);
    Ok((bound, NodeKey { id: id.as_str().into(), boot }))
}

fn listen_error(address: &str, source: std::io::Error) -> Error {
    Error::Listen { address: address.to_owned(), source }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(40).collect();
    if name.is_empty() { "node".into() } else { name }
}

async fn bind_admin(address: &str) -> Result<Option<TcpListener>, Error> {
    if address.is_empty() {
        return Ok(None);
    }
    TcpListener::bind(address).await.map(Some).map_err(|source| listen_error(address, source))
}

/// Waits out the lease of an earlier run that did not end in good order.
async fn obtain_lease(storage: &dyn Storage, key: &NodeKey) -> Result<(), Error> {
    let give_up_at = Instant::now() + LEASE_PATIENCE;
    let mut told = false;
    loop {
        match storage.start_node(key, LEASE).await? {
            NodeStart::Ready => return Ok(()),
            NodeStart::Leased { .. } if Instant::now() > give_up_at => return Err(Error::NameTaken(key.id.clone())),
            NodeStart::Leased { lease_left, .. } => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(node = %key.id, ?lease_left, "waiting for the lease of an earlier run to end");
                }
                tokio::time::sleep(LEASE_POLL.min(lease_left)).await;
            }
        }
    }
}

async fn make_core(
    config: Config,
    key: NodeKey,
    storage: Arc<dyn Storage>,
    bus: Arc<dyn Bus>,
) -> Result<Arc<Core>, Error> {
    let lease = Arc::new(Lease::default());
    let sent = Instant::now();
    let renewal = storage.renew_lease(&key, LEASE).await?;
    lease.renewed(sent);
    storage.tidy_states().await?;
    let token_key = TokenKey(storage.token_key().await?);
    let metrics = Arc::new(Metrics::new(bus.clone()));
    let audiences = Arc::new(Audiences::new(storage.clone()));
    let (catch_up, work) = CatchUp::new();
    catch_up.start(work, storage.clone(), metrics.clone());
    let shutdown = Shutdown::new();
    let parts = writer::Parts {
        storage: storage.clone(),
        audiences: audiences.clone(),
        lease: lease.clone(),
        metrics: metrics.clone(),
    };
    let writer_count = storage.writers(config.database.writers);
    let peers = renewal.live.into_iter().map(|peer| peer.key.id).filter(|id| *id != key.id).collect();
    let passwords = PasswordHasher::new(&config.password)?;
    let core = Arc::new_cyclic(|core: &Weak<Core>| {
        let writers = Writers::start(writer_count, &parts, || Delivery::start(core.clone()));
        let relays = Relays::start(core);
        let parts = Parts {
            key,
            config,
            storage,
            bus,
            audiences,
            writers,
            relays,
            catch_up,
            lease,
            passwords,
            token_key,
            metrics,
            shutdown,
        };
        Core::new(parts)
    });
    core.set_peers(peers);
    Ok(core)
}

fn announce(core: &Core, address: SocketAddr, admin: Option<SocketAddr>) {
    let limits = &core.config.limits;
    tracing::info!(
        %address,
        node = %core.key.id,
        storage = core.storage.describe(),
        bus = core.bus.describe(),
        admin = admin.map_or("off".into(), |admin| admin.to_string()),
        tls = core.config.tls.certificate.is_some(),
        proxy_protocol = core.config.listen.proxy_protocol,
        max_frame_bytes = limits.max_frame_bytes,
        connections = limits.connections,
        queue_bytes = limits.queue_bytes,
        messages_per_second = limits.messages_per_second,
        "chat server ready"
    );
}

/// The tasks that run beside the connections.
struct Background {
    keeper: JoinHandle<Result<(), storage::Error>>,
    others: Vec<JoinHandle<()>>,
}

fn start_background(core: &Arc<Core>, arrivals: mpsc::Receiver<Arrival>, admin: Option<TcpListener>) -> Background {
    let mut others = vec![
        tokio::spawn(inbox::run(core.clone(), arrivals)),
        tokio::spawn(sweep::run(core.clone())),
        tokio::spawn(pulse::run(core.clone())),
        tokio::spawn(save_marks(core.clone())),
    ];
    if let Some(admin) = admin {
        others.push(tokio::spawn(crate::admin::serve(admin, core.clone(), core.shutdown.clone())));
    }
    Background { keeper: tokio::spawn(keeper::run(core.clone())), others }
}

async fn save_marks(core: Arc<Core>) {
    let mut tick = tokio::time::interval(marks::INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        core.marks.save(core.storage.as_ref()).await;
    }
}

/// The node's life after its start: until it is told to drain, or loses its name.
async fn run(
    core: Arc<Core>,
    open: Arc<Open>,
    accepting: JoinHandle<()>,
    mut background: Background,
) -> Result<(), Error> {
    let result = tokio::select! {
        () = core.shutdown.draining() => Ok(()),
        ended = &mut background.keeper => match ended {
            Ok(Err(storage::Error::NodeReplaced(id))) => Err(Error::NameTaken(id)),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) => Ok(()),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        },
    };
    core.shutdown.drain();
    let _ = accepting.await;
    drain(&core, &open).await;
    core.marks.save(core.storage.as_ref()).await;
    background.keeper.abort();
    if result.is_ok()
        && let Err(error) = core.storage.stop_node(&core.key).await
    {
        tracing::warn!(%error, "cannot give the lease back; it runs out by itself");
    }
    core.bus.close().await;
    core.shutdown.force();
    background.others.iter().for_each(JoinHandle::abort);
    tracing::info!(node = %core.key.id, "stopped");
    result
}

/// Sends every client elsewhere, spread over the first half of the grace time; the second is for those that are slow to go.
async fn drain(core: &Core, open: &Open) {
    let grace = Duration::from_secs(core.config.limits.drain_s);
    let started = Instant::now();
    let connections = open.all();
    tracing::info!(connections = connections.len(), ?grace, "draining");
    let spread = grace / 2;
    for (place, outbound) in connections.iter().enumerate() {
        let due = spread.mul_f64(place as f64 / connections.len() as f64);
        if due > started.elapsed() {
            tokio::select! {
                () = tokio::time::sleep(due - started.elapsed()) => {}
                () = core.shutdown.forced() => {}
            }
        }
        outbound.close(Errno::Draining.into());
    }
    while !open.is_empty() && started.elapsed() < grace && !core.shutdown.is_forced() {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    if !open.is_empty() {
        tracing::warn!(connections = open.len(), "closing connections that did not go in time");
        open.all().iter().for_each(|outbound| outbound.cut());
    }
    let cut_at = Instant::now();
    while !open.is_empty() && cut_at.elapsed() < CUT_PATIENCE {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

impl AdminState for Core {
    fn metrics(&self) -> String {
        self.metrics.encode()
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            lease: (!self.lease.is_held()).then(|| "not held".into()),
            database: (!self.database_answers.load(Ordering::Acquire)).then(|| "does not answer".into()),
            bus: (!self.bus.is_connected()).then(|| "not connected".into()),
            draining: self.shutdown.is_draining().then(|| "yes".into()),
        }
    }
}
