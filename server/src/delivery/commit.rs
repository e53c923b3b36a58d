//! Commits messages in batches and acknowledges them.
//!
//! A message goes to one of a few writers by its conversation, so that a conversation's messages keep their order. A
//! writer takes whatever has queued up while it committed the batch before, without a timer: alone, a message is
//! committed at once; under load, many share one flush of the disk. What is committed goes on to `delivery`.

use crate::cluster::NodeKey;
use crate::delivery::batch_queue::{self, Lanes, Waiting};
use crate::delivery::local::{Committed, Delivery};
use crate::delivery::members::Audiences;
use crate::failpoint::{self, EarlyAcks, Failpoint};
use crate::membership::lease::Lease;
use crate::session::Session;
use crate::session::log_ends::Ends;
use crate::session::outbound::Outbound;
use crate::storage::{Append, Appended, AppendedBatch, End, Error, Storage};
use crate::telemetry::metrics::Metrics;
use chat_environment::Tasks;
use chat_protocol::conversation::{Conversation, Log};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{ChatMessage, Kind, MidText, Reply, Stored, TimeMs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a client is told to wait when the database cannot take its message.
const RETRY: Duration = Duration::from_millis(500);

/// A message to be stored, and whom to tell.
pub struct Job {
    pub append: Append,
    pub sender_name: Arc<str>,
    /// The request to answer; `None` for a relayed message that is stored because its recipient has gone.
    pub request: Option<PendingChat>,
}

/// A chat request on its way through a writer. However it ends, it is answered: dropped on the way, for example with a
/// task that died, with errno 11.
pub struct PendingChat {
    outbound: Arc<Outbound>,
    kind: Kind,
    mid: Option<MidText>,
    /// The session that asks: what it has stored must still be in its name.
    session_epoch: Option<u64>,
    is_answered: bool,
}

impl PendingChat {
    /// From here on the connection waits for the answer.
    pub fn new(outbound: Arc<Outbound>, kind: Kind, mid: Option<MidText>, session: &Session) -> Self {
        outbound.expect_answer();
        // Both failpoints are of a node that does not ask who somebody is.
        let trusts = failpoint::hits(Failpoint::LeaseStale) || failpoint::hits(Failpoint::IdentityTrust);
        PendingChat { outbound, kind, mid, session_epoch: (!trusts).then_some(session.epoch), is_answered: false }
    }

    /// For [`Append::epoch`].
    pub fn session_epoch(&self) -> Option<u64> {
        self.session_epoch
    }

    pub fn answer(mut self, result: Result<Option<Stored>, Failure>) {
        self.answer_once(result);
    }

    fn answer_once(&mut self, result: Result<Option<Stored>, Failure>) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.outbound.answer(self.kind, self.mid.take(), result.map(Reply::Chat));
        }
    }
}

impl Drop for PendingChat {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answer_once(Err(unavailable()));
        }
    }
}

impl batch_queue::Message for Job {
    fn conv(&self) -> Conversation {
        self.append.conv
    }

    fn bytes(&self) -> usize {
        self.append.text_bytes()
    }
}

/// All writers of a node.
pub struct Writers {
    lanes: Lanes<Job>,
}

/// What the writers work with.
#[derive(Clone)]
pub struct Parts {
    pub key: NodeKey,
    pub storage: Arc<dyn Storage>,
    pub audiences: Arc<Audiences>,
    pub ends: Arc<Ends>,
    pub lease: Arc<Lease>,
    pub metrics: Arc<Metrics>,
}

impl Writers {
    /// Starts `count` writers; `delivery` makes the part that the writer of a number hands its commits to. They end
    /// when this is dropped, after what is queued.
    pub fn start(tasks: &Tasks, count: usize, parts: &Parts, delivery: impl Fn(usize) -> Delivery) -> Self {
        let start = |number, waiting| {
            let writer = Writer { parts: parts.clone(), delivery: delivery(number), early_acks: EarlyAcks::default() };
            tasks.spawn(format!("writer {number}"), writer.run(waiting));
        };
        Writers { lanes: Lanes::start(count, start) }
    }

    /// Queues a message, or answers errno 11 at once.
    pub fn submit(&self, job: Job) {
        if let Err(Job { request: Some(request), .. }) = self.lanes.submit(job) {
            request.answer(Err(unavailable()));
        }
    }
}

/// Errno 11: not accepted, or it is unknown whether it was.
pub fn unavailable() -> Failure {
    Failure::from(Errno::Unavailable).retry_after(RETRY)
}

struct Writer {
    parts: Parts,
    delivery: Delivery,
    early_acks: EarlyAcks,
}

impl Writer {
    async fn run(self, mut waiting: Waiting<Job>) {
        while let Some(batch) = waiting.batch().await {
            self.commit(batch).await;
        }
    }

