//! A node's connection to the database, for one operation, and what strikes it.

use super::values::{Told, bind, decode, fault, lost};
use super::{Database, Inner};
use crate::schedule::Breaking;
use async_trait::async_trait;
use chat::storage::engine::{Connection, Dialect, Done, Fault, Result, Row, Value, sqlite};
use parking_lot::MutexGuard;
use rusqlite::params_from_iter;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// One statement in so many takes time, at most this.
const SLOW_ONCE_IN: u64 = 4;
const SLOW_MS: u64 = 2;
/// What a COMMIT takes at most.
const COMMIT_MS: u64 = 3;
/// How long a statement waits in vain for a lock.
const LOCK_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Lease {
    pub(super) database: Arc<Database>,
    pub(super) node: usize,
    pub(super) lease: u64,
}

/// Whether a fault for one node, or for all, is one for this.
fn concerns(whose: Option<usize>, node: usize) -> bool {
    whose.is_none_or(|whose| whose == node)
}

impl Lease {
    /// The way of a node to the database.
    pub(super) async fn arrive(database: &Database, node: usize) -> Result<()> {
        Lease::stall(database, node).await;
        let is_cut = |what: &Breaking| matches!(what, Breaking::CutDatabase { node: whose } if *whose == node);
        if database.troubles.strike(|what| u8::from(is_cut(what)) * 100) {
            return Err(lost("the database cannot be reached"));
        }
        Ok(())
    }

    async fn stall(database: &Database, node: usize) {
        let stalls = |what: &Breaking| matches!(what, Breaking::Stall { node: whose } if concerns(*whose, node));
        if let Some(until) = database.troubles.lasts_until(stalls) {
            sleep_until(until).await;
        }
    }

    /// Lets time pass as a server's answer takes it.
    async fn take_time(&self, once_in: u64, most_ms: u64) {
        Lease::stall(&self.database, self.node).await;
        let chance = &self.database.chance;
        if chance.once_in(once_in) {
            sleep(chance.wait(most_ms)).await;
        }
    }

