//! Writes cursors to the database, each about a second after it has moved, many at once.
//!
//! A session's turn comes a second after its first cursor has moved, so that what a crowd has received is not all
//! written at the same moment of each second, before whatever else the database is asked for.
//!
//! A cursor that is lost with its node only means that messages come again in the next session, where the client drops
//! them.

use crate::cluster::NodeKey;
use crate::failpoint::{self, Failpoint};
use crate::session::Session;
use crate::storage::{Mark, Storage};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a cursor waits for others to be written with it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Sessions go together in multiples of this: as many as fill a statement, if each has one cursor.
const TOGETHER: usize = 64;
/// The least time between two writes.
const PAUSE: Duration = Duration::from_millis(50);
/// Cursors in one call.
const BATCH: usize = 512;

/// The sessions whose cursors have moved, each once, and since when.
#[derive(Default)]
pub struct CursorSaver {
    moved: Mutex<VecDeque<(Instant, Arc<Session>)>>,
}

impl CursorSaver {
    /// The session has cursors to save and is not in the list (see [`Session::received`]).
    pub fn add(&self, session: Arc<Session>) {
        let mut moved = self.moved.lock();
        // Under the lock, so that they stand in this order.
        moved.push_back((Instant::now(), session));
    }

    /// Saves cursors as their time comes, until it is dropped.
    pub async fn run(&self, storage: &dyn Storage, key: &NodeKey) {
        loop {
            sleep(self.time_left().max(PAUSE)).await;
            self.save(self.take_due(), storage, key).await;
        }
    }

    /// Saves all that has moved.
    pub async fn save_all(&self, storage: &dyn Storage, key: &NodeKey) {
        let sessions = self.moved.lock().drain(..).map(|(_, session)| session).collect();
        self.save(sessions, storage, key).await;
    }

    /// Until somebody's time comes; where nobody waits, until it can at the earliest.
    fn time_left(&self) -> Duration {
        self.moved.lock().front().map_or(PATIENCE, |(since, _)| PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Those whose time has come, and with them whoever still fits into their last statement.
    fn take_due(&self) -> Vec<Arc<Session>> {
        let mut moved = self.moved.lock();
        let due = moved.partition_point(|(since, _)| since.elapsed() >= PATIENCE);
        let taken = due.next_multiple_of(TOGETHER).min(moved.len());
        moved.drain(..taken).map(|(_, session)| session).collect()
    }

    /// A failure keeps them for the next time.
    async fn save(&self, sessions: Vec<Arc<Session>>, storage: &dyn Storage, key: &NodeKey) {
        let mut unsaved: Vec<(Arc<Session>, Vec<Mark>)> = Vec::new();
        let mut count = 0;
        for session in sessions {
            let marks = session.take_unsaved();
            count += marks.len();
            unsaved.push((session, marks));
            if count >= BATCH {
                self.save_batch(storage, key, std::mem::take(&mut unsaved)).await;
                count = 0;
            }
        }
        self.save_batch(storage, key, unsaved).await;
    }

    async fn save_batch(&self, storage: &dyn Storage, key: &NodeKey, batch: Vec<(Arc<Session>, Vec<Mark>)>) {
        let mut marks: Vec<Mark> = batch.iter().flat_map(|(_, marks)| marks).copied().collect();
        if marks.is_empty() {
            return;
        }
        marks.sort_unstable_by_key(|mark| (mark.conv, mark.user));
        let result = storage.mark_received(Some(key), &marks).await;
        if let Err(error) = &result {
            tracing::warn!(%error, cursors = marks.len(), "cannot save cursors, trying again");
        }
        for (session, marks) in batch {
            match &result {
                Ok(()) => session.saved(&marks),
                Err(_) if failpoint::hits(Failpoint::CursorsSavedAnyway) => session.saved(&marks),
                Err(_) if session.still_unsaved() => self.add(session),
                Err(_) => {}
            }
        }
    }
}
