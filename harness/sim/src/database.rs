//! The cluster's database: real SQL on SQLite in memory, called inline, with faults below it.
//!
//! One connection serves everybody, one transaction at a time, and time passes between statements, so that others come
//! in between wherever a transaction does not hold them off. Who holds it and says nothing for a while (its process is
//! paused) loses it, with what it had not committed, as at a server that limits idle transactions.
//!
//! A COMMIT can fail before it took effect and after; any statement can stall.

use crate::chance::Chance;
use crate::trace::Trace;
use anyhow::Context;
use async_trait::async_trait;
use chat::storage::Error;
use chat::storage::engine::{Connection, Dialect, Done, Engine, Fault, Result, Row, Value, sqlite};
use chat_protocol::conversation::UserId;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{ErrorCode, params_from_iter};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

/// A holder that has said nothing for so long loses its transaction.
const IDLE_LIMIT: Duration = Duration::from_secs(3);
/// One statement in so many takes time, at most this.
const SLOW_ONCE_IN: u64 = 4;
const SLOW_MS: u64 = 2;
/// What a COMMIT takes at most.
const COMMIT_MS: u64 = 3;

/// Shared by all nodes.
pub struct Database {
    chance: Chance,
    trace: Arc<Trace>,
    inner: Mutex<Inner>,
    is_free: Notify,
}

struct Inner {
    sqlite: rusqlite::Connection,
    leases: u64,
    holder: Option<Holder>,
    /// Of a hundred COMMITs so many fail before they took effect, and so many after.
    fails_before: u8,
    fails_after: u8,
    stalled_until: Option<Instant>,
}

struct Holder {
    lease: u64,
    in_transaction: bool,
    last_heard: Instant,
}

/// One message that the database holds.
pub struct StoredRow {
    pub conv: String,
    pub seq: u64,
    pub sender: UserId,
    pub mid: Uuid,
    pub text: String,
}

impl Database {
    pub fn open(seed: u64, trace: Arc<Trace>) -> anyhow::Result<Arc<Database>> {
        let sqlite = rusqlite::Connection::open_in_memory().context("cannot open a database in memory")?;
        let inner = Inner { sqlite, leases: 0, holder: None, fails_before: 0, fails_after: 0, stalled_until: None };
        let chance = Chance::new(seed, "database");
        Ok(Arc::new(Database { chance, trace, inner: Mutex::new(inner), is_free: Notify::new() }))
    }

    /// From now on so many of a hundred COMMITs fail before they took effect, and so many after.
    pub fn fail_commits(&self, before: u8, after: u8) {
        let mut inner = self.inner.lock();
        (inner.fails_before, inner.fails_after) = (before, after);
    }

    /// No statement is answered for a while.
    pub fn stall(&self, length: Duration) {
        self.inner.lock().stalled_until = Some(Instant::now() + length);
    }

    /// From now on messages that are removed are kept aside. The tables must be there.
    pub fn keep_removed(&self) -> anyhow::Result<()> {
        const KEEP: &str = "CREATE TABLE removed (conv TEXT, seq INTEGER, sender INTEGER, mid BLOB, body TEXT);
             CREATE TRIGGER remove BEFORE DELETE ON message
             BEGIN INSERT INTO removed VALUES (old.conv, old.seq, old.sender, old.mid, old.body); END";
        self.inner.lock().sqlite.execute_batch(KEEP).context("cannot watch the messages")
    }

    /// All messages that ever were, past every fault.
    pub fn messages(&self) -> anyhow::Result<Vec<StoredRow>> {
        const ALL: &str = "SELECT conv, seq, sender, mid, body FROM message \
                           UNION ALL SELECT conv, seq, sender, mid, body FROM removed ORDER BY 1, 2";
        let inner = self.inner.lock();
        let mut query = inner.sqlite.prepare(ALL)?;
        let rows = query.query_map([], |row| {
            let mid: Vec<u8> = row.get(3)?;
            let mid = Uuid::from_slice(&mid).unwrap_or_default();
            let (seq, sender): (i64, i64) = (row.get(1)?, row.get(2)?);
            let (seq, sender) = (seq.unsigned_abs(), sender.unsigned_abs());
            Ok(StoredRow { conv: row.get(0)?, seq, sender, mid, text: row.get(4)? })
        })?;
        rows.collect::<std::result::Result<_, _>>().context("cannot read the messages")
    }

