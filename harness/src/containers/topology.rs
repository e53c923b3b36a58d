//! The containers of one cluster and where they are: what stories talk to and faults act on.
//!
//! It can be had from a cluster that this process started, or found again by its labels, as `harness fault` does.

use super::machine::{ADDRESS, Machine, ROLE};
use super::network::Network;
use super::packet_filter;
use super::parts::{ADMIN_PORT, DATABASE_PORT, NGINX_CONFIG, NGINX_PORT, NODE_PORT, REDIS_PORT, nginx_config};
use super::reaper::CLUSTER;
use crate::cluster::{self, Cluster, Probe};
use crate::held::Held;
use crate::link::{self, Trouble};
use crate::users::Records;
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::ListContainersOptionsBuilder;
use tokio::task::spawn_blocking;

/// How long a database may take: official images make their data directory first.
const DATABASE_READY: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(20);
/// A node that was killed waits out its own lease (8 s) before it starts again.
const NODE_READY: Duration = Duration::from_secs(30);
/// Longer than any drain: a node that takes more has not drained but hangs.
const END_WITHIN: Duration = Duration::from_secs(60);

/// Handles to a cluster's containers. Cloning makes more handles; dropping one does nothing.
#[derive(Clone)]
pub struct Topology {
    network: Network,
    pub(super) is_guarded: bool,
    pub(super) requires_tls: bool,
    database: Machine,
    redis: Machine,
    pub(super) nginx: Machine,
    nodes: Vec<Machine>,
    records: Arc<Records>,
}

impl Topology {
    pub(super) fn new(network: Network, database: Machine, redis: Machine, nginx: Machine) -> Self {
        let (is_guarded, requires_tls) = (false, false);
        let (nodes, records) = (Vec::new(), Arc::default());
        Topology { network, is_guarded, requires_tls, database, redis, nginx, nodes, records }
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
            machines.push(Machine::existing(network, format!("{cluster}-{role}"), role, address));
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
        let mut topology = Topology::new(network, database, redis, nginx);
        topology.add_nodes(nodes);
        Ok(topology)
    }

    pub(super) fn add_nodes(&mut self, nodes: Vec<Machine>) {
        self.nodes = nodes;
    }

    /// Where nodes find what they need, by role.
    pub(super) fn services(&self) -> [(&'static str, SocketAddr); 2] {
        let (database, redis) = (self.database.address, self.redis.address);
        [("database", (database, DATABASE_PORT).into()), ("redis", (redis, REDIS_PORT).into())]
    }

    pub fn nodes(&self) -> &[Machine] {
        &self.nodes
    }

    pub fn database_url(&self) -> String {
        format!("mysql://chat:chat@{}:{DATABASE_PORT}/chat", self.database.address)
    }

    pub fn redis_url(&self) -> String {
        format!("redis://{}:{REDIS_PORT}", self.redis.address)
    }

    /// All containers.
    pub fn containers(&self) -> impl Iterator<Item = &Machine> {
        [&self.database, &self.redis, &self.nginx].into_iter().chain(&self.nodes)
    }

    /// A container by its role.
    ///
    /// # Errors
    /// If there is none; names those there are.
    pub fn container(&self, role: &str) -> Result<&Machine> {
        let found = self.containers().find(|machine| machine.role == role);
        found.with_context(|| format!("there is no {role}, but {}", self.machines().join(", ")))
    }

    fn probe(&self, machine: &Machine) -> (Duration, Probe) {
        let at = |port| SocketAddr::from((machine.address, port));
        match machine.role.as_str() {
            "database" => (DATABASE_READY, Probe::Sql(self.database_url())),
            "redis" => (READY, Probe::Redis(at(REDIS_PORT))),
            // Nodes that want TLS do not answer through nginx; that a connection gets there is all that can be seen.
            "nginx" if self.requires_tls => (READY, Probe::Open(at(NGINX_PORT))),
            "nginx" => (READY, Probe::Chat(at(NGINX_PORT))),
            _ if self.is_guarded => (NODE_READY, Probe::Health(at(ADMIN_PORT))),
            _ => (NODE_READY, Probe::Chat(at(NODE_PORT))),
        }
    }
}

#[async_trait]
impl Cluster for Topology {
    fn handle(&self) -> Arc<dyn Cluster> {
        Arc::new(self.clone())
    }

    fn name(&self) -> &str {
        &self.network.name
    }

    fn machines(&self) -> Vec<String> {
        self.containers().map(|machine| machine.role.clone()).collect()
    }

    fn entry(&self) -> SocketAddr {
        (self.nginx.address, NGINX_PORT).into()
    }

    fn node_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| (node.address, NODE_PORT).into()).collect()
    }

    fn admin_address(&self, node: usize) -> SocketAddr {
        (self.nodes[node].address, ADMIN_PORT).into()
    }

    fn own_database(&self) -> Result<SocketAddr> {
        Ok((self.database.address, DATABASE_PORT).into())
    }

    fn records(&self) -> &Records {
        &self.records
    }

    async fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        cluster::query(&self.database_url(), statement).await
    }

    async fn kill(&self, machine: &str) -> Result<()> {
        self.container(machine)?.kill().await
    }

    async fn start(&self, machine: &str) -> Result<()> {
        self.container(machine)?.start().await
    }

    async fn ready(&self, machine: &str) -> Result<()> {
        let machine = self.container(machine)?;
        let (budget, probe) = self.probe(machine);
        let ready = cluster::until(budget, probe, || machine.check_running()).await;
        ready.with_context(|| machine.name.clone())
    }

    async fn terminate(&self, machine: &str) -> Result<i64> {
        let machine = self.container(machine)?;
        machine.signal("SIGTERM").await?;
        machine.ended(END_WITHIN).await
    }

    async fn pause(&self, machine: &str) -> Result<()> {
        self.container(machine)?.pause().await
    }

    async fn resume(&self, machine: &str) -> Result<()> {
        self.container(machine)?.resume().await
    }

    async fn reload(&self) -> Result<()> {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.address).collect();
        self.nginx.put(&[(NGINX_CONFIG.to_owned(), nginx_config(&nodes)?.into_bytes())]).await?;
        self.nginx.signal("SIGHUP").await
    }

    async fn cut(&self, sender: &str, receiver: &str) -> Result<()> {
        packet_filter::drop_from(self.container(sender)?, self.container(receiver)?).await
    }

    async fn mend(&self, sender: &str, receiver: &str) -> Result<()> {
        packet_filter::accept_from(self.container(sender)?, self.container(receiver)?).await
    }

    async fn unplug(&self, machine: &str) -> Result<()> {
        self.container(machine)?.disconnect().await
    }

    async fn plug(&self, machine: &str) -> Result<()> {
        self.container(machine)?.reconnect().await
    }

    async fn trouble(&self, one: &str, trouble: Trouble, other: &str) -> Result<Box<dyn Held>> {
        let (cluster, one, other) = (self.name().to_owned(), one.to_owned(), other.to_owned());
        spawn_blocking(move || link::ask(&cluster, &one, trouble, &other)).await?
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
