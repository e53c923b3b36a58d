//! A cluster of real processes on this machine, without containers: MariaDB, Redis, nginx and some nodes.
//!
//! Everything listens on 127.0.0.1 only and ends with this process, whatever ends that. The nodes' configurations and
//! logs are in a directory of the cluster's own, which is kept, and named, when a test fails.

mod database;
mod machine;
mod node;
mod start;

use crate::cluster::{Ability, Cluster, Kind, Probe, Running, Setup, query, statement, until};
use crate::held::Held;
use crate::link::{self, Links, Trouble};
use crate::users::Records;
use anyhow::{Context, Result};
use async_trait::async_trait;
use database::{Database, Server};
use machine::{Bus, Machine};
use node::Node;
use services::nginx::Nginx;
use std::future::ready;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// For a database that recovers, or gets all the data from another, on a busy machine.
const READY: Duration = Duration::from_secs(180);

/// Clusters of processes, with MariaDB.
pub struct InProcesses;

/// A handle to a running cluster. It ends with the last handle.
#[derive(Clone)]
pub struct Processes(Arc<Parts>);

/// What a cluster consists of.
pub struct Parts {
    // Nodes first: what they need is dropped after them.
    nodes: Vec<Node>,
    nginx: Mutex<Nginx>,
    entry: SocketAddr,
    is_guarded: bool,
    redises: Vec<Bus>,
    database: Database,
    /// `None` without [`Setup::relays`].
    _links: Option<Links>,
    directory: TempDir,
    name: String,
    records: Records,
}

#[async_trait(?Send)]
impl Kind for InProcesses {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn cannot(&self) -> &'static [Ability] {
        &[Ability::Cut, Ability::Unplug]
    }

    async fn start(&self, setup: Setup) -> Result<Running> {
        let cluster = Processes::start(setup).await?;
        Ok(Running::new(cluster.handle(), cluster))
    }
}

impl Processes {
    /// Starts everything, and returns when every node answers. Must be called in a multi-threaded runtime.
    pub async fn start(setup: Setup) -> Result<Processes> {
        let directory = tempfile::Builder::new().prefix("chat-cluster-").tempdir()?;
        let started = start::start_in(directory, setup).await;
        started.map(|parts| Processes(Arc::new(parts))).context("the cluster does not start")
    }
}

impl Deref for Processes {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    fn machine(&self, role: &str) -> Result<&dyn Machine> {
        if let Some(server) = self.database.server(role) {
            return Ok(server);
        }
        if let Some(redis) = self.redis(role) {
            return Ok(&redis.server);
        }
        Ok(if role == "nginx" { &self.nginx } else { self.node(role)? })
    }

    fn redis(&self, role: &str) -> Option<&Bus> {
        self.redises.iter().find(|redis| redis.role == role)
    }

    fn database(&self, role: &str) -> Result<&Server> {
        self.database.server(role).with_context(|| format!("there is no database server {role}"))
    }

    fn node(&self, role: &str) -> Result<&Node> {
        let found = self.nodes.iter().find(|node| node.id() == role);
        found.with_context(|| format!("there is no {role}, but {}", self.roles().join(", ")))
    }

    fn roles(&self) -> Vec<String> {
        let databases = self.database.servers.iter().map(|server| server.role.as_str());
        let redises = self.redises.iter().map(|redis| redis.role.as_str());
        let nodes = self.nodes.iter().map(Node::id);
        databases.chain(redises).chain(["nginx"]).chain(nodes).map(str::to_owned).collect()
    }
}

#[async_trait]
impl Cluster for Processes {
    fn handle(&self) -> Arc<dyn Cluster> {
        Arc::new(self.clone())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn machines(&self) -> Vec<String> {
        self.roles()
    }

    fn entry(&self) -> SocketAddr {
        self.entry
    }

    fn node_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    fn admin_address(&self, node: usize) -> SocketAddr {
        self.nodes[node].admin_address()
    }

    fn own_database(&self) -> Result<SocketAddr> {
        self.database.own()
    }

    fn administration(&self, machine: &str) -> Result<String> {
        Ok(self.database(machine)?.administration())
    }

    fn records(&self) -> &Records {
        &self.records
    }

    async fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        query(&self.database.urls(), self.database.replication, statement).await
    }

    async fn verify(&self) -> Result<()> {
        self.database.verify().await
    }

    async fn kill(&self, machine: &str) -> Result<()> {
        self.machine(machine)?.kill().await
    }

    async fn start(&self, machine: &str) -> Result<()> {
        self.machine(machine)?.start().await
    }

    async fn ready(&self, machine: &str) -> Result<()> {
        let probe = match machine {
            "nginx" if self.is_guarded => Probe::Open(self.entry),
            "nginx" => Probe::Chat(self.entry),
            other => match (self.database.server(other), self.redis(other)) {
                (Some(server), _) => self.database.probe(server),
                (None, Some(redis)) => Probe::Redis(redis.address),
                (None, None) => return self.node(other)?.ready().await,
            },
        };
        until(READY, probe, || ready(Ok(()))).await.with_context(|| machine.to_owned())
    }

    async fn terminate(&self, machine: &str) -> Result<i64> {
        self.node(machine).context("only nodes can be asked to end")?.terminate().await
    }

    async fn pause(&self, machine: &str) -> Result<()> {
        self.machine(machine)?.pause().await
    }

    async fn resume(&self, machine: &str) -> Result<()> {
        self.machine(machine)?.resume().await
    }

    async fn demote(&self) -> Result<()> {
        statement::set_read_only(self, true).await
    }

    async fn promote(&self) -> Result<()> {
        statement::set_read_only(self, false).await
    }

    async fn forget(&self, machine: &str) -> Result<()> {
        self.database(machine)?.member()?.lock().forget()
    }

    async fn set_clock(&self, machine: &str, ahead_s: i64) -> Result<()> {
        self.database(machine)?.member()?.lock().set_clock(ahead_s)
    }

    async fn reload(&self) -> Result<()> {
        self.nginx.lock().await.reload(&self.node_addresses())
    }

    async fn trouble(&self, one: &str, trouble: Trouble, other: &str) -> Result<Box<dyn Held>> {
        let (cluster, one, other) = (self.name.clone(), one.to_owned(), other.to_owned());
        spawn_blocking(move || link::ask(&cluster, &one, trouble, &other)).await?
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            let directory = self.directory.path();
            for (number, record) in (1..).zip(self.records.all()) {
                if let Err(error) = record.write(&directory.join(format!("history-{number}.jsonl.zst"))) {
                    eprintln!("cannot keep a history: {error:#}");
                }
            }
            eprintln!("histories, and the nodes' logs and configurations, are in {}", directory.display());
        }
    }
}
