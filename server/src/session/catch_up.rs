//! Reads the log for sessions that are behind.
//!
//! A (session, conversation) pair is in the queue at most once, which bounds it. Workers take what has queued up, load
//! unknown cursors in one query, and read each stretch of log once for all the sessions that need it.
//!
//! Where the log lacks what should be there, or cannot be read, the pair waits outside of the workers and comes back.
//! What stays missing is looked for once more with nobody writing, and then skipped: the client is told, and delivery
//! goes on.

use crate::membership::lease::Lease;
use crate::session::log_ends::LogEnds;
use crate::session::{Next, Read, Session};
use crate::storage::{self, End, Page, Storage};
use crate::telemetry::metrics::Metrics;
use chat_environment::Tasks;
use chat_protocol::conversation::Conversation;
use std::collections::BTreeMap;
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
/// Wait after a read that brought nothing although something should be there, doubled for each further one: 3.2 s in
/// all, up to the read that decides (`session::cursors` says after how many).
const MISSING_RETRY: Duration = Duration::from_millis(50);

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
    pub fn start(&self, tasks: &Tasks, work: Work, parts: Parts) {
        let work = Arc::new(Mutex::new(work.0));
        for number in 1..=WORKERS {
            let (tasks, parts) = (tasks.clone(), parts.clone());
            let worker = Worker { queue: self.queue.downgrade(), work: work.clone(), tasks: tasks.clone(), parts };
            tasks.spawn(format!("catch-up worker {number}"), worker.run());
        }
    }
}

/// What the workers work with.
#[derive(Clone)]
pub struct Parts {
    pub storage: Arc<dyn Storage>,
    pub lease: Arc<Lease>,
    pub log_ends: Arc<LogEnds>,
    pub metrics: Arc<Metrics>,
}

struct Worker {
    queue: mpsc::WeakUnboundedSender<Behind>,
    work: Arc<Mutex<mpsc::UnboundedReceiver<Behind>>>,
    tasks: Tasks,
    parts: Parts,
}

/// What is read at once: for whom, each with its ticket.
type Stretches = BTreeMap<Stretch, Vec<(Arc<Session>, u64)>>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    conv: Conversation,
    after: u64,
    /// With nobody writing.
    is_certain: bool,
}

impl Worker {
    async fn run(self) {
        let mut batch = Vec::new();
        loop {
            let taken = self.work.lock().await.recv_many(&mut batch, BATCH).await;
            if taken == 0 {
                return;
            }
            if let Err(error) = self.load_cursors(&batch).await {
                tracing::warn!(%error, sessions = batch.len(), "cannot read cursors, trying again");
                self.requeue_after(RETRY, std::mem::take(&mut batch));
            }
            self.read_on(std::mem::take(&mut batch)).await;
        }
    }

    /// The pairs come back later, and hold up nobody meanwhile.
    fn requeue_after(&self, wait: Duration, pairs: Vec<Behind>) {
        let queue = self.queue.clone();
        self.tasks.spawn_short("reading on later", async move {
            tokio::time::sleep(wait).await;
            let Some(queue) = queue.upgrade() else { return };
            pairs.into_iter().for_each(|pair| drop(queue.send(pair)));
        });
    }

    async fn read_on(&self, batch: Vec<Behind>) {
        let mut stretches = Stretches::new();
        for (session, conv) in batch {
            match session.next_read(conv) {
                Next::ReadAfter { after, ticket, is_last: is_certain } => {
                    let stretch = Stretch { conv, after, is_certain };
                    stretches.entry(stretch).or_default().push((session, ticket));
                }
                // Its cursor became unknown again just now.
                Next::LoadCursor { .. } => self.requeue(session, conv),
                Next::Nothing => {}
            }
        }
        let mut unread = Vec::new();
        for (stretch, sessions) in stretches {
            // Where one could not be read, the others would only wait for the same.
            if unread.is_empty() {
                match self.read(stretch).await {
                    // The lease may have run out while this read.
                    Ok((page, last_seq)) if self.parts.lease.is_held() => {
                        self.push(stretch, &sessions, &page, last_seq);
                        continue;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, conv = %stretch.conv, "cannot read the log, trying again");
                    }
                }
            }
            unread.extend(sessions.into_iter().map(|(session, _)| (session, stretch.conv)));
        }
        if !unread.is_empty() {
            self.requeue_after(RETRY, unread);
        }
    }

    /// A page, and the log's end if the page is certain.
    async fn read(&self, Stretch { conv, after, is_certain }: Stretch) -> storage::Result<(Page, Option<u64>)> {
        self.parts.metrics.catch_ups_total.inc();
        if !is_certain {
            let page = self.parts.storage.messages_after(conv, after, PAGE_MESSAGES, PAGE_BYTES).await?;
            return Ok((page, None));
        }
        let certain = self.parts.storage.certain_messages_after(conv, after, PAGE_MESSAGES, PAGE_BYTES).await?;
        Ok((certain.page, Some(certain.last_seq)))
    }

    fn push(&self, stretch: Stretch, sessions: &[(Arc<Session>, u64)], page: &Page, last_seq: Option<u64>) {
        let conv = stretch.conv;
        if let Some(last) = page.messages.last() {
            self.parts.log_ends.saw(conv, End::of(last));
        }
        let (mut missing, mut gaps): (BTreeMap<u8, Vec<Behind>>, u64) = (BTreeMap::new(), 0);
        for (session, ticket) in sessions {
            let read = match last_seq {
                None => session.push_page(conv, *ticket, page),
                Some(last_seq) => {
                    let (read, skipped) = session.push_certain(conv, *ticket, page, last_seq);
                    gaps += skipped;
                    read
                }
            };
            match read {
                Read::Done => {}
                Read::More => self.requeue(session.clone(), conv),
                Read::Missing { tries } => missing.entry(tries).or_default().push((session.clone(), conv)),
            }
        }
        for (tries, pairs) in missing {
            self.requeue_after(MISSING_RETRY * 2_u32.pow(u32::from(tries) - 1), pairs);
        }
        if gaps > 0 {
            self.parts.metrics.log_gaps_total.inc_by(gaps);
            let found: Vec<u64> = page.messages.iter().take(2).map(|message| message.seq).collect();
            tracing::error!(
                %conv, after = stretch.after, last_seq, ?found, sessions = sessions.len(),
                "messages are missing from the log, and were skipped"
            );
        }
    }

    fn requeue(&self, session: Arc<Session>, conv: Conversation) {
        if let Some(queue) = self.queue.upgrade() {
            let _ = queue.send((session, conv));
        }
    }

    async fn load_cursors(&self, batch: &[Behind]) -> storage::Result<()> {
        let (mut unknown, mut of) = (Vec::new(), Vec::new());
        for (session, conv) in batch {
            if let Next::LoadCursor { ticket, log_epoch } = session.next_read(*conv) {
                unknown.push((session, *conv, ticket));
                of.push((*conv, session.user, log_epoch));
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let cursors = self.parts.storage.cursors(&of).await?;
        for ((session, conv, ticket), mut cursor) in unknown.into_iter().zip(cursors) {
            if cursor.is_none() {
                // Whoever sent a copy saw a member, and so may have read something newer.
                let settled = self.parts.storage.settled(conv, session.user).await?;
                cursor = settled.and_then(|settled| settled.position);
            }
            session.cursor_loaded(conv, ticket, cursor);
        }
        Ok(())
    }
}
