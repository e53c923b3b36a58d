//! SQLite: one file, one process, nothing to install.
//!
//! One connection writes, a few read beside it (WAL). Every commit is flushed (`synchronous=FULL`): an acknowledged
//! message survives a power cut. A second process on the same file would not see this one's sessions end, so the file
//! is locked, and whoever comes second is told how to run several nodes.

mod checkpoints;

use super::{Connection, Dialect, Done, Engine, Fault, Result, Row, Value};
use crate::storage::{Error, Result as StorageResult};
use async_trait::async_trait;
use chat_environment::Tasks;
use checkpoints::{Checkpoints, MAX_LOG_PAGES};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection, TypeInfo, ValueRef};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

/// Connections that only read; more readers at once wait for one another.
const READERS: usize = 4;
/// How long SQLite itself waits for a lock within this process, for example while a checkpoint ends.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: all there are, in all their sizes.
const STATEMENT_CACHE: usize = 256;
/// Rows that SQLite's thread may be ahead of whoever reads them: all of a batch's conversations, so that the two need
/// not take turns.
const ROW_BUFFER: usize = 1_024;

/// What the writer keeps of the database in memory, at most (in KiB, as SQLite writes it: 32 MiB). Messages go to as
/// many places as there are conversations; with SQLite's own 2 MiB each is read again from the file.
const WRITER_CACHE: &str = "-32768";

pub static DIALECT: Dialect = Dialect {
    for_update: "",
    for_update_nowait: "",
    for_update_skip_locked: "",
    for_share: "",
    by_primary_key: "",
    row_list: "VALUES ",
    greatest: "MAX",
    insert_ignore: ("INSERT OR IGNORE", ""),
    on_duplicate_id: "ON CONFLICT (id) DO UPDATE SET",
    inserted: ("excluded.", ""),
    list_tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
    schema: SCHEMA,
};

/// What `database.url` looks like.
pub const URL: &str = "sqlite:PATH";

const SCHEMA: &str = include_str!("sqlite/schema.sql");

/// An open SQLite database.
pub struct Sqlite {
    /// Empty for a database in memory, where the writer reads as well.
    readers: Vec<Arc<Mutex<Handle>>>,
    next_reader: AtomicUsize,
    writer: Arc<Mutex<Handle>>,
    version: String,
    place: String,
    /// Ends with the database.
    _checkpoints: Option<Checkpoints>,
    /// Held as long as the database is open.
    _lock: Option<File>,
}

struct Handle {
    connection: SqliteConnection,
    /// Set from before BEGIN until COMMIT or ROLLBACK has returned.
    in_transaction: bool,
    /// Told of every commit.
    committed: Arc<Notify>,
}

impl Sqlite {
    /// Opens, and makes if missing, the database of a `sqlite:PATH` or `sqlite::memory:` URL.
    pub async fn open(url: &str, tasks: &Tasks) -> StorageResult<Self> {
        if matches!(url, "sqlite::memory:" | "sqlite://:memory:") {
            let writer = connect(&SqliteConnectOptions::new().filename(":memory:")).await?;
            return Self::with(Handle::new(writer), Vec::new(), "in memory".into()).await;
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| Error::Unusable(format!("database.url {url:?}: {error}")))?
            .create_if_missing(true);
        let path = options.get_filename().to_path_buf();
        let lock = lock(&path)?;
        // The writer comes first: it makes the file, and turns WAL on.
        let writer = Handle::new(connect(&options.clone().pragma("cache_size", WRITER_CACHE)).await?);
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(Handle::new(connect(&options.clone().pragma("query_only", "on")).await?));
        }
        let committed = writer.lock().await.committed.clone();
        let checkpoints = Checkpoints::start(tasks, connect(&options).await?, writer.clone(), committed);
        let sqlite = Self::with(writer, readers, path.display().to_string()).await?;
        Ok(Sqlite { _checkpoints: Some(checkpoints), _lock: Some(lock), ..sqlite })
    }

    async fn with(writer: Arc<Mutex<Handle>>, readers: Vec<Arc<Mutex<Handle>>>, place: String) -> StorageResult<Self> {
        let version = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut writer.lock().await.connection)
            .await
            .map_err(|error| Error::Unusable(format!("database {place}: {error}")))?;
        let next_reader = AtomicUsize::new(0);
        Ok(Sqlite { readers, next_reader, writer, version, place, _checkpoints: None, _lock: None })
    }
}

impl Handle {
    fn new(connection: SqliteConnection) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Handle { connection, in_transaction: false, committed: Arc::default() }))
    }
}

/// The file that a URL of ours names.
pub fn path(url: &str) -> Option<PathBuf> {
    let options = SqliteConnectOptions::from_str(url).ok().filter(|_| url.starts_with("sqlite:"))?;
    Some(options.get_filename().to_path_buf()).filter(|_| !url.contains(":memory:"))
}

