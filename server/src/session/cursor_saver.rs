//! Writes cursors to the database, about once a second, many at once.
//!
//! A cursor that is lost with its node only means that messages come again in the next session, where the client drops
//! them.

use crate::cluster::NodeKey;
use crate::failpoint::{self, Failpoint};
use crate::session::Session;
use crate::storage::{Mark, Storage};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Time between two writes.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Cursors in one statement's transaction.
const BATCH: usize = 512;

/// The sessions whose cursors have moved, each once.
#[derive(Default)]
pub struct CursorSaver {
    moved: Mutex<Vec<Arc<Session>>>,
}

impl CursorSaver {
    /// The session has cursors to save and is not in the list (see [`Session::received`]).
    pub fn add(&self, session: Arc<Session>) {
        self.moved.lock().push(session);
    }

    /// Saves what has moved since the last time. A failure keeps it for the next.
    pub async fn save(&self, storage: &dyn Storage, key: &NodeKey) {
        let sessions = std::mem::take(&mut *self.moved.lock());
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