    /// What a statement meets on its way, and how its transaction fares.
    async fn approach(&self, writes: bool) -> Result<MutexGuard<'_, Inner>> {
        let (troubles, node) = (&self.database.troubles, self.node);
        let stalls = |what: &Breaking| matches!(what, Breaking::StallOne { node: whose } if concerns(*whose, node));
        if let Some(until) = troubles.strikes_once_until(stalls) {
            sleep_until(until).await;
        }
        self.take_time(SLOW_ONCE_IN, SLOW_MS).await;
        let is_lost = troubles.strike(|what| match what {
            Breaking::CutDatabase { node: whose } if *whose == node => 100,
            Breaking::LostConnections { percent, node: whose } if concerns(*whose, node) => *percent,
            _ => 0,
        });
        if is_lost {
            self.lose();
            return Err(lost("the connection was cut"));
        }
        if self.is_in_transaction() {
            self.contend().await?;
        }
        let is_refused = writes
            && troubles.strike(|what| match what {
                Breaking::ReadOnly { node: whose } if concerns(*whose, node) => 100,
                _ => 0,
            });
        if is_refused {
            return Err(Fault::Refused("the database is read-only".into()));
        }
        self.holding()
    }

    /// Others want the same locks.
    async fn contend(&self) -> Result<()> {
        let (troubles, node) = (&self.database.troubles, self.node);
        let is_dead = troubles.strike(|what| match what {
            Breaking::Deadlocks { percent, node: whose } if concerns(*whose, node) => *percent,
            _ => 0,
        });
        if is_dead {
            let mut inner = self.holding()?;
            inner.sqlite.execute_batch("ROLLBACK").map_err(fault)?;
            Lease::set_in_transaction(&mut inner, false);
            return Err(Fault::Deadlock);
        }
        let is_late = troubles.strike(|what| match what {
            Breaking::LockTimeouts { percent, node: whose } if concerns(*whose, node) => *percent,
            _ => 0,
        });
        if is_late {
            sleep(LOCK_WAIT).await;
            return Err(Fault::LockTimeout);
        }
        Ok(())
    }

    /// The connection ends, and with it its transaction.
    fn lose(&self) {
        let mut inner = self.database.inner.lock();
        if inner.holder.as_ref().is_some_and(|holder| holder.lease == self.lease) {
            inner.end_transaction();
            self.database.is_free.notify_one();
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

    fn is_in_transaction(&self) -> bool {
        let inner = self.database.inner.lock();
        inner.holder.as_ref().is_some_and(|holder| holder.lease == self.lease && holder.in_transaction)
    }

    fn set_in_transaction(inner: &mut Inner, is: bool) {
        if let Some(holder) = &mut inner.holder {
            holder.in_transaction = is;
        }
    }

    /// How far this node's server may be behind the others, if it is.
    fn lag(&self) -> Option<Duration> {
        let lag = Cell::new(None);
        self.database.troubles.strike(|what| match what {
            Breaking::StaleReads { node, lag_ms } if *node == self.node => {
                lag.set(Some(Duration::from_millis(*lag_ms)));
                100
            }
            _ => 0,
        });
        lag.get()
    }

    fn is_commit_lost(&self, percent_of: fn(u8, u8) -> u8) -> bool {
        self.database.troubles.strike(|what| match what {
            Breaking::Commits { before, after, node } if concerns(*node, self.node) => percent_of(*before, *after),
            _ => 0,
        })
    }
}

#[async_trait]
impl Connection for Lease {
    fn dialect(&self) -> &'static Dialect {
        &sqlite::DIALECT
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        let mut inner = self.approach(true).await?;
        self.database.trace.note("sql", format_args!("{} {sql} {}", self.lease, Told(arguments)));
        let affected = {
            let mut statement = inner.sqlite.prepare_cached(sql).map_err(fault)?;
            statement.execute(params_from_iter(arguments.iter().map(bind))).map_err(fault)?
        };
        let last_id = inner.sqlite.last_insert_rowid();
        // By itself it is a transaction of its own.
        inner.catches_up(self.node);
        Ok(Done { affected: affected as u64, last_id })
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        let mut inner = self.approach(false).await?;
        self.database.trace.note("sql", format_args!("{} {sql} {}", self.lease, Told(arguments)));
        let in_transaction = inner.holder.as_ref().is_some_and(|holder| holder.in_transaction);
        let sqlite = match self.lag() {
            Some(lag) if !in_transaction => inner.as_it_was(self.node, lag).map_err(fault)?,
            _ => &inner.sqlite,
        };
        let mut statement = sqlite.prepare_cached(sql).map_err(fault)?;
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
        let mut inner = self.approach(false).await?;
        inner.sqlite.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
        Lease::set_in_transaction(&mut inner, true);
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        // Its answer can be late as well as itself.
        let answer_is_late = self.database.chance.once_in(2);
        if !answer_is_late {
            self.take_time(1, COMMIT_MS).await;
        }
        if self.is_commit_lost(|before, _| before) {
            self.database.trace.note("commit", format_args!("{} lost before it", self.lease));
            self.lose();
            return Err(lost("the connection was cut before COMMIT"));
        }
        {
            let mut inner = self.holding()?;
            inner.sqlite.execute_batch("COMMIT").map_err(fault)?;
            Lease::set_in_transaction(&mut inner, false);
            inner.catches_up(self.node);
        }
        let is_lost_after = self.is_commit_lost(|_, after| after);
        self.database.trace.note("commit", format_args!("{} lost after it: {is_lost_after}", self.lease));
        if answer_is_late {
            self.take_time(1, COMMIT_MS).await;
        }
        if is_lost_after {
            self.lose();
            return Err(lost("the connection was cut after COMMIT"));
        }
        Ok(())
    }

    async fn freshen(&mut self) -> Result<bool> {
        if self.lag().is_none() {
            return Ok(false);
        }
        self.take_time(1, COMMIT_MS).await;
        self.holding()?.catches_up(self.node);
        Ok(true)
    }

    async fn rollback(&mut self) -> Result<()> {
        let mut inner = self.holding()?;
        // A deadlock has ended the transaction already.
        if inner.holder.as_ref().is_some_and(|holder| holder.in_transaction) {
            inner.sqlite.execute_batch("ROLLBACK").map_err(fault)?;
            Lease::set_in_transaction(&mut inner, false);
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.lose();
    }
}
