//! Reads the log for sessions that are behind.
//!
//! A (session, conversation) pair is in the queue at most once, which bounds it. Workers take what has queued up, load
//! unknown cursors in one query, and read each stretch of log once for all the sessions that need it.

use crate::metrics::Metrics;
use crate::protocol::conversation::Conversation;
use crate::session::{Next, Session};
use crate::storage::{self, Storage};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// Workers, and so log reads under way at once.
const WORKERS: usize = 3;
/// Requests that one worker takes at once.
const BATCH: usize = 256;
/// Messages read at once.
const PAGE_MESSAGES: u32 = 128;
/// Text read at once.
const PAGE_BYTES: usize = 256 * 1024;
/// Wait after the database failed before reading on.
const RETRY: Duration = Duration::from_millis(500);

type Behind = (Arc<Session>, Conversation);

/// Hands sessions to the workers.
#[derive(Clone)]
pub struct CatchUp {
    queue: mpsc::UnboundedSender<Behind>,
}

/// The workers' end, until they are started.
pub struct Work(mpsc::UnboundedReceiver<Behind>);

impl CatchUp {
    pub fn new() -> (Self, Work) {
        let (queue, work) = mpsc::unbounded_channel();
        (CatchUp { queue }, Work(work))
    }

    /// Reads the conversation on for the session, which has marked it so.
    pub fn request(&self, session: Arc<Session>, conv: Conversation) {
        // The workers end with the node; then there is nobody left to push to.
        let _ = self.queue.send((session, conv));
    }

    /// The same for several conversations.
    pub fn request_all(&self, session: &Arc<Session>, convs: Vec<Conversation>) {
        for conv in convs {
            self.request(session.clone(), conv);
        }
    }

    /// Starts the workers; they end when every `CatchUp` is gone.
    pub fn start(&self, work: Work, storage: Arc<dyn Storage>, metrics: Arc<Metrics>) {
        let work = Arc::new(Mutex::new(work.0));
        for _ in 0..WORKERS {
            let worker = Worker {
                queue: self.queue.downgrade(),
                work: work.clone(),
                storage: storage.clone(),
                metrics: metrics.clone(),
            };
            tokio::spawn(worker.run());
        }
    }
}

struct Worker {
    queue: mpsc::WeakUnboundedSender<Behind>,
    work: Arc<Mutex<mpsc::UnboundedReceiver<Behind>>>,
    storage: Arc<dyn Storage>,
    metrics: Arc<Metrics>,
}

impl Worker {
    async fn run(self) {
        let mut batch = Vec::new();
        loop {
            let taken = self.work.lock().await.recv_many(&mut batch, BATCH).await;
            if taken == 0 {
                return;
            }
            if let Err(error) = self.read_on(&batch).await {
                tracing::warn!(%error, sessions = batch.len(), "cannot read the log, trying again");
                tokio::time::sleep(RETRY).await;
                self.requeue(&batch);
            }
            batch.clear();
        }
    }

    /// After a failure every pair of the batch goes through the session again, which knows what is left to do.
    fn requeue(&self, batch: &[Behind]) {
        let Some(queue) = self.queue.upgrade() else { return };
        for (session, _) in batch {
            for conv in session.resume_stalled() {
                let _ = queue.send((session.clone(), conv));
            }
        }
    }

    async fn read_on(&self, batch: &[Behind]) -> storage::Result<()> {
        let result = self.try_read_on(batch).await;
        if result.is_err() {
            for (session, conv) in batch {
                session.read_failed(*conv);
            }
        }
        result
    }

    async fn try_read_on(&self, batch: &[Behind]) -> storage::Result<()> {
        self.load_cursors(batch).await?;
        let mut stretches: HashMap<(Conversation, u64), Vec<&Arc<Session>>> = HashMap::new();
        for (session, conv) in batch {
            if let Next::ReadAfter(seq) = session.next_read(*conv) {
                stretches.entry((*conv, seq)).or_default().push(session);
            }
        }
        for ((conv, after), sessions) in stretches {
            let page = self.storage.messages_after(conv, after, PAGE_MESSAGES, PAGE_BYTES).await?;
            self.metrics.catch_ups_total.inc();
            for session in sessions {
                if session.push_page(conv, &page)
                    && let Some(queue) = self.queue.upgrade()
                {
                    let _ = queue.send((session.clone(), conv));
                }
            }
        }
        Ok(())
    }

    async fn load_cursors(&self, batch: &[Behind]) -> storage::Result<()> {
        let unknown: Vec<&Behind> =
            batch.iter().filter(|(session, conv)| session.next_read(*conv) == Next::LoadCursor).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let of: Vec<_> = unknown.iter().map(|(session, conv)| (*conv, session.user)).collect();
        let cursors = self.storage.cursors(&of).await?;
        for ((session, conv), cursor) in unknown.into_iter().zip(cursors) {
            session.cursor_loaded(*conv, cursor);
        }
        Ok(())
    }
}
