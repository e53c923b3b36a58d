//! The containers of one cluster and where they are: what stories talk to and faults act on.
//!
//! It can be had from a cluster that this process started, or found again by its labels, as `harness fault` does.

use super::machine::{ADDRESS, Machine, ROLE};
use super::network::Network;
use super::parts::{ADMIN_PORT, DATABASE_PORT, NGINX_PORT, NODE_PORT, REDIS_PORT};
use super::probe::{self, Probe};
use super::reaper::CLUSTER;
use crate::users::{Record, Summary, rows};
use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::ListContainersOptionsBuilder;

/// How long a database may take: official images make their data directory first.
const DATABASE_READY: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(20);
/// A node that was killed waits out its own lease (8 s) before it starts again.
const NODE_READY: Duration = Duration::from_secs(30);

/// Handles to a cluster's containers. Cloning makes more handles; dropping one does nothing.
#[derive(Clone)]
pub struct Topology {
    pub(crate) network: Network,
    pub(crate) requires_proxy_header: bool,
    pub(crate) requires_tls: bool,
    pub database: Machine,
    pub redis: Machine,
    pub nginx: Machine,
    nodes: Vec<Machine>,
    records: Arc<Mutex<Vec<Arc<Record>>>>,
}

impl Topology {
    pub(crate) fn new(
        network: Network,
        database: Machine,
        redis: Machine,
        nginx: Machine,
        nodes: Vec<Machine>,
    ) -> Self {
        Topology {
            network,
            requires_proxy_header: false,
            requires_tls: false,
            database,
            redis,
            nginx,
            nodes,
            records: Arc::default(),
        }
    }

