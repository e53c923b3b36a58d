//! Wires one node together: `Node::start(config)` is all an embedder needs.
//!
//! Start: storage, bus, lease, then the port; nothing of it takes longer the more is stored. Drain: the port closes,
//! clients are sent elsewhere over the grace time, what is in flight is finished, cursors are saved, the lease is given
//! back. The same happens when one of its tasks dies; then the node ends with an error that names the task.

mod drain;
mod start;

use crate::auth::password::{self, PasswordHasher};
use crate::auth::token::TokenKey;
use crate::bus::{self, Arrival, Bus, local::LocalHub};
use crate::cluster::{ClusterSecret, NodeId, NodeKey};
use crate::config::{self, Config};
use crate::context::{Core, Parts};
use crate::delivery::commit::{self, Writers};
use crate::delivery::local::Delivery;
use crate::delivery::members::Audiences;
use crate::delivery::relay::Relays;
use crate::delivery::{bus_receiver, pulse, repair};
use crate::membership::lease::Lease;
use crate::membership::{lease_keeper, tidy};
use crate::net::listener::{self, Open, Port};
use crate::net::tls;
use crate::session::catch_up::{self, CatchUp};
use crate::session::cursor_saver;
use crate::session::log_ends::Ends;
use crate::shutdown::Shutdown;
use crate::storage::{self, Storage};
use crate::telemetry::admin::{AdminState, Readiness};
use crate::telemetry::metrics::Metrics;
use chat_environment::{Died, Environment, Tasks};
use start::{bind, bind_admin, listen_error, obtain_lease, patiently};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a node that does not start after all tries to give its lease back; then the lease runs out by itself.
const GIVE_UP_PATIENCE: Duration = Duration::from_secs(2);
/// How often a node looks what it may forget of strangers.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

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
    /// One of the node's tasks panicked. The node has drained, but its process had better be replaced.
    #[error(transparent)]
    Task(#[from] Died),
    /// Told to stop before it had started; nothing of it is left.
    #[error("told to stop while starting")]
    Stopped,
}

/// A running node. Dropping it does not stop it: see [`Node::shutdown`].
pub struct Node {
    core: Arc<Core>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    main: JoinHandle<Result<Result<(), Error>, Died>>,
}

/// What nodes in one process share, instead of a database server and Redis.
#[derive(Clone)]
pub struct Embedded {
    pub storage: Arc<dyn Storage>,
    pub hub: LocalHub,
}

/// What a node is made of.
struct Foundations {
    config: Config,
    key: NodeKey,
    port: Port,
    storage: Arc<dyn Storage>,
    bus: Arc<dyn Bus>,
    arrivals: mpsc::Receiver<Arrival>,
    tasks: Tasks,
    shutdown: Shutdown,
}

impl Node {
    /// Starts a node with its own storage and bus, as configured. Returns once it accepts connections.
    ///
    /// # Errors
    /// Settings that cannot be used, a port that is taken, a database that is out of reach or not one of ours. Redis
    /// being out of reach is none: the node starts and keeps trying.
    pub async fn start(config: Config) -> Result<Node, Error> {
        Node::start_under(config, Shutdown::new()).await
    }

    /// The same with a shutdown that can be told before the node has started.
    ///
    /// # Errors
    /// As [`Node::start`]; [`Error::Stopped`] if told so meanwhile.
    pub async fn start_under(config: Config, shutdown: Shutdown) -> Result<Node, Error> {
        for warning in config.validate()? {
            tracing::warn!("{warning}");
        }
        let tasks = Tasks::default();
        let opening = async {
            let environment = Environment { tasks: tasks.clone(), ..Environment::default() };
            let storage = storage::open_with(&config.database, &environment).await?;
            let (port, key) = bind(&config).await?;
            let (bus, arrivals) = match config.bus.url.is_empty() {
                true => LocalHub::default().join(key.clone(), &tasks),
                false => {
                    let secret = ClusterSecret(storage.token_key().await?);
                    bus::redis::connect(&config.bus, &key, &secret, &tasks).await?
                }
            };
            Ok((storage, port, key, bus, arrivals))
        };
        let (storage, port, key, bus, arrivals) = unless_stopped(&shutdown, opening).await?;
        Node::assemble(Foundations { config, key, port, storage, bus, arrivals, tasks, shutdown }).await
    }

