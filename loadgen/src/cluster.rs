//! The embedded cluster: nodes in one process, sharing one SQLite database and a local bus.
//!
//! That process is this one, where they run on threads of their own, or a child of it ([`process`]): either way their
//! work and the generator's can be told apart. Passwords are hashed cheaply here, since what is measured is messages.

pub mod process;
pub mod switch;

use crate::plan::{NodesAs, Plan};
use chat::bus::local::LocalHub;
use chat::config::{Config, Database};
use chat::node::{Embedded, Node};
use chat::storage;
use std::net::SocketAddr;
use std::time::Duration;
use switch::Switch;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Threads of the nodes are named so.
pub const THREAD_NAME: &str = "chat-node";
/// The least argon2 takes.
const PASSWORD_MEMORY_KIB: u32 = 64;
/// For the nodes to stop after the run.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Users up to which the nodes run in the generator's process. There each user takes two open files, of which 20,000
/// are a usual limit.
const THREADS_MAX_USERS: u32 = 8_000;

/// Where a run's nodes are, as far as that is this program's business.
#[derive(Clone, Debug)]
pub enum Nodes {
    /// Somebody else's.
    Elsewhere,
    /// Embedded, on threads of this process.
    Threads,
    /// Embedded, in the child of this process with that number; the token is cancelled when it has ended.
    Process { id: u32, ended: CancellationToken },
}

impl Nodes {
    pub fn are_embedded(&self) -> bool {
        !matches!(self, Nodes::Elsewhere)
    }

    /// Whether they are embedded in a process of their own.
    pub fn are_apart(&self) -> bool {
        matches!(self, Nodes::Process { .. })
    }

    pub fn have_ended(&self) -> bool {
        matches!(self, Nodes::Process { ended, .. } if ended.is_cancelled())
    }
}

/// Where the nodes of this plan are to run, if it asks for an embedded cluster.
pub fn place(plan: &Plan) -> NodesAs {
    let usual = if plan.users > THREADS_MAX_USERS { NodesAs::Process } else { NodesAs::Threads };
    plan.nodes_as.unwrap_or(usual)
}

/// A running cluster; it stops when dropped.
pub struct Cluster {
    runtime: Option<tokio::runtime::Runtime>,
    addresses: Vec<SocketAddr>,
    switch: Switch,
    _directory: TempDir,
}

/// Why there is no cluster. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the embedded cluster cannot start: {0}")]
    Io(#[from] std::io::Error),
    #[error("the embedded cluster cannot start: {0}")]
    Storage(#[from] storage::Error),
    #[error("the embedded cluster cannot start: {0}")]
    Node(#[from] chat::node::Error),
}

impl Cluster {
    /// Starts `count` nodes on ports that the system chooses. Must not be called from within a runtime's task.
    pub fn start(count: u32) -> Result<Cluster, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name(THREAD_NAME).enable_all().build()?;
        let directory = TempDir::with_prefix("loadgen-")?;
        let url = format!("sqlite:{}", directory.path().join("chat.db").display());
        let (embedded, nodes) = runtime.block_on(async {
            let storage = storage::open(&Database { url, ..Database::default() }).await?;
            let embedded = Embedded { storage, hub: LocalHub::default() };
            let mut nodes = Vec::new();
            for number in 0..count {
                let mut config = config(number);
                let node = Node::start_embedded(config.clone(), &embedded).await?;
                config.listen.port = node.address().port();
                nodes.push((config, node));
            }
            Ok::<_, Error>((embedded, nodes))
        })?;
        let addresses = nodes.iter().map(|(_, node)| node.address()).collect();
        let switch = Switch::new(runtime.handle().clone(), embedded, nodes);
        Ok(Cluster { runtime: Some(runtime), addresses, switch, _directory: directory })
    }

    /// Where the nodes listen.
    pub fn targets(&self) -> Vec<String> {
        self.addresses.iter().map(SocketAddr::to_string).collect()
    }

    /// Stops and starts its nodes.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let nodes = self.switch.take();
        for node in &nodes {
            node.shutdown().drain();
            node.shutdown().force();
        }
        let stopped = async {
            for node in nodes {
                let _ = node.stopped().await;
            }
        };
        // What does not stop in time is ended with the runtime.
        let _ = runtime.block_on(async { tokio::time::timeout(STOP_TIMEOUT, stopped).await });
        runtime.shutdown_background();
    }
}

fn config(number: u32) -> Config {
    let mut config = Config::default();
    config.node.id = format!("node-{}", number + 1);
    config.listen.host = "127.0.0.1".into();
    config.listen.port = 0;
    config.password.memory_kib = PASSWORD_MEMORY_KIB;
    config.password.iterations = 1;
    config.limits.prelogin_connections = config.limits.connections;
    // The generator decides how much is sent, and makes all its users at one address.
    config.limits.messages_per_second = 0;
    config.limits.registrations_per_hour_per_ip = 0;
    config
}
