//! The database of a cluster: on a server of its own, or on one that all clusters share that leave it alone.

use super::machine::Machine;
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use chat::config;
use chat::storage::{
    self,
    verify::{Finding, verify_all},
};
use parking_lot::Mutex;
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
    address: SocketAddr,
    /// `None`: it is shared.
    own: Option<Arc<Mutex<Mariadb>>>,
}

impl Database {
    /// Blocks for some seconds.
    pub fn start(is_own: bool) -> Result<Database> {
        let name = format!("chat_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        if is_own {
            let server = Mariadb::start()?;
            server.create_database(&name)?;
            return Ok(Database { name, address: server.address(), own: Some(Arc::new(Mutex::new(server))) });
        }
        let server = SHARED.as_ref().map_err(|error| anyhow::Error::msg(error.clone()))?;
        server.create_database(&name)?;
        Ok(Database { name, address: server.address(), own: None })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        self.url_at(self.address)
    }

    /// The database as it is reached through a relay.
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("mysql://chat:chat@{address}/{}", self.name)
    }

    /// Whether every promise that the tables can break is kept.
    pub async fn verify(&self) -> Result<()> {
        let config = config::Database { url: self.url(), ..Default::default() };
        let storage = storage::open_existing(&config).await?;
        let mut damaged = Vec::new();
        let told = |finding: Finding| damaged.extend(finding.wrong.is_damage().then_some(finding));
        verify_all(&*storage, false, told).await?;
        ensure!(damaged.is_empty(), "the database is damaged: {damaged:#?}");
        Ok(())
    }

    /// For what others must not notice.
    ///
    /// # Errors
    /// If it is shared.
    pub fn own(&self) -> Result<&Database> {
        self.server().map(|_| self)
    }

    fn server(&self) -> Result<&Arc<Mutex<Mariadb>>> {
        self.own.as_ref().context("only a cluster with a database server of its own may harm it")
    }
}

#[async_trait]
impl Machine for Database {
    async fn kill(&self) -> Result<()> {
        self.server()?.lock().kill()
    }

    async fn start(&self) -> Result<()> {
        let server = self.server()?.clone();
        spawn_blocking(move || server.lock().restart()).await?
    }

    async fn pause(&self) -> Result<()> {
        self.server()?.lock().pause()
    }

    async fn resume(&self) -> Result<()> {
        self.server()?.lock().resume()
    }
}
