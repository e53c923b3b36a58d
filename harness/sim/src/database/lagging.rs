//! What a node reads whose server lags behind the others.
//!
//! Such a server applies commits in their order, and later. A transaction sees all the same what is newest, since it
//! would not be certified otherwise; and once one of the node's own commits is done, so is all before it.

use super::Inner;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use std::time::Duration;
use tokio::time::Instant;

/// The database as it was.
pub(super) struct Lagging {
    sqlite: Connection,
    since: Instant,
}

impl Inner {
    /// What this node reads, if its server is behind by at most `lag`. Nobody may be in a transaction.
    pub(super) fn as_it_was(&mut self, node: usize, lag: Duration) -> rusqlite::Result<&Connection> {
        if self.lagging.get(&node).is_some_and(|lagging| lagging.since.elapsed() > lag) {
            self.catches_up(node);
        }
        if !self.lagging.contains_key(&node) {
            let lagging = Lagging { sqlite: copy(&self.sqlite)?, since: Instant::now() };
            self.lagging.insert(node, lagging);
        }
        Ok(self.lagging.get(&node).map_or(&self.sqlite, |lagging| &lagging.sqlite))
    }

    /// This node's server has all that was committed.
    pub(super) fn catches_up(&mut self, node: usize) {
        self.lagging.remove(&node);
    }
}

/// All of a database in which nobody is in a transaction.
pub(super) fn copy(from: &Connection) -> rusqlite::Result<Connection> {
    let mut to = Connection::open_in_memory()?;
    // All pages at once.
    let done = Backup::new(from, &mut to)?.step(-1)?;
    debug_assert!(matches!(done, StepResult::Done), "a copy of all pages is complete");
    Ok(to)
}
