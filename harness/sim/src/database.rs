//! The cluster's database: real SQL on SQLite in memory, called inline, with faults below it.
//!
//! One connection serves everybody, one transaction at a time, and time passes between statements, so that others come
//! in between wherever a transaction does not hold them off. Who holds it and says nothing for a while (its process is
//! paused) loses it, with what it had not committed, as at a server that limits idle transactions.
//!
//! What is broken (see [`Troubles`]) strikes a node's statements: a COMMIT fails before it took effect or after, a
//! transaction is ended by a deadlock, a statement stalls, the connection is lost.

mod connection;
mod values;

use crate::chance::Chance;
use crate::trace::Trace;
use crate::troubles::Troubles;
use anyhow::Context;
use async_trait::async_trait;
use chat::storage::engine::{Connection, Engine, Result};
use chat_protocol::conversation::UserId;
use connection::Lease;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// A holder that has said nothing for so long loses its transaction.
const IDLE_LIMIT: Duration = Duration::from_secs(3);
/// Statements that SQLite keeps prepared: about as many as the storage has.
const PREPARED: usize = 256;

/// Shared by all nodes.
pub struct Database {
    chance: Chance,
    trace: Arc<Trace>,
    troubles: Arc<Troubles>,
    inner: Mutex<Inner>,
    is_free: Notify,
}

struct Inner {
    sqlite: rusqlite::Connection,
    leases: u64,
    holder: Option<Holder>,
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
    pub fn open(seed: u64, trace: Arc<Trace>, troubles: Arc<Troubles>) -> anyhow::Result<Arc<Database>> {
        let sqlite = rusqlite::Connection::open_in_memory().context("cannot open a database in memory")?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        // Else SQLite plans many a statement anew for every value that is bound, though there are no statistics.
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).context("cannot keep plans")?;
        let inner = Mutex::new(Inner { sqlite, leases: 0, holder: None });
        Ok(Arc::new(Database { chance: Chance::new(seed, "database"), trace, troubles, inner, is_free: Notify::new() }))
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

    /// A connection for a node.
    async fn lease(self: &Arc<Self>, node: usize) -> Result<Lease> {
        Lease::arrive(self, node).await?;
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
                        return Ok(Lease { database: self.clone(), node, lease });
                    }
                }
            };
            let _ = timeout_at(lost_at, freed).await;
        }
    }
}

impl Inner {
    /// Whoever holds the connection holds it no more, and its transaction is undone.
    fn end_transaction(&mut self) {
        if self.holder.take().is_some_and(|holder| holder.in_transaction) {
            // There is nothing else that could be done; it fails only where SQLite has rolled back by itself.
            let _ = self.sqlite.execute_batch("ROLLBACK");
        }
    }
}

/// What a node's storage runs on.
pub struct SharedEngine {
    pub database: Arc<Database>,
    pub node: usize,
}

#[async_trait]
impl Engine for SharedEngine {
    fn describe(&self) -> String {
        "simulated SQLite".into()
    }

    fn writers(&self, configured: usize) -> usize {
        configured
    }

    async fn read(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.database.lease(self.node).await?))
    }

    async fn write(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.database.lease(self.node).await?))
    }

    async fn reserved(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.database.lease(self.node).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Breaking, Fault};
    use chat::storage::engine;
    use chat::storage::{Storage, open_on};
    use chat_environment::Environment;

    const NODE: usize = 0;
    const OTHER: usize = 1;

    async fn open() -> (Arc<Database>, Arc<dyn Storage>) {
        let trace = Arc::new(Trace::start(false));
        let database = Database::open(3, trace.clone(), Troubles::new(3, trace)).expect("it opens");
        let engine = Box::new(SharedEngine { database: database.clone(), node: NODE });
        let storage = open_on(engine, Duration::from_secs(5), &Environment::default()).await.expect("an empty one");
        (database, storage)
    }

    /// In place of all that was broken.
    fn breaks(database: &Database, what: Breaking) {
        database.troubles.begin(0, &Fault { at_ms: 0, length_ms: 2_000, what });
    }

    async fn count(database: &Arc<Database>) -> i64 {
        let mut lease = database.lease(OTHER).await.expect("it is not cut");
        let row = lease.first("SELECT COUNT(*) FROM meta WHERE name = 'x'", &[]).await.expect("it works");
        row.expect("a row").int(0).expect("a number")
    }

    async fn insert(database: &Arc<Database>) -> Result<()> {
        let mut lease = database.lease(NODE).await?;
        lease.begin().await?;
        lease.run("INSERT INTO meta (name, value) VALUES (?, ?)", &["x".into(), "y".into()]).await?;
        lease.commit().await
    }

    #[tokio::test(start_paused = true)]
    async fn commit_fails_before_it_took_effect_or_after() {
        let (database, storage) = open().await;
        assert_eq!(storage.describe(), "simulated SQLite");

        breaks(&database, Breaking::Commits { before: 100, after: 0, node: Some(NODE) });
        assert!(insert(&database).await.is_err());
        assert_eq!(count(&database).await, 0);

        breaks(&database, Breaking::Commits { before: 0, after: 100, node: None });
        assert!(insert(&database).await.is_err());
        assert_eq!(count(&database).await, 1);

        database.troubles.end(0);
        assert!(matches!(insert(&database).await, Err(engine::Fault::Duplicate)));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_holder_loses_its_transaction() {
        let (database, _storage) = open().await;
        let mut silent = database.lease(NODE).await.expect("it is not cut");
        silent.begin().await.expect("it works");
        let sql = "INSERT INTO meta (name, value) VALUES ('x', 'y')";
        silent.run(sql, &[]).await.expect("it works");
        let begun = Instant::now();

        assert_eq!(count(&database).await, 0);

        assert!(begun.elapsed() >= IDLE_LIMIT);
        assert!(silent.commit().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn stall_holds_every_statement_of_whom_it_strikes() {
        let (database, _storage) = open().await;
        let begun = Instant::now();
        breaks(&database, Breaking::Stall { node: Some(NODE) });
        count(&database).await;
        assert!(begun.elapsed() < Duration::from_secs(1));
        breaks(&database, Breaking::Stall { node: None });
        count(&database).await;
        assert!(begun.elapsed() >= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn transaction_that_meets_trouble_is_undone() {
        let (database, _storage) = open().await;
        breaks(&database, Breaking::Deadlocks { percent: 100, node: None });
        assert!(matches!(insert(&database).await, Err(engine::Fault::Deadlock)));
        breaks(&database, Breaking::LockTimeouts { percent: 100, node: None });
        assert!(matches!(insert(&database).await, Err(engine::Fault::LockTimeout)));
        breaks(&database, Breaking::ReadOnly { node: Some(NODE) });
        assert!(matches!(insert(&database).await, Err(engine::Fault::Refused(_))));
        breaks(&database, Breaking::CutDatabase { node: NODE });
        assert!(insert(&database).await.is_err());

        assert_eq!(count(&database).await, 0);
        database.troubles.end(0);
        insert(&database).await.expect("all is well again");
    }
}