    async fn lease(self: &Arc<Self>) -> Lease {
        loop {
            let freed = self.is_free.notified();
            let lost_at = {
                let mut inner = self.inner.lock();
                let now = Instant::now();
                match &inner.holder {
                    Some(holder) if now < holder.last_heard + IDLE_LIMIT => holder.last_heard + IDLE_LIMIT,
                    _ => {
                        inner.end_transaction();
                        inner.leases += 1;
                        let lease = inner.leases;
                        inner.holder = Some(Holder { lease, in_transaction: false, last_heard: now });
                        return Lease { database: self.clone(), lease };
                    }
                }
            };
            let _ = timeout_at(lost_at, freed).await;
        }
    }
}

impl Inner {
    fn end_transaction(&mut self) {
        if self.holder.take().is_some_and(|holder| holder.in_transaction) {
            // There is nothing else that could be done; it fails only where SQLite has rolled back by itself.
            let _ = self.sqlite.execute_batch("ROLLBACK");
        }
    }
}

/// What a node's storage runs on.
pub struct SharedEngine(pub Arc<Database>);

#[async_trait]
impl Engine for SharedEngine {
    fn describe(&self) -> String {
        "simulated SQLite".into()
    }

    fn writers(&self, configured: usize) -> usize {
        configured
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.0.lease().await))
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.0.lease().await))
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.0.lease().await))
    }
}

/// The connection, for one operation.
struct Lease {
    database: Arc<Database>,
    lease: u64,
}

impl Lease {
    /// Lets time pass as a server's answer takes it.
    async fn take_time(&self, once_in: u64, most_ms: u64) {
        let stalled_until = self.database.inner.lock().stalled_until;
        if let Some(until) = stalled_until.filter(|until| *until > Instant::now()) {
            sleep_until(until).await;
        }
        let chance = &self.database.chance;
        if chance.once_in(once_in) {
            sleep(chance.wait(most_ms)).await;
        }
    }

    /// The database, as long as this connection is good.
    fn holding(&self) -> Result<MutexGuard<'_, Inner>> {
        let mut inner = self.database.inner.lock();
        match &mut inner.holder {
            Some(holder) if holder.lease == self.lease => holder.last_heard = Instant::now(),
            _ => return Err(lost("the connection was cut")),
        }
        Ok(inner)
    }

    fn set_in_transaction(inner: &mut Inner, is: bool) {
        if let Some(holder) = &mut inner.holder {
            holder.in_transaction = is;
        }
    }
}

fn lost(why: &str) -> Fault {
    Fault::Failed(Error::Unavailable(why.into()))
}

#[async_trait]
impl Connection for Lease {
    fn dialect(&self) -> &'static Dialect {
        &sqlite::DIALECT
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        self.take_time(SLOW_ONCE_IN, SLOW_MS).await;
        let inner = self.holding()?;
        self.database.trace.note("sql", format_args!("{} {sql} {arguments:?}", self.lease));
        let affected = inner.sqlite.execute(sql, params_from_iter(arguments.iter().map(bind))).map_err(fault)?;
        Ok(Done { affected: affected as u64, last_id: inner.sqlite.last_insert_rowid() })
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        self.take_time(SLOW_ONCE_IN, SLOW_MS).await;
        let inner = self.holding()?;
        self.database.trace.note("sql", format_args!("{} {sql} {arguments:?}", self.lease));
        let mut statement = inner.sqlite.prepare(sql).map_err(fault)?;
        let columns = statement.column_count();
        let mut found = statement.query(params_from_iter(arguments.iter().map(bind))).map_err(fault)?;
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        while bytes <= max_bytes
            && let Some(row) = found.next().map_err(fault)?
        {
            let values: Result<Vec<Value>> =
                (0..columns).map(|column| decode(row.get_ref(column).map_err(fault)?)).collect();
            let row = Row(values?);
            bytes = bytes.saturating_add(row.text_bytes());
            rows.push(row);
        }
        Ok(rows)
    }

    async fn begin(&mut self) -> Result<()> {
        self.take_time(SLOW_ONCE_IN, SLOW_MS).await;
        let mut inner = self.holding()?;
        inner.sqlite.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
        Lease::set_in_transaction(&mut inner, true);
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let chance = &self.database.chance;
        // Its answer can be late as well as itself.
        let (answer_is_late, roll) = (chance.once_in(2), chance.below(100) as u8);
        if !answer_is_late {
            self.take_time(1, COMMIT_MS).await;
        }
        let is_lost_after = {
            let mut inner = self.holding()?;
            let (before, after) = (inner.fails_before, inner.fails_after);
            if roll < before {
                self.database.trace.note("commit", format_args!("{} lost before it", self.lease));
                inner.end_transaction();
                self.database.is_free.notify_one();
                return Err(lost("the connection was cut before COMMIT"));
            }
            inner.sqlite.execute_batch("COMMIT").map_err(fault)?;
            Lease::set_in_transaction(&mut inner, false);
            roll < before.saturating_add(after)
        };
        self.database.trace.note("commit", format_args!("{} lost after it: {is_lost_after}", self.lease));
        if answer_is_late {
            self.take_time(1, COMMIT_MS).await;
        }
        if is_lost_after { Err(lost("the connection was cut after COMMIT")) } else { Ok(()) }
    }

    async fn rollback(&mut self) -> Result<()> {
        let mut inner = self.holding()?;
        inner.sqlite.execute_batch("ROLLBACK").map_err(fault)?;
        Lease::set_in_transaction(&mut inner, false);
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut inner = self.database.inner.lock();
        if inner.holder.as_ref().is_some_and(|holder| holder.lease == self.lease) {
            inner.end_transaction();
            self.database.is_free.notify_one();
        }
    }
}

