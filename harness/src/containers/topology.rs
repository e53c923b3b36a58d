//! The containers of one cluster and where they are: what stories talk to and faults act on.
//!
//! It can be had from a cluster that this process started, or found again by its labels, as `harness fault` does.

use super::group::Group;
use super::machine::{ADDRESS, Machine, ROLE};
use super::network::Network;
use super::packet_filter;
use super::parts::{
    ADMIN_PORT, CLOCK, DATABASE_PORT, FORGET, NGINX_CONFIG, NGINX_PORT, NODE_PORT, REDIS_PORT, nginx_config,
};
use super::reaper::CLUSTER;
use crate::cluster::{self, Cluster, PREFERRED, Probe, Replication, statement};
use crate::held::Held;
use crate::link::{self, Trouble};
use crate::users::Records;
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use services::galera::clock_text;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::ListContainersOptionsBuilder;
use tokio::task::spawn_blocking;

/// On everything: how the cluster's database servers share what is committed.
pub(super) const REPLICATION: &str = "chat.harness.replication";

/// How long a database may take: official images make their data directory first.
const DATABASE_READY: Duration = Duration::from_secs(60);
/// A member that comes back may have to get all the data, on a busy machine.
const MEMBER_READY: Duration = Duration::from_secs(180);
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
    replication: Replication,
    /// One, or the members of a replicated one.
    databases: Vec<Machine>,
    redises: Vec<Machine>,
    pub(super) nginx: Machine,
    nodes: Vec<Machine>,
    records: Arc<Records>,
}

impl Topology {
    pub(super) fn new(
        network: Network,
        replication: Replication,
        databases: Vec<Machine>,
        redises: Vec<Machine>,
        nginx: Machine,
    ) -> Self {
        let (is_guarded, requires_tls) = (false, false);
        let (nodes, records) = (Vec::new(), Arc::default());
        Topology { network, is_guarded, requires_tls, replication, databases, redises, nginx, nodes, records }
    }