    /// Finds a running cluster by its name.
    ///
    /// # Errors
    /// If there is none, or part of it is gone.
    pub async fn find(docker: &Docker, cluster: &str) -> Result<Topology> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{CLUSTER}={cluster}")])]);
        let list = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let mut machines = Vec::new();
        for labels in docker.list_containers(Some(list)).await?.into_iter().filter_map(|found| found.labels) {
            let label = |key: &str| labels.get(key).cloned().with_context(|| format!("a container without {key}"));
            let (role, address) = (label(ROLE)?, label(ADDRESS)?.parse::<Ipv4Addr>()?);
            let network = Network::of(cluster, address);
            machines.push(Machine::existing(docker, network, format!("{cluster}-{role}"), role, address));
        }
        let Some(first) = machines.first() else { bail!("there is no cluster {cluster}: harness ps lists them") };
        let network = Network::of(cluster, first.address);
        let take = |role: &str| {
            let found = machines.iter().find(|machine| machine.role == role).cloned();
            found.with_context(|| format!("the cluster {cluster} has no {role}"))
        };
        let (database, redis, nginx) = (take("database")?, take("redis")?, take("nginx")?);
        let mut nodes: Vec<Machine> =
            machines.iter().filter(|machine| machine.role.starts_with("node-")).cloned().collect();
        nodes.sort_by_key(|node| node.address);
        Ok(Topology::new(network, database, redis, nginx, nodes))
    }

    /// The cluster's name, unique on this machine; its containers' names begin with it.
    pub fn name(&self) -> &str {
        &self.network.name
    }

    /// Where clients connect: nginx.
    pub fn address(&self) -> SocketAddr {
        (self.nginx.address, NGINX_PORT).into()
    }

    pub fn nodes(&self) -> &[Machine] {
        &self.nodes
    }

    /// A node by its place, from 0.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn node(&self, place: usize) -> &Machine {
        &self.nodes[place]
    }

    /// Where a node listens, past nginx.
    pub fn node_address(&self, place: usize) -> SocketAddr {
        (self.node(place).address, NODE_PORT).into()
    }

    /// Where a node tells its metrics and health.
    pub fn admin_address(&self, place: usize) -> SocketAddr {
        (self.node(place).address, ADMIN_PORT).into()
    }

    /// All nodes' addresses, beginning with this one's: for clients that are to start there.
    pub fn from_node(&self, place: usize) -> Vec<SocketAddr> {
        (0..self.nodes.len()).map(|offset| self.node_address((place + offset) % self.nodes.len())).collect()
    }

    pub fn database_url(&self) -> String {
        format!("mysql://chat:chat@{}:{DATABASE_PORT}/chat", self.database.address)
    }

    pub fn redis_url(&self) -> String {
        format!("redis://{}:{REDIS_PORT}", self.redis.address)
    }

    /// The rows of a query, each field as text; NULL is empty.
    ///
    /// # Errors
    /// If the database does not answer, or refuses.
    pub async fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        probe::query(self.database.address.into(), statement).await
    }

    /// A new history of what happens here; it is kept with the logs where a test fails.
    pub fn record(&self) -> Arc<Record> {
        let record = Arc::new(Record::default());
        self.records.lock().push(record.clone());
        record
    }

    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.records.lock().clone()
    }

    /// Writes down what the database holds.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn read_rows(&self, record: &Record) -> Result<()> {
        let rows = self.query(rows::QUERY).await?;
        record.rows(rows.iter().map(|row| rows::read(row)).collect::<Result<_>>()?);
        Ok(())
    }

    /// Waits until everything has arrived, and has the checkers judge what was written down.
    ///
    /// # Panics
    /// If something does not arrive within `budget`, or a promise is broken.
    pub async fn settle(&self, record: &Record, budget: Duration) -> Summary {
        record.everything_arrives(budget).await;
        record.drained();
        self.read_rows(record).await.expect("the database answers");
        record.conclude().expect_valid()
    }

    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        [&self.database, &self.redis, &self.nginx].into_iter().chain(&self.nodes)
    }

    /// A machine by its role: `database`, `redis`, `nginx`, `node-1` …
    ///
    /// # Errors
    /// If there is none; names those there are.
    pub fn machine(&self, role: &str) -> Result<&Machine> {
        self.machines().find(|machine| machine.role == role).with_context(|| {
            let roles: Vec<&str> = self.machines().map(|machine| machine.role.as_str()).collect();
            format!("there is no {role}, but {}", roles.join(", "))
        })
    }

    /// Waits until a machine does its work.
    ///
    /// # Errors
    /// If it ends, or does not within its budget; says what it said last.
    pub async fn ready(&self, machine: &Machine) -> Result<()> {
        let address = machine.address;
        match machine.role.as_str() {
            "database" | "redis" => serves(machine).await,
            // Nodes that want TLS do not answer through nginx; that a connection gets there is all that can be seen.
            "nginx" if self.requires_tls => {
                probe::ready(machine, READY, Probe::Open((address, NGINX_PORT).into())).await
            }
            "nginx" => probe::ready(machine, READY, Probe::Chat((address, NGINX_PORT).into())).await,
            // A node that wants a PROXY header, or TLS, answers nobody directly.
            _ if self.requires_proxy_header || self.requires_tls => {
                probe::ready(machine, NODE_READY, Probe::Health((address, ADMIN_PORT).into())).await
            }
            _ => probe::ready(machine, NODE_READY, Probe::Chat((address, NODE_PORT).into())).await,
        }
    }

    /// The same through another connection to the engine, for a runtime of its own.
    pub(crate) fn through(&self, docker: &Docker) -> Topology {
        Topology {
            database: self.database.through(docker),
            redis: self.redis.through(docker),
            nginx: self.nginx.through(docker),
            nodes: self.nodes.iter().map(|node| node.through(docker)).collect(),
            ..self.clone()
        }
    }
}

/// Waits until the database or Redis does its work.
pub(crate) async fn serves(machine: &Machine) -> Result<()> {
    match machine.role.as_str() {
        "database" => probe::ready(machine, DATABASE_READY, Probe::Sql(machine.address.into())).await,
        _ => probe::ready(machine, READY, Probe::Redis((machine.address, REDIS_PORT).into())).await,
    }
}

/// A container of some cluster, as `harness ps` shows it.
pub struct Entry {
    pub cluster: String,
    pub role: String,
    pub address: String,
    /// As the engine says it: "Up 5 seconds".
    pub status: String,
}

/// The containers of all clusters on this machine, by cluster and address.
///
/// # Errors
/// If the engine does not answer.
pub async fn list(docker: &Docker) -> Result<Vec<Entry>> {
    let filters = HashMap::from([("label".to_owned(), vec![CLUSTER.to_owned()])]);
    let list = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let mut entries: Vec<Entry> = Vec::new();
    for found in docker.list_containers(Some(list)).await? {
        let mut labels = found.labels.unwrap_or_default();
        let mut label = |key: &str| labels.remove(key).unwrap_or_default();
        let (cluster, role, address) = (label(CLUSTER), label(ROLE), label(ADDRESS));
        entries.push(Entry { cluster, role, address, status: found.status.unwrap_or_default() });
    }
    entries.sort_by(|one, other| (&one.cluster, &one.address).cmp(&(&other.cluster, &other.address)));
    Ok(entries)
}