    /// Starts a node of an embedded cluster. `config.database` and `config.bus` are not looked at.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_embedded(config: Config, embedded: &Embedded) -> Result<Node, Error> {
        Node::start_embedded_under(config, embedded, Shutdown::new()).await
    }

    /// The same with a shutdown that can be told before the node has started.
    ///
    /// # Errors
    /// As [`Node::start_under`].
    pub async fn start_embedded_under(config: Config, embedded: &Embedded, shutdown: Shutdown) -> Result<Node, Error> {
        let tasks = Tasks::default();
        let (port, key) = bind(&config).await?;
        let (bus, arrivals) = embedded.hub.join(key.clone(), &tasks);
        let storage = embedded.storage.clone();
        Node::assemble(Foundations { config, key, port, storage, bus, arrivals, tasks, shutdown }).await
    }

    async fn assemble(foundations: Foundations) -> Result<Node, Error> {
        let Foundations { config, key, port, storage, bus, arrivals, tasks, shutdown } = foundations;
        let tls = tls::acceptor(&config.tls)?;
        let host = config.listen.host.clone();
        let address = port.address().map_err(|source| listen_error(&host, source))?;
        let admin = bind_admin(&config.admin.address).await?;
        let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
        let entering = async {
            obtain_lease(storage.as_ref(), &key).await?;
            let parts = (config, key.clone(), storage.clone(), bus.clone());
            let (core, takeovers) = make_core(parts, tasks.clone(), shutdown.clone()).await?;
            let listener = port.open().map_err(|source| listen_error(&host, source))?;
            Ok((core, takeovers, listener))
        };
        let (core, takeovers, listener) = match unless_stopped(&shutdown, entering).await {
            Ok(entered) => entered,
            Err(error) => {
                // Else the next start would have to wait for the lease to run out.
                let _ = tokio::time::timeout(GIVE_UP_PATIENCE, storage.stop_node(&key)).await;
                bus.close().await;
                return Err(error);
            }
        };
        announce(&core, address, admin_address);
        let background = start_background(&core, takeovers, arrivals, admin);
        let open = Arc::new(Open::default());
        let accepting = tasks.spawn("listener", listener::run(core.clone(), listener, tls, open.clone()));
        let main = tasks.spawn("node", run(core.clone(), open, accepting, background));
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
    /// [`Error::NameTaken`] if another node took its name, [`Error::Task`] if one of its tasks died.
    pub async fn stopped(self) -> Result<(), Error> {
        match self.main.await {
            Ok(stopped) => stopped?,
            Err(_) => Err(Died { task: "node".into(), why: "its runtime ended".into() }.into()),
        }
    }
}

async fn unless_stopped<T>(shutdown: &Shutdown, starting: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = shutdown.draining() => Err(Error::Stopped),
        started = starting => started,
    }
}

/// Also how often sessions have been taken from the node so far.
async fn make_core(
    (config, key, storage, bus): (Config, NodeKey, Arc<dyn Storage>, Arc<dyn Bus>),
    tasks: Tasks,
    shutdown: Shutdown,
) -> Result<(Arc<Core>, u64), Error> {
    let lease = Arc::new(Lease::default());
    let renewing = || {
        let (sent, renewal) = (tokio::time::Instant::now(), storage.renew_lease(&key, false));
        async move { Ok((sent, renewal.await?)) }
    };
    let (sent, renewal) = patiently(renewing).await?;
    lease.renewed(sent);
    let token_key = TokenKey(patiently(|| storage.token_key()).await?);
    let metrics = Arc::new(Metrics::new(bus.clone()));
    let panics = metrics.task_panics_total.clone();
    tasks.on_panic(move || drop(panics.inc()));
    let audiences = Arc::new(Audiences::new(storage.clone()));
    let ends = Arc::new(Ends::default());
    let (catch_up, work) = CatchUp::new();
    let parts = catch_up::Parts {
        storage: storage.clone(),
        lease: lease.clone(),
        ends: ends.clone(),
        metrics: metrics.clone(),
    };
    catch_up.start(&tasks, work, parts);
    let parts = commit::Parts {
        key: key.clone(),
        storage: storage.clone(),
        audiences: audiences.clone(),
        ends: ends.clone(),
        lease: lease.clone(),
        metrics: metrics.clone(),
    };
    let writer_count = storage.writers(config.database.writers);
    let peers = renewal.live.into_iter().map(|peer| peer.key.id).filter(|id| *id != key.id).collect();
    let passwords = PasswordHasher::new(&config.password)?.counted_in(tasks.clone());
    let core = Arc::new_cyclic(|core: &Weak<Core>| {
        let delivery = |number| Delivery::start(&tasks, number, core.clone());
        let writers = Writers::start(&tasks, writer_count, &parts, delivery);
        let relays = Relays::start(&tasks, core);
        let parts = Parts {
            key,
            config,
            storage,
            bus,
            audiences,
            ends,
            writers,
            relays,
            catch_up,
            lease,
            passwords,
            token_key,
            metrics,
            shutdown,
            tasks,
        };
        Core::new(parts)
    });
    core.set_peers(peers);
    Ok((core, renewal.takeovers))
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
        proxy_from = core.config.listen.proxy_from,
        max_frame_bytes = limits.max_frame_bytes,
        connections = limits.connections,
        queue_bytes = limits.queue_bytes,
        messages_per_second = limits.messages_per_second,
        "chat server ready"
    );
}