async fn connect(options: &SqliteConnectOptions) -> StorageResult<SqliteConnection> {
    let options = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", MAX_LOG_PAGES)
        .row_buffer_size(ROW_BUFFER)
        .statement_cache_capacity(STATEMENT_CACHE);
    SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| Error::Unusable(format!("database {}: {error}", options.get_filename().display())))
}

/// The lock is a file of its own beside the database: SQLite's locks come and go with every transaction.
fn lock(database: &Path) -> StorageResult<File> {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let unusable = |error: std::io::Error| Error::Unusable(format!("lock file {}: {error}", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
        Err(TryLockError::WouldBlock) => Err(Error::Unusable(format!(
            "{} is in use by another process; to run several nodes set \
             database.url = \"mysql://user:password@host/database\" and bus.url = \"redis://host:6379\"",
            database.display()
        ))),
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn describe(&self) -> String {
        format!("SQLite {}, {}", self.version, self.place)
    }

    fn writers(&self, _configured: usize) -> usize {
        1
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        if self.readers.is_empty() {
            return self.write().await;
        }
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        acquire(&self.readers[turn]).await
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        acquire(&self.writer).await
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        self.write().await
    }

    /// Who stops a node and takes its file along must not lose what only stands in the log beside it.
    async fn close(&self) -> Result<()> {
        let mut writer = self.writer.lock().await;
        checkpoints::empty(&mut writer.connection).await.map_err(fault)
    }
}

async fn acquire(handle: &Arc<Mutex<Handle>>) -> Result<Box<dyn Connection>> {
    let mut guard = handle.clone().lock_owned().await;
    if guard.in_transaction {
        // Whoever had it last was cut off by a timeout. COMMIT may have been done or not; if it was, there is nothing
        // to roll back, and SQLite says so.
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut guard.connection).await;
        guard.in_transaction = false;
    }
    Ok(Box::new(Acquired(guard)))
}

struct Acquired(OwnedMutexGuard<Handle>);

impl Acquired {
    async fn command(&mut self, sql: &'static str) -> Result<()> {
        sqlx::raw_sql(sql).execute(&mut self.0.connection).await.map(|_| ()).map_err(fault)
    }
}

#[async_trait]
impl Connection for Acquired {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bind(arguments)?);
        let done = query.execute(&mut self.0.connection).await.map_err(fault)?;
        Ok(Done { affected: done.rows_affected(), last_id: done.last_insert_rowid() })
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        let mut stream = sqlx::query_with(AssertSqlSafe(sql), bind(arguments)?).fetch(&mut self.0.connection);
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        while bytes <= max_bytes
            && let Some(row) = stream.try_next().await.map_err(fault)?
        {
            let row = decode(&row)?;
            bytes = bytes.saturating_add(row.text_bytes());
            rows.push(row);
        }
        Ok(rows)
    }

    async fn begin(&mut self) -> Result<()> {
        self.0.in_transaction = true;
        self.command("BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<()> {
        self.command("COMMIT").await?;
        self.0.in_transaction = false;
        self.0.committed.notify_one();
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.command("ROLLBACK").await?;
        self.0.in_transaction = false;
        Ok(())
    }
}

fn bind(values: &[Value]) -> Result<SqliteArguments> {
    use sqlx::Arguments;
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(text.clone()),
            Value::Bytes(bytes) => arguments.add(bytes.clone()),
        }
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    }
    Ok(arguments)
}

fn decode(row: &SqliteRow) -> Result<Row> {
    let mut values = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        let raw = row.try_get_raw(at).map_err(fault)?;
        let value = match (raw.is_null(), raw.type_info().name()) {
            (true, _) => Value::Null,
            (_, "INTEGER") => Value::Int(row.try_get_unchecked(at).map_err(fault)?),
            (_, "BLOB") => Value::Bytes(row.try_get_unchecked(at).map_err(fault)?),
            _ => Value::Text(row.try_get_unchecked::<&str, _>(at).map_err(fault)?.into()),
        };
        values.push(value);
    }
    Ok(Row(values))
}

/// SQLITE_BUSY and SQLITE_LOCKED in the low byte of an extended result code.
const LOCKED_CODES: [i64; 2] = [5, 6];
/// SQLITE_TOOBIG, SQLITE_CONSTRAINT (which is also what a trigger raises) and SQLITE_MISMATCH.
const DATA_CODES: [i64; 3] = [18, 19, 20];

fn fault(error: sqlx::Error) -> Fault {
    if let sqlx::Error::Database(cause) = &error {
        if cause.is_unique_violation() {
            return Fault::Duplicate;
        }
        let code = cause.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or(0);
        if LOCKED_CODES.contains(&(code & 0xff)) {
            return Fault::LockTimeout;
        }
        if DATA_CODES.contains(&(code & 0xff)) {
            return Fault::Data(error.to_string());
        }
    }
    Fault::Failed(Error::Unavailable(error.to_string()))
}
