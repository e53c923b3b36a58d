//! The cluster's database: real SQL on SQLite in memory, called inline, with faults below it.
//!
//! One connection serves everybody, one transaction at a time, and time passes between statements, so that others come
//! in between wherever a transaction does not hold them off. Who holds it and says nothing for a while (its process is
//! paused) loses it, with what it had not committed, as at a server that limits idle transactions.
//!
//! What is broken (see [`Troubles`]) strikes a node's statements: a COMMIT fails before it took effect or after, a
//! transaction is ended by a deadlock, a statement stalls, the connection is lost.

mod connection;
mod failover;
mod lagging;
#[cfg(test)]
mod tests;
mod values;

use crate::chance::Chance;
use crate::trace::Trace;
use crate::troubles::Troubles;
use anyhow::Context;
use async_trait::async_trait;
use chat::storage::engine::{Connection, Engine, Result};
use chat_protocol::conversation::UserId;
use connection::Lease;
pub use failover::Loss;
use lagging::Lagging;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use values::lost;

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
    /// By node.
    lagging: BTreeMap<usize, Lagging>,
    /// Its server has failed, and no other has taken its place.
    is_down: bool,
    /// How often it has.
    failures: u64,
}

struct Holder {
    lease: u64,
    in_transaction: bool,
    last_heard: Instant,
}

/// One message that the database holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
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
        let inner = Inner { sqlite, leases: 0, holder: None, lagging: BTreeMap::new(), is_down: false, failures: 0 };
        let inner = Mutex::new(inner);
        Ok(Arc::new(Database { chance: Chance::new(seed, "database"), trace, troubles, inner, is_free: Notify::new() }))
    }

    /// From now on messages that are removed are kept aside. The tables must be there.
    pub fn keep_removed(&self) -> anyhow::Result<()> {
        const KEEP: &str = "CREATE TABLE removed
                 (conv TEXT, seq INTEGER, sender INTEGER, mid BLOB, body TEXT, log_epoch INTEGER);
             CREATE TRIGGER remove BEFORE DELETE ON message BEGIN INSERT INTO removed
                 VALUES (old.conv, old.seq, old.sender, old.mid, old.body, old.log_epoch); END";
        self.inner.lock().sqlite.execute_batch(KEEP).context("cannot watch the messages")
    }

    /// All messages that ever were, past every fault.
    pub fn messages(&self) -> anyhow::Result<Vec<StoredRow>> {
        messages(&self.inner.lock().sqlite)
    }

    /// The places of those that are kept no longer.
    pub fn removed(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let inner = self.inner.lock();
        let mut query = inner.sqlite.prepare("SELECT conv, seq, log_epoch FROM removed ORDER BY 1, 2")?;
        let places = query
            .query_map([], |row| Ok((log_name(row.get(0)?, row.get(2)?), row.get::<_, i64>(1)?.unsigned_abs())))?;
        places.collect::<std::result::Result<_, _>>().context("cannot read what was removed")
    }

    /// A connection for a node.
    async fn lease(self: &Arc<Self>, node: usize) -> Result<Lease> {
        Lease::arrive(self, node).await?;
        self.lease_at_once(node).await
    }

    /// The same past every fault but a server that is down.
    async fn lease_at_once(self: &Arc<Self>, node: usize) -> Result<Lease> {
        loop {
            let freed = self.is_free.notified();
            let lost_at = {
                let mut inner = self.inner.lock();
                let now = Instant::now();
                if inner.is_down {
                    return Err(lost("the database is down"));
                }
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

/// A log's name as clients see it: the epoch is in it once the log has lost its end.
fn log_name(conv: String, epoch: u32) -> String {
    if epoch > 0 { format!("{conv}.{epoch}") } else { conv }
}

fn messages(sqlite: &rusqlite::Connection) -> anyhow::Result<Vec<StoredRow>> {
    const ALL: &str = "SELECT conv, seq, sender, mid, body, log_epoch FROM message \
                       UNION ALL SELECT conv, seq, sender, mid, body, log_epoch FROM removed ORDER BY 1, 2";
    let mut query = sqlite.prepare(ALL)?;
    let rows = query.query_map([], |row| {
        let conv = log_name(row.get(0)?, row.get(5)?);
        let mid: Vec<u8> = row.get(3)?;
        let mid = Uuid::from_slice(&mid).unwrap_or_default();
        let (seq, sender): (i64, i64) = (row.get(1)?, row.get(2)?);
        let (seq, sender) = (seq.unsigned_abs(), sender.unsigned_abs());
        Ok(StoredRow { conv, seq, sender, mid, text: row.get(4)? })
    })?;
    rows.collect::<std::result::Result<_, _>>().context("cannot read the messages")
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
