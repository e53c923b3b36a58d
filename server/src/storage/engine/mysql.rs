//! MySQL 8 and 9 and MariaDB 10.6 and later.
//!
//! A node that is paused or cut off must not hold locks for long: sessions wait at most `LOCK_WAIT_S` for a lock, and
//! the server drops one that is silent for `SILENCE_S`. A connection that was left in the middle of a statement or a
//! transaction is closed, never pooled: whether its COMMIT was done is then unknown, and says so.

mod durability;

use super::{Connection, Dialect, Done, Engine, Fault, Result, Row, Value};
use crate::storage::{Error, Result as StorageResult};
use async_trait::async_trait;
use durability::warn_of_unflushed_commits;
use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor, MySql, MySqlPool, Row as _, Type, TypeInfo, ValueRef};
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

/// What the server says when a lock would have to be waited for that must not be (MySQL; MariaDB says 1205).
const LOCK_NOWAIT: u16 = 3572;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
/// What SQLSTATE begins with where a value is at fault: data exceptions, constraints, and what a trigger signals.
const DATA_CLASSES: [&str; 3] = ["22", "23", "45"];
/// The same where SQLSTATE says nothing: a character that the column cannot hold, and MySQL's CHECK.
const DATA_NUMBERS: [u16; 2] = [1366, 3819];

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
    Ok(Box::new(Leased { pooled: Some(pooled), is_busy: false, in_transaction: false }))
}

/// A connection from the pool. What is left unfinished when it is dropped ends with it.
struct Leased {
    /// `None` only while dropping.
    pooled: Option<PoolConnection<MySql>>,
    /// A statement was sent and its answer not read to the end, or the connection failed.
    is_busy: bool,
    /// Set from before BEGIN until COMMIT or ROLLBACK has returned.
    in_transaction: bool,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take()
            && (self.is_busy || self.in_transaction)
        {
            // Closing the socket makes the server roll back.
            drop(pooled.detach());
        }
    }
}

impl Leased {
    fn connection(&mut self) -> &mut PoolConnection<MySql> {
        self.pooled.as_mut().expect("taken only by drop")
    }

    async fn command(&mut self, sql: &'static str) -> Result<()> {
        self.is_busy = true;
        let outcome = sqlx::raw_sql(sql).execute(&mut **self.connection()).await;
        self.answered(outcome).map(|_| ())
    }

    /// After an answer, even a refusal, the connection can be used again; after anything else it cannot.
    fn answered<T>(&mut self, outcome: sqlx::Result<T>) -> Result<T> {
        self.is_busy = !matches!(outcome, Ok(_) | Err(sqlx::Error::Database(_)));
        outcome.map_err(fault)
    }
}

#[async_trait]
impl Connection for Leased {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        let arguments = bind(arguments)?;
        self.is_busy = true;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let outcome = query.execute(&mut **self.connection()).await;
        let done = self.answered(outcome)?;
        Ok(Done { affected: done.rows_affected(), last_id: done.last_insert_id().cast_signed() })
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        let arguments = bind(arguments)?;
        self.is_busy = true;
        let outcome = read_rows(self.connection(), sql, arguments, max_bytes).await;
        self.answered(outcome)
    }

    async fn begin(&mut self) -> Result<()> {
        self.in_transaction = true;
        self.command("BEGIN").await
    }

    async fn commit(&mut self) -> Result<()> {
        self.command("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.command("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }
}

async fn read_rows(
    connection: &mut PoolConnection<MySql>,
    sql: &str,
    arguments: MySqlArguments,
    max_bytes: usize,
) -> sqlx::Result<Vec<Row>> {
    let mut stream = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(&mut **connection);
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    // The driver reads what is left of the answer, and forgets it, before the connection's next statement.
    while bytes <= max_bytes
        && let Some(row) = stream.try_next().await?
    {
        let row = decode(&row)?;
        bytes = bytes.saturating_add(row.text_bytes());
        rows.push(row);
    }
    Ok(rows)
}

fn bind(values: &[Value]) -> Result<MySqlArguments> {
    use sqlx::Arguments;
    let mut arguments = MySqlArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(&**text),
            Value::Bytes(bytes) => arguments.add(&**bytes),
        }
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    }
    Ok(arguments)
}

fn decode(row: &MySqlRow) -> sqlx::Result<Row> {
    let mut values = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        let raw = row.try_get_raw(at)?;
        let kind = raw.type_info();
        let value = if raw.is_null() {
            Value::Null
        } else if kind.name().contains("INT") || kind.name() == "BOOLEAN" {
            Value::Int(row.try_get_unchecked(at)?)
        } else if <str as Type<MySql>>::compatible(&kind) {
            Value::Text(row.try_get_unchecked::<&str, _>(at)?.into())
        } else {
            Value::Bytes(row.try_get_unchecked(at)?)
        };
        values.push(value);
    }
    Ok(Row(values))
}

fn fault(error: sqlx::Error) -> Fault {
    if let sqlx::Error::Database(cause) = &error {
        if cause.is_unique_violation() {
            return Fault::Duplicate;
        }
        let is_data = cause.code().is_some_and(|state| DATA_CLASSES.iter().any(|class| state.starts_with(class)));
        return match cause.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number) {
            Some(DEADLOCK) => Fault::Deadlock,
            Some(LOCK_WAIT_TIMEOUT | LOCK_NOWAIT) => Fault::LockTimeout,
            Some(number) if is_data || DATA_NUMBERS.contains(&number) => Fault::Data(error.to_string()),
            _ => Fault::Refused(error.to_string()),
        };
    }
    Fault::Failed(unavailable(error))
}

fn unavailable(error: sqlx::Error) -> Error {
    Error::Unavailable(error.to_string())
}
