//! MySQL 8 and 9 and MariaDB 10.6 and later, alone or in a group: Galera, Group Replication.
//!
//! Of several `servers` one is used, the first that is ready for writes. A connection that was left in the middle of a
//! statement or a transaction is closed, never used again: whether its COMMIT was done is then unknown, and says so. A
//! node that is paused or cut off must not hold locks for long: sessions wait for locks only briefly, and the server
//! drops one that is silent (`connect`).

mod acquired;
mod choice;
mod connect;
mod durability;
mod fault;
mod role;
mod servers;
mod values;
mod watch;

pub use connect::Purpose;

use super::{Connection, Dialect, Engine, Result};
use crate::config::database_url::{self, DatabaseUrl, ServerUrl};
use crate::storage::{Error, Result as StorageResult, ServerState};
use async_trait::async_trait;
use chat_environment::Tasks;
use servers::{Server, Servers, Use};
use sqlx::mysql::MySqlConnectOptions;
use std::str::FromStr;
use std::time::Duration;

/// Prepared statements kept per connection: all there are, in all their sizes. The server bounds their sum over all
/// connections (`max_prepared_stmt_count`, 16,382).
const STATEMENT_CACHE: usize = 256;

/// What `database.url` looks like.
pub const URL: &str = database_url::FORM;

const SCHEMA: &str = include_str!("../../../../chat.sql");

pub static DIALECT: Dialect = Dialect {
    for_update: " FOR UPDATE",
    for_update_nowait: " FOR UPDATE NOWAIT",
    for_update_skip_locked: " FOR UPDATE SKIP LOCKED",
    for_share: " LOCK IN SHARE MODE",
    by_primary_key: " FORCE INDEX (PRIMARY)",
    row_list: "",
    greatest: "GREATEST",
    insert_ignore: ("INSERT IGNORE", ""),
    on_duplicate_id: "ON DUPLICATE KEY UPDATE",
    inserted: ("VALUES(", ")"),
    list_tables: "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    schema: SCHEMA,
};

/// A database at one server or several.
pub struct Mysql {
    servers: Servers,
    database: String,
    timeout: Duration,
}

impl Mysql {
    /// Uses at most `connections` to the server in use, and two more for the lease; returns once there is such a
    /// server.
    pub async fn open(
        url: &str,
        purpose: Purpose,
        connections: u32,
        timeout: Duration,
        tasks: &Tasks,
    ) -> StorageResult<Self> {
        let DatabaseUrl { servers, database } = DatabaseUrl::parse(url).map_err(unusable)?;
        let servers = servers.into_iter().map(server).collect::<StorageResult<Vec<Server>>>()?;
        let servers = Servers::watch(servers, purpose, connections, tasks);
        // Boxed, since the future of a node's start is nested deeper than the compiler follows.
        Box::pin(servers.acquire(Use::Any, timeout)).await?;
        Ok(Mysql { servers, database, timeout })
    }
}

fn server(of: ServerUrl) -> StorageResult<Server> {
    let options = MySqlConnectOptions::from_str(&of.url)
        .map_err(unusable)?
        // What sqlx would set by itself is set with the rest of a session.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .charset("utf8mb4")
        .statement_cache_capacity(STATEMENT_CACHE);
    Ok(Server::new(of.place, options))
}

fn unusable(why: impl std::fmt::Display) -> Error {
    Error::Unusable(format!("the database URL is not usable: {why}"))
}

#[async_trait]
impl Engine for Mysql {
    fn describe(&self) -> String {
        let states = self.servers.states();
        let places: Vec<String> = states.iter().map(|server| server.place.clone()).collect();
        let used = states.iter().find(|server| server.is_used).filter(|_| states.len() > 1);
        let used = used.map(|server| format!(", uses {}", server.place)).unwrap_or_default();
        let version = self.servers.version().unwrap_or_else(|| "MySQL".into());
        format!("{version}, {}/{}{used}", places.join(","), self.database)
    }

    fn writers(&self, configured: usize) -> usize {
        configured
    }

    fn servers(&self) -> Vec<ServerState> {
        self.servers.states()
    }

    fn server_changes(&self) -> u64 {
        self.servers.changes()
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.servers.acquire(Use::Any, self.timeout).await?))
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        self.read().await
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.servers.acquire(Use::Lease, self.timeout).await?))
    }
}