/// The tasks that run beside the connections.
struct Background {
    keeper: JoinHandle<Result<Result<(), storage::Error>, Died>>,
    others: Vec<JoinHandle<Result<(), Died>>>,
}

fn start_background(
    core: &Arc<Core>,
    takeovers: u64,
    arrivals: mpsc::Receiver<Arrival>,
    admin: Option<TcpListener>,
) -> Background {
    let tasks = &core.tasks;
    let mut others = vec![
        tasks.spawn("bus arrivals", bus_receiver::run(core.clone(), arrivals)),
        tasks.spawn("sweep", repair::run(core.clone())),
        tasks.spawn("pulse", pulse::run(core.clone())),
        tasks.spawn("cursors", save_marks(core.clone())),
        tasks.spawn("tidying", tidy::run(core.clone())),
        tasks.spawn("strangers", forget_strangers(core.clone())),
    ];
    if let Some(admin) = admin {
        let serving = crate::telemetry::admin::serve(admin, core.clone(), core.shutdown.clone(), tasks.clone());
        others.push(tasks.spawn("admin", serving));
    }
    Background { keeper: tasks.spawn("lease keeper", lease_keeper::run(core.clone(), takeovers)), others }
}

async fn save_marks(core: Arc<Core>) {
    let mut tick = tokio::time::interval(cursor_saver::INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        core.marks.save(core.storage.as_ref(), &core.key).await;
    }
}

/// Gives back the memory of what strangers did, also where none come any more.
async fn forget_strangers(core: Arc<Core>) {
    let mut tick = tokio::time::interval(FORGET_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        core.login_limit.forget(Instant::now());
        core.registrations.forget(Instant::now());
    }
}

/// The node's life after its start: until it is told to drain, loses its name, or one of its tasks.
async fn run(
    core: Arc<Core>,
    open: Arc<Open>,
    accepting: JoinHandle<Result<(), Died>>,
    mut background: Background,
) -> Result<(), Error> {
    // Also if this panics: nobody shall be served by a node without it.
    let forced_at_last = ForcedAtLast(core.shutdown.clone());
    let result = service_ends(&core, &mut background).await;
    if let Err(error) = &result {
        tracing::error!(%error, "the node ends by itself");
    }
    core.shutdown.drain();
    let _ = accepting.await;
    drain::drain(&core, &open).await;
    background.keeper.abort();
    if !matches!(result, Err(Error::NameTaken(_))) {
        drain::give_lease_back(&core).await;
    }
    drain::step(&core, "bus", core.bus.close()).await;
    drop(forced_at_last);
    background.others.iter().for_each(JoinHandle::abort);
    tracing::info!(node = %core.key.id, "stopped");
    // A task may also have died since.
    result.and_then(|()| core.tasks.dead().map_or(Ok(()), |died| Err(died.into())))
}

/// Waits until the node is to stop; why, if nobody told it.
async fn service_ends(core: &Core, background: &mut Background) -> Result<(), Error> {
    tokio::select! {
        died = core.tasks.died() => Err(died.into()),
        () = core.shutdown.draining() => Ok(()),
        ended = &mut background.keeper => match ended {
            Ok(Ok(Err(storage::Error::NodeReplaced(id)))) => Err(Error::NameTaken(id)),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(died)) => Err(died.into()),
            Ok(Ok(Ok(()))) | Err(_) => Ok(()),
        },
    }
}

/// Forces the shutdown when dropped.
struct ForcedAtLast(Shutdown);

impl Drop for ForcedAtLast {
    fn drop(&mut self) {
        self.0.force();
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