    /// Finds a running cluster by its name.
    ///
    /// # Errors
    /// If there is none, or part of it is gone.
    pub async fn find(docker: &Docker, cluster: &str) -> Result<Topology> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{CLUSTER}={cluster}")])]);
        let list = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let (mut machines, mut replication) = (Vec::new(), Replication::None);
        for labels in docker.list_containers(Some(list)).await?.into_iter().filter_map(|found| found.labels) {
            let label = |key: &str| labels.get(key).cloned().with_context(|| format!("a container without {key}"));
            let (role, address) = (label(ROLE)?, label(ADDRESS)?.parse::<Ipv4Addr>()?);
            replication = label(REPLICATION)?.parse()?;
            let network = Network::of(cluster, address);
            machines.push(Machine::existing(network, format!("{cluster}-{role}"), role, address));
        }
        let Some(first) = machines.first() else { bail!("there is no cluster {cluster}: harness ps lists them") };
        let network = Network::of(cluster, first.address);
        machines.sort_by_key(|machine| machine.address);
        let all = |role: &str| -> Result<Vec<Machine>> {
            let found: Vec<_> = machines.iter().filter(|machine| machine.role.starts_with(role)).cloned().collect();
            ensure!(!found.is_empty(), "the cluster {cluster} has no {role}");
            Ok(found)
        };
        let nginx = all("nginx")?.remove(0);
        let mut topology = Topology::new(network, replication, all("database")?, all("redis")?, nginx);
        topology.add_nodes(all("node")?);
        Ok(topology)
    }

    pub(super) fn add_nodes(&mut self, nodes: Vec<Machine>) {
        self.nodes = nodes;
    }

    /// The database servers by role, in the order in which nodes are to use them.
    pub(super) fn database_addresses(&self) -> Vec<(String, SocketAddr)> {
        self.databases.iter().map(|machine| (machine.role.clone(), (machine.address, DATABASE_PORT).into())).collect()
    }

    pub(super) fn redis_addresses(&self) -> Vec<(String, SocketAddr)> {
        self.redises.iter().map(|machine| (machine.role.clone(), (machine.address, REDIS_PORT).into())).collect()
    }

    pub fn nodes(&self) -> &[Machine] {
        &self.nodes
    }

    pub fn database_url(&self) -> String {
        let addresses: Vec<_> = self.database_addresses().into_iter().map(|(_, address)| address).collect();
        cluster::database_url(&addresses, "chat")
    }

    pub fn redis_url(&self) -> String {
        let addresses: Vec<_> = self.redis_addresses().into_iter().map(|(_, address)| address).collect();
        cluster::bus_url(&addresses)
    }

    /// All containers.
    pub fn containers(&self) -> impl Iterator<Item = &Machine> {
        self.databases.iter().chain(&self.redises).chain([&self.nginx]).chain(&self.nodes)
    }

    /// A container by its role.
    ///
    /// # Errors
    /// If there is none; names those there are.
    pub fn container(&self, role: &str) -> Result<&Machine> {
        let found = self.containers().find(|machine| machine.role == role);
        found.with_context(|| format!("there is no {role}, but {}", self.machines().join(", ")))
    }

    /// A member of a replicated database by its role.
    fn member(&self, role: &str) -> Result<&Machine> {
        ensure!(role.starts_with("database-"), "{role} is no member of a replicated database");
        self.container(role)
    }

    fn group(&self) -> Group<'_> {
        Group(&self.databases)
    }

    fn probe(&self, machine: &Machine) -> (Duration, Probe) {
        let at = |port| SocketAddr::from((machine.address, port));
        match machine.role.as_str() {
            "database" => (DATABASE_READY, Probe::Sql(self.database_url())),
            role if role.starts_with("database") => (MEMBER_READY, Probe::Member(machine.administration())),
            role if role.starts_with("redis") => (READY, Probe::Redis(at(REDIS_PORT))),
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
        let [only] = &self.databases[..] else { bail!("there are several database servers") };
        Ok((only.address, DATABASE_PORT).into())
    }

    fn administration(&self, machine: &str) -> Result<String> {
        Ok(self.member(machine)?.administration())
    }

    fn records(&self) -> &Records {
        &self.records
    }

    async fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        let url = |(_, address): &(String, SocketAddr)| cluster::database_url(&[*address], "chat");
        let urls: Vec<String> = self.database_addresses().iter().map(url).collect();
        cluster::query(&urls, self.replication, statement).await
    }

    async fn kill(&self, machine: &str) -> Result<()> {
        self.container(machine)?.kill().await
    }

    async fn start(&self, machine: &str) -> Result<()> {
        self.container(machine)?.start().await
    }

    async fn ready(&self, machine: &str) -> Result<()> {
        let machine = self.container(machine)?;
        let ready = if self.replication == Replication::Group && machine.role.starts_with("database") {
            self.group().ready(machine).await
        } else {
            let (budget, probe) = self.probe(machine);
            cluster::until(budget, probe, || machine.check_running()).await
        };
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

    async fn demote(&self) -> Result<()> {
        match self.replication {
            Replication::Group => self.group().demote(self.member(PREFERRED)?).await,
            Replication::None | Replication::Galera => statement::set_read_only(self, true).await,
        }
    }

    async fn promote(&self) -> Result<()> {
        match self.replication {
            Replication::Group => self.group().promote(self.member(PREFERRED)?).await,
            Replication::None | Replication::Galera => statement::set_read_only(self, false).await,
        }
    }

    async fn forget(&self, machine: &str) -> Result<()> {
        let machine = self.member(machine)?;
        match self.replication {
            Replication::Group => machine.replace_by_an_empty_one().await,
            Replication::None | Replication::Galera => machine.put(&[(FORGET.to_owned(), Vec::new())]).await,
        }
    }

    async fn set_clock(&self, machine: &str, ahead_s: i64) -> Result<()> {
        ensure!(
            self.replication == Replication::Galera,
            "the clock of {machine} cannot be set, only a Galera member's"
        );
        self.member(machine)?.put(&[(CLOCK.to_owned(), clock_text(ahead_s).into_bytes())]).await
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
