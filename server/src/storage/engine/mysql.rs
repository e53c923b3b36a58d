//! MySQL 8 and 9 and MariaDB 10.6 and later.
//!
//! A node that is paused or cut off must not hold locks for long: sessions wait at most `LOCK_WAIT_S` for a lock, and
//! the server drops one that is silent for `SILENCE_S`. A connection that was left in the middle of a statement or a
//! transaction is closed, never pooled: whether its COMMIT was done is then unknown, and says so.

mod durability;
mod fault;
mod leased;
mod values;

use super::{Connection, Dialect, Engine, Result};
use crate::storage::{Error, Result as StorageResult};
use async_trait::async_trait;
use durability::warn_of_unflushed_commits;
use fault::{fault, unavailable};
use leased::Leased;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Executor, MySqlPool};
use std::str::FromStr;
use std::time::Duration;

/// What InnoDB waits for a row lock, in seconds; then 1205.
const LOCK_WAIT_S: u32 = 2;
/// After which silence, in seconds, the server drops a connection and rolls its transaction back.
const SILENCE_S: u32 = 10;
/// Older idle connections are not used again: well before the server may drop them.
const IDLE: Duration = Duration::from_secs(5);
/// Connections kept apart for the lease.
const RESERVED: u32 = 2;
/// Prepared statements kept per connection: all there are, in all their sizes. The server bounds their sum over all
/// connections (`max_prepared_stmt_count`, 16,382).
const STATEMENT_CACHE: usize = 256;

/// What `database.url` looks like.
pub const URL: &str = "mysql://user:password@host:port/database";

const SCHEMA: &str = include_str!("../../../../chat.sql");

pub static DIALECT: Dialect = Dialect {
    for_update: " FOR UPDATE",
    for_update_nowait: " FOR UPDATE NOWAIT",
    for_update_skip_locked: " FOR UPDATE SKIP LOCKED",
    for_share: " LOCK IN SHARE MODE",
    by_primary_key: " FORCE INDEX (PRIMARY)",
    greatest: "GREATEST",
    insert_ignore: ("INSERT IGNORE", ""),
    on_duplicate_id: "ON DUPLICATE KEY UPDATE",
    inserted: ("VALUES(", ")"),
    list_tables: "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    lock_schema: Some("SELECT GET_LOCK(CONCAT('chat-schema-', LEFT(DATABASE(), 40)), 30)"),
    unlock_schema: Some("SELECT RELEASE_LOCK(CONCAT('chat-schema-', LEFT(DATABASE(), 40)))"),
    schema: SCHEMA,
};

/// A pool of connections to one database.
pub struct Mysql {
    pool: MySqlPool,
    reserved: MySqlPool,
    description: String,
}

impl Mysql {
    /// Connects to a `mysql://` or `mariadb://` URL with at most `connections`, and two more for the lease.
    pub async fn open(url: &str, connections: u32, timeout: Duration) -> StorageResult<Self> {
        let options = MySqlConnectOptions::from_str(url)
            .map_err(|error| Error::Unusable(format!("the database URL is not usable: {error}")))?
            // What sqlx would set by itself is set below, together with the rest.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .charset("utf8mb4")
            .statement_cache_capacity(STATEMENT_CACHE);
        let place = format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().ok_or_else(|| Error::Unusable(
                "the database URL names no database: mysql://user:password@host:port/database".into()
            ))?
        );
        let main = pool(options.clone(), connections.max(1), timeout);
        let reserved = pool(options, RESERVED, timeout);
        let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&main).await.map_err(unavailable)?;
        let product = if version.contains("MariaDB") { "" } else { "MySQL " };
        warn_of_unflushed_commits(&main).await;
        Ok(Mysql { pool: main, reserved, description: format!("{product}{version}, {place}") })
    }
}

fn pool(options: MySqlConnectOptions, connections: u32, timeout: Duration) -> MySqlPool {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(timeout)
        .idle_timeout(IDLE)
        // A ping would cost every call a round trip; an old connection is replaced instead.
        .test_before_acquire(false)
        .before_acquire(|_, meta| Box::pin(async move { Ok(meta.idle_for <= IDLE) }))
        .after_connect(|connection, _| {
            Box::pin(async move {
                let settings = format!(
                    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                     SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}, SESSION wait_timeout = {SILENCE_S}, \
                     SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
                );
                connection.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

#[async_trait]
impl Engine for Mysql {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn writers(&self, configured: usize) -> usize {
        configured
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        lease(&self.pool).await
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        lease(&self.pool).await
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        lease(&self.reserved).await
    }
}

async fn lease(pool: &MySqlPool) -> Result<Box<dyn Connection>> {
    let pooled = pool.acquire().await.map_err(fault)?;
    Ok(Box::new(Leased::new(pooled)))
}