fn bind(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Int(number) => SqlValue::Integer(*number),
        Value::Text(text) => SqlValue::Text(text.to_string()),
        Value::Bytes(bytes) => SqlValue::Blob(bytes.clone()),
    }
}

fn decode(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Real(number) => return Err(lost(&format!("a fraction, {number}, which no column of ours holds"))),
    })
}

/// SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY and SQLITE_CONSTRAINT_ROWID.
const DUPLICATE_CODES: [i32; 3] = [2067, 1555, 2579];

fn fault(error: rusqlite::Error) -> Fault {
    match &error {
        rusqlite::Error::SqliteFailure(cause, _) if DUPLICATE_CODES.contains(&cause.extended_code) => Fault::Duplicate,
        rusqlite::Error::SqliteFailure(cause, _) => match cause.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Fault::LockTimeout,
            ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
                Fault::Data(error.to_string())
            }
            _ => lost(&error.to_string()),
        },
        _ => lost(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat::storage::{Storage, open_on};
    use chat_environment::Environment;

    async fn open() -> (Arc<Database>, Arc<dyn Storage>) {
        let database = Database::open(3, Arc::new(Trace::start(false))).expect("it opens");
        let engine = Box::new(SharedEngine(database.clone()));
        let storage = open_on(engine, Duration::from_secs(5), &Environment::default()).await.expect("an empty one");
        (database, storage)
    }

    async fn count(database: &Arc<Database>) -> i64 {
        let mut lease = database.lease().await;
        let row = lease.first("SELECT COUNT(*) FROM meta WHERE name = 'x'", &[]).await.expect("it works");
        row.expect("a row").int(0).expect("a number")
    }

    async fn insert(database: &Arc<Database>) -> Result<()> {
        let mut lease = database.lease().await;
        lease.begin().await?;
        lease.run("INSERT INTO meta (name, value) VALUES (?, ?)", &["x".into(), "y".into()]).await?;
        lease.commit().await
    }

    #[tokio::test(start_paused = true)]
    async fn commit_fails_before_it_took_effect_or_after() {
        let (database, storage) = open().await;
        assert_eq!(storage.describe(), "simulated SQLite");

        database.fail_commits(100, 0);
        assert!(insert(&database).await.is_err());
        assert_eq!(count(&database).await, 0);

        database.fail_commits(0, 100);
        assert!(insert(&database).await.is_err());
        assert_eq!(count(&database).await, 1);

        database.fail_commits(0, 0);
        assert!(matches!(insert(&database).await, Err(Fault::Duplicate)));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_holder_loses_its_transaction() {
        let (database, _storage) = open().await;
        let mut silent = database.lease().await;
        silent.begin().await.expect("it works");
        let sql = "INSERT INTO meta (name, value) VALUES ('x', 'y')";
        silent.run(sql, &[]).await.expect("it works");
        let begun = Instant::now();

        assert_eq!(count(&database).await, 0);

        assert!(begun.elapsed() >= IDLE_LIMIT);
        assert!(silent.commit().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn stall_holds_every_statement() {
        let (database, _storage) = open().await;
        let begun = Instant::now();
        database.stall(Duration::from_secs(2));
        count(&database).await;
        assert!(begun.elapsed() >= Duration::from_secs(2));
    }
}
