//! A cluster of real processes on this machine, without containers: MariaDB, Redis, nginx and some nodes.
//!
//! Everything listens on 127.0.0.1 only and ends with this process, whatever ends that. The nodes' configurations and
//! logs are in a directory of the cluster's own, which is kept, and named, when a test fails.

mod database;
mod machine;
mod node;

use crate::cluster::{Ability, Cluster, Kind, Probe, Running, Setup, bus_url, query, until};
use crate::held::Held;
use crate::link::{self, Links, Trouble};
use crate::users::Records;
use anyhow::{Context, Result};
use async_trait::async_trait;
use database::{Database, Server};
use futures_util::future::try_join_all;
use machine::Machine;
use node::Node;
use services::nginx::Nginx;
use services::nginx_config::PROXY_ADDRESS;
use services::redis::Redis;
use std::fs;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// For a database that recovers, on a busy machine.
const READY: Duration = Duration::from_secs(60);

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

/// One Redis.
struct Bus {
    role: String,
    address: SocketAddr,
    server: Mutex<Redis>,
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
        let started = start_in(directory, setup).await;
        started.map(|parts| Processes(Arc::new(parts))).context("the cluster does not start")
    }
}

async fn start_in(directory: TempDir, setup: Setup) -> Result<Parts> {
    setup.check()?;
    let wanted = setup.clone();
    let database = spawn_blocking(move || Database::start(&wanted));
    let mut redises = Vec::new();
    for role in setup.redises() {
        let redis = if setup.is_redis_down { Redis::down()? } else { Redis::start().await? };
        redises.push(Bus { role, address: redis.address(), server: Mutex::new(redis) });
    }
    let database = database.await??;
    let name = directory.path().file_name().context("a directory has a name")?.to_string_lossy().into_owned();
    let databases: Vec<_> = database.servers.iter().map(|server| (server.role.clone(), server.address)).collect();
    let buses: Vec<_> = redises.iter().map(|redis| (redis.role.clone(), redis.address)).collect();
    let links = match setup.has_relays {
        true => {
            let services = [databases.clone(), buses.clone()].concat();
            Some(Links::start(&name, IpAddr::from(Ipv4Addr::LOCALHOST), setup.nodes, services).await?)
        }
        false => None,
    };
    let files = write_files(&setup, directory.path())?;
    let mut starting = Vec::with_capacity(setup.nodes);
    for number in 1..=setup.nodes {
        let id = format!("node-{number}");
        let at = |services: &[(String, SocketAddr)]| -> Vec<SocketAddr> {
            let relayed = |service: &str| links.as_ref().and_then(|links| links.address(&id, service));
            services.iter().map(|(service, direct)| relayed(service).unwrap_or(*direct)).collect()
        };
        let urls = [("database.url", database.url_at(&at(&databases))), ("bus.url", bus_url(&at(&buses)))];
        let mut settings = setup.settings(&urls, &PROXY_ADDRESS.to_string());
        settings.iter_mut().for_each(|(_, value)| in_directory(&files, value));
        starting.push(Node::start(id, settings, setup.is_guarded(), directory.path()));
    }
    let nodes = try_join_all(starting).await?;
    let nginx = Nginx::start(&nodes.iter().map(Node::address).collect::<Vec<_>>()).await?;
    let entry = nginx.address();
    Ok(Parts {
        nodes,
        nginx: Mutex::new(nginx),
        entry,
        is_guarded: setup.is_guarded(),
        redises,
        database,
        _links: links,
        directory,
        name,
        records: Records::default(),
    })
}

/// Writes the setup's files; returns where each is instead.
fn write_files(setup: &Setup, directory: &Path) -> Result<Vec<(String, String)>> {
    let write = |(path, content): &(String, Vec<u8>)| {
        let place = directory.join(path.trim_start_matches('/'));
        fs::write(&place, content)?;
        Ok((path.clone(), place.display().to_string()))
    };
    setup.files.iter().map(write).collect()
}

/// A setting that names a file gets where that really is.
fn in_directory(files: &[(String, String)], value: &mut String) {
    if let Some((_, place)) = files.iter().find(|(path, _)| path == value) {
        value.clone_from(place);
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
        query(&self.database.urls(), statement).await
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
