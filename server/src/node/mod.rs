//! One node, wired together: `Node::start(config)` is all an embedder needs.
//!
//! Start: storage, bus, lease, then the port; nothing of it takes longer the more is stored. Drain: the port closes,
//! clients are sent elsewhere over the grace time, what is in flight is finished, cursors are saved, the lease is given
//! back. The same happens when one of its tasks dies; then the node ends with an error that names the task.

mod assemble;
mod background;
mod drain;
mod error;
mod farewell;
mod life;
mod lock;
mod settings;
mod start;
mod tenants;

use crate::auth::operators::Operators;
use crate::bus::{self, Arrival, Bus, local::LocalHub};
use crate::cluster::{ClusterSecret, NodeId, NodeKey};
use crate::config::Config;
use crate::context::Context;
use crate::net::entrance::Entrance;
use crate::net::listener;
use crate::net::open::Open;
use crate::shutdown::Shutdown;
use crate::storage::{self, Storage};
use crate::telemetry::metrics::Metrics;
use crate::tls;
use assemble::{Foundations, assemble};
use background::Background;
use chat_environment::{Died, Environment};
use start::{bind, bind_admin, listen_error, obtain_lease, obtain_lock};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use error::Error;
pub use settings::Settings;

/// How long a node that does not start after all tries to give its lease back; then the lease runs out by itself.
const GIVE_UP_PATIENCE: Duration = Duration::from_secs(2);

/// A running node. Dropping it does not stop it: see [`Node::shutdown`].
pub struct Node {
    context: Arc<Context>,
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

/// All that a node touches of the world outside.
pub struct Surroundings {
    pub key: NodeKey,
    pub environment: Environment,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,
    pub arrivals: mpsc::Receiver<Arrival>,
    pub entrance: Entrance,
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
        let environment = Environment::default();
        let opening = async {
            let storage = storage::open_with(&config.database, &environment).await?;
            let (port, key) = bind(&config, &environment).await?;
            let (bus, arrivals) = match config.bus.url.is_empty() {
                true => LocalHub::default().join(key.clone(), &environment.tasks),
                false => {
                    let secret = ClusterSecret(storage.token_key().await?);
                    bus::redis::connect(&config.bus, &key, &secret, &environment)?
                }
            };
            let (environment, entrance) = (environment.clone(), Entrance::Port(port));
            Ok(Surroundings { key, environment, storage, bus, arrivals, entrance })
        };
        let surroundings = unless_stopped(&shutdown, opening).await?;
        Node::start_in(config, surroundings, shutdown).await
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
        let environment = Environment::default();
        let (port, key) = bind(&config, &environment).await?;
        let (bus, arrivals) = embedded.hub.join(key.clone(), &environment.tasks);
        let (storage, entrance) = (embedded.storage.clone(), Entrance::Port(port));
        let surroundings = Surroundings { key, environment, storage, bus, arrivals, entrance };
        Node::start_in(config, surroundings, shutdown).await
    }

    /// Starts a node in surroundings of the caller's making. Of `config` the name, the port, the database and the bus
    /// are not looked at.
    ///
    /// # Errors
    /// As [`Node::start_under`].
    pub async fn start_in(config: Config, surroundings: Surroundings, shutdown: Shutdown) -> Result<Node, Error> {
        let Surroundings { key, environment, storage, bus, arrivals, entrance } = surroundings;
        let tls = tls::acceptor(&config.tls)?;
        let operators = Operators::new(&config.admin, &*environment.entropy)?;
        let host = config.listen.host.clone();
        let address = entrance.address().map_err(|source| listen_error(&host, source))?;
        let admin = bind_admin(&config.admin.address).await?;
        let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
        let tasks = environment.tasks.clone();
        let entering = async {
            let mut lock = obtain_lock(&config, &key).await?;
            obtain_lease(storage.as_ref(), &key, lock.as_mut()).await?;
            let (key, storage, bus) = (key.clone(), storage.clone(), bus.clone());
            let shutdown = shutdown.clone();
            let foundations = Foundations { config, tls, operators, key, environment, storage, bus, shutdown };
            let (context, takeovers) = assemble(foundations).await?;
            let opened = entrance.open().map_err(|source| listen_error(&host, source))?;
            Ok((context, takeovers, opened, lock))
        };
        let (context, takeovers, opened, lock) = match unless_stopped(&shutdown, entering).await {
            Ok(entered) => entered,
            Err(error) => {
                // Else the next start would have to wait for the lease to run out.
                let _ = tokio::time::timeout(GIVE_UP_PATIENCE, storage.stop_node(&key)).await;
                bus.close().await;
                return Err(error);
            }
        };
        announce(&context, address, admin_address);
        let background = Background::start(&context, takeovers, arrivals, admin);
        let open = Arc::new(Open::default());
        let accepting = tasks.spawn("listener", listener::run(context.clone(), opened, open.clone()));
        let main = tasks.spawn("node", life::run(context.clone(), open, accepting, background, lock));
        Ok(Node { context, address, admin: admin_address, main })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    pub fn id(&self) -> &NodeId {
        &self.context.key.id
    }

    pub fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What can be changed while the node runs.
    pub fn settings(&self) -> Settings {
        Settings { context: self.context.clone() }
    }

    /// Stops the node: drain, or force.
    pub fn shutdown(&self) -> &Shutdown {
        &self.context.shutdown
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

fn announce(context: &Context, address: SocketAddr, admin: Option<SocketAddr>) {
    let config = context.config.get();
    let limits = &config.limits;
    tracing::info!(
        %address,
        node = %context.key.id,
        storage = context.storage.describe(),
        bus = context.bus.describe(),
        admin = admin.map_or("off".into(), |admin| admin.to_string()),
        tls = config.tls.certificate.is_some(),
        proxy_protocol = config.listen.proxy_protocol,
        proxy_from = config.listen.proxy_from,
        max_frame_bytes = limits.max_frame_bytes,
        connections = limits.connections,
        queue_bytes = limits.queue_bytes,
        messages_per_second = limits.messages_per_second,
        "chat server ready"
    );
}
