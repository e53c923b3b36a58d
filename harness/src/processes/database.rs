//! The database of a cluster: servers of its own, or one that all clusters share that leave it alone.

use super::machine::Machine;
use crate::cluster::{Flavour, Probe, Replication, Setup, database_url};
use anyhow::{Result, bail, ensure};
use async_trait::async_trait;
use chat::config;
use chat::storage::{
    self,
    verify::{Finding, verify_all},
};
use parking_lot::Mutex;
use services::galera::{Galera, Member};
use services::mariadb::Mariadb;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use tokio::task::spawn_blocking;

/// One server for all clusters of this process that leave theirs alone: it takes a while to start.
static SHARED: LazyLock<Result<Mariadb, String>> =
    LazyLock::new(|| Mariadb::start().map_err(|error| format!("{error:#}")));
/// Names each cluster's database on its server.
static DATABASES: AtomicUsize = AtomicUsize::new(1);

pub(super) struct Database {
    name: String,
    pub replication: Replication,
    pub servers: Vec<Server>,
}

/// One of the servers.
pub(super) struct Server {
    pub role: String,
    pub address: SocketAddr,
    kind: Kind,
}

enum Kind {
    /// For several clusters: none may harm it.
    Shared,
    Own(Arc<Mutex<Mariadb>>),
    Member(Arc<Mutex<Member>>),
}

impl Database {
    /// Blocks for some seconds.
    pub fn start(setup: &Setup) -> Result<Database> {
        let name = format!("chat_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let servers = match setup.flavour {
            Flavour::Galera(count) => start_members(count, setup.has_clocks, &name)?,
            Flavour::GroupReplication(_) => bail!("a cluster of processes has no replication group: take containers"),
            Flavour::Mysql | Flavour::Mariadb => vec![start_alone(setup.has_own_database, &name)?],
        };
        let servers = setup.databases().into_iter().zip(servers);
        let servers = servers.map(|(role, (address, kind))| Server { role, address, kind }).collect();
        Ok(Database { name, replication: setup.flavour.replication(), servers })
    }

    /// As nodes are told it, where they reach the servers at these addresses.
    pub fn url_at(&self, addresses: &[SocketAddr]) -> String {
        database_url(addresses, &self.name)
    }

    /// Each server alone.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| self.url_at(&[server.address])).collect()
    }

    pub fn server(&self, role: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.role == role)
    }

    /// Whether every promise that the tables can break is kept.
    pub async fn verify(&self) -> Result<()> {
        let addresses: Vec<SocketAddr> = self.servers.iter().map(|server| server.address).collect();
        let config = config::Database { url: self.url_at(&addresses), ..Default::default() };
        let storage = storage::open_existing(&config).await?;
        let mut damaged = Vec::new();
        let told = |finding: Finding| damaged.extend(finding.wrong.is_damage().then_some(finding));
        verify_all(&*storage, false, told).await?;
        ensure!(damaged.is_empty(), "the database is damaged: {damaged:#?}");
        Ok(())
    }

    /// How a server shows that it does its work.
    pub fn probe(&self, server: &Server) -> Probe {
        let url = self.url_at(&[server.address]);
        if matches!(server.kind, Kind::Member(_)) { Probe::Member(url) } else { Probe::Sql(url) }
    }

    /// The only server, for what others must not notice.
    ///
    /// # Errors
    /// If it is shared, or there are several.
    pub fn own(&self) -> Result<SocketAddr> {
        match &self.servers[..] {
            [Server { kind: Kind::Own(_), address, .. }] => Ok(*address),
            _ => bail!("only a cluster with one database server, of its own, may harm it"),
        }
    }
}

fn start_alone(is_own: bool, name: &str) -> Result<(SocketAddr, Kind)> {
    if is_own {
        let server = Mariadb::start()?;
        server.create_database(name)?;
        return Ok((server.address(), Kind::Own(Arc::new(Mutex::new(server)))));
    }
    let server = SHARED.as_ref().map_err(|error| anyhow::Error::msg(error.clone()))?;
    server.create_database(name)?;
    Ok((server.address(), Kind::Shared))
}

fn start_members(count: usize, with_clocks: bool, name: &str) -> Result<Vec<(SocketAddr, Kind)>> {
    let galera = if with_clocks { Galera::start_with_clocks(count)? } else { Galera::start(count)? };
    galera.create_database(name)?;
    let members = galera.into_members().into_iter();
    Ok(members.map(|member| (member.address(), Kind::Member(Arc::new(Mutex::new(member))))).collect())
}

impl Server {
    pub fn administration(&self) -> String {
        format!("mysql://root@{}", self.address)
    }

    pub fn member(&self) -> Result<&Mutex<Member>> {
        match &self.kind {
            Kind::Member(member) => Ok(member),
            _ => bail!("{} is no member of a replicated database", self.role),
        }
    }

    fn harm(
        &self,
        own: impl FnOnce(&mut Mariadb) -> Result<()>,
        member: impl FnOnce(&mut Member) -> Result<()>,
    ) -> Result<()> {
        match &self.kind {
            Kind::Own(server) => own(&mut server.lock()),
            Kind::Member(server) => member(&mut server.lock()),
            Kind::Shared => bail!("only a cluster with a database server of its own may harm it"),
        }
    }
}

#[async_trait]
impl Machine for Server {
    async fn kill(&self) -> Result<()> {
        self.harm(Mariadb::kill, Member::kill)
    }

    async fn start(&self) -> Result<()> {
        match &self.kind {
            Kind::Member(member) => {
                let member = member.clone();
                spawn_blocking(move || member.lock().launch()).await?
            }
            Kind::Own(server) => {
                let server = server.clone();
                spawn_blocking(move || server.lock().restart()).await?
            }
            Kind::Shared => self.harm(|_| Ok(()), |_| Ok(())),
        }
    }

    async fn pause(&self) -> Result<()> {
        self.harm(|server| server.pause(), |member| member.pause())
    }

    async fn resume(&self) -> Result<()> {
        self.harm(|server| server.resume(), |member| member.resume())
    }
}