    async fn commit(&self, mut batch: Vec<Job>) {
        for job in &mut batch {
            let audience = self.parts.audiences.cached(job.append.conv);
            let allowed = audience.filter(|audience| audience.may_post(job.append.sender));
            job.append.allowed_under = allowed.map_or(0, |audience| audience.version);
            job.append.known_end = self.parts.ends.known(job.append.conv);
        }
        let (appends, tickets): (Vec<Append>, Vec<Ticket>) = batch.into_iter().map(split).unzip();
        let now = crate::clock::now_ms();
        let started = Instant::now();
        match self.append(&appends, now).await {
            Ok(done) => {
                self.parts.metrics.commit_batch_messages.observe(appends.len() as f64);
                self.parts.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                self.finish(appends, tickets, done, (now, started)).await;
            }
            Err(error) => {
                tracing::warn!(%error, messages = appends.len(), "cannot commit messages");
                for (append, ticket) in appends.iter().zip(tickets) {
                    if let Some(request) = ticket.request {
                        let early = self.early_acks.give(append.conv, now);
                        request.answer(early.map(Some).ok_or_else(unavailable));
                    }
                }
            }
        }
    }

    async fn append(&self, appends: &[Append], now: TimeMs) -> Result<AppendedBatch, Error> {
        if !self.parts.lease.is_held() {
            return Err(Error::LeaseLost);
        }
        let lease = self.parts.lease.clone();
        self.parts.storage.append(&self.parts.key, appends, now, &move || lease.is_held()).await
    }

    async fn finish(
        &self,
        appends: Vec<Append>,
        tickets: Vec<Ticket>,
        done: AppendedBatch,
        (now, started): (TimeMs, Instant),
    ) {
        for (conv, audience) in done.audiences {
            self.parts.audiences.learn(conv, audience, started.into());
        }
        for conv in done.losses {
            self.parts.metrics.log_lost(conv);
        }
        let mut committed = Vec::with_capacity(appends.len());
        let mut refused = Vec::new();
        for ((append, ticket), outcome) in appends.into_iter().zip(tickets).zip(done.outcomes) {
            let conv = append.conv;
            let stored = |seq, time, epoch| Stored { log: Log { conv, epoch }, seq, time };
            let answer = match outcome {
                // Also what was stored before: perhaps nobody knew that it was, and so nobody was told.
                Appended::Stored { seq, log_epoch } | Appended::Duplicate { seq, log_epoch, .. } => {
                    let time = if let Appended::Duplicate { time, .. } = outcome { time } else { now };
                    self.early_acks.saw(conv, seq);
                    self.parts.ends.saw(conv, End { log_epoch, seq });
                    let sender_name = ticket.sender_name;
                    let answer = Ok(Some(stored(seq, time, log_epoch)));
                    committed.push(Committed {
                        version: self.parts.audiences.cached(append.conv).map_or(0, |audience| audience.version),
                        message: ChatMessage { log_epoch, ..message(append, sender_name, seq, time) },
                    });
                    answer
                }
                Appended::MidReused => Err(Errno::MidReused.into()),
                Appended::Blocked => Err(unavailable()),
                Appended::SessionGone => {
                    if let Some(request) = &ticket.request {
                        request.outbound.close(Errno::Replaced.into());
                    }
                    Err(unavailable())
                }
                Appended::Unstorable => Err(Failure::new(Errno::Malformed, "the database cannot hold this message")),
                Appended::NotAllowed => {
                    refused.push((append, ticket.request));
                    continue;
                }
            };
            if let Some(request) = ticket.request {
                request.answer(answer);
            }
        }
        self.delivery.deliver(committed, refused).await;
    }
}

/// What is left of a [`Job`] while its message is in the database's hands.
struct Ticket {
    sender_name: Arc<str>,
    request: Option<PendingChat>,
}

fn split(job: Job) -> (Append, Ticket) {
    (job.append, Ticket { sender_name: job.sender_name, request: job.request })
}

fn message(append: Append, name: Arc<str>, seq: u64, time: TimeMs) -> ChatMessage {
    let Append { conv, sender, mid, msg, sent_as, .. } = append;
    ChatMessage { conv, log_epoch: 0, seq, sender, name, msg, time, mid, sent_as }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::batch_queue::Message as _;
    use chat_protocol::message::SentAs;

    #[test]
    fn everything_its_sender_wrote_counts_in_a_lane() {
        let sent_as = SentAs { name: Some("x".repeat(300)), time: Some("y".repeat(20)) };
        let append = Append {
            conv: Conversation::Group(1),
            sender: 1,
            mid: uuid::Uuid::nil(),
            msg: "hello".into(),
            sent_as: Some(Box::new(sent_as)),
            allowed_under: 0,
            known_end: End::default(),
            epoch: None,
        };
        let job = Job { append, sender_name: "ann".into(), request: None };
        assert_eq!(job.bytes(), 325);
    }
}
