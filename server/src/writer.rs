//! Commits messages in batches and acknowledges them.
//!
//! A message goes to one of a few writers by its conversation, so that a conversation's messages keep their order. A writer
//! takes whatever has queued up while it committed the batch before, without a timer: alone, a message is committed at once;
//! under load, many share one flush of the disk. What is committed goes on to `delivery`.

use crate::audiences::Audiences;
use crate::delivery::{Committed, Delivery};
use crate::failpoint::EarlyAcks;
use crate::lanes::{self, Lanes, Waiting};
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::protocol::conversation::Conversation;
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::{ChatMessage, Kind, MidText, Reply, Stored, TimeMs};
use crate::storage::{Append, Appended, AppendedBatch, Error, Storage};
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

/// A chat request on its way through a writer.
pub struct PendingChat {
    pub outbound: Arc<Outbound>,
    pub kind: Kind,
    pub mid: Option<MidText>,
}

impl PendingChat {
    pub fn answer(self, result: Result<Option<Stored>, Failure>) {
        self.outbound.answer(self.kind, self.mid, result.map(Reply::Chat));
    }
}

impl lanes::Message for Job {
    fn conv(&self) -> Conversation {
        self.append.conv
    }

    fn bytes(&self) -> usize {
        self.append.msg.len()
    }
}

/// All writers of a node.
pub struct Writers {
    lanes: Lanes<Job>,
}

/// What the writers work with.
#[derive(Clone)]
pub struct Parts {
    pub storage: Arc<dyn Storage>,
    pub audiences: Arc<Audiences>,
    pub lease: Arc<Lease>,
    pub metrics: Arc<Metrics>,
}

impl Writers {
    /// Starts `count` writers; `delivery` makes the part that each hands its commits to. They end when this is dropped,
    /// after what is queued.
    pub fn start(count: usize, parts: &Parts, delivery: impl Fn() -> Delivery) -> Self {
        let start = |waiting| {
            let writer = Writer { parts: parts.clone(), delivery: delivery(), early_acks: EarlyAcks::default() };
            tokio::spawn(writer.run(waiting));
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
        self.parts.storage.append(appends, now, &move || lease.is_held()).await
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
        let mut committed = Vec::with_capacity(appends.len());
        let mut refused = Vec::new();
        for ((append, ticket), outcome) in appends.into_iter().zip(tickets).zip(done.outcomes) {
            let stored = |seq, time| Stored { conv: append.conv, seq, time };
            let answer = match outcome {
                Appended::Stored { seq } => {
                    self.early_acks.saw(append.conv, seq);
                    let sender_name = ticket.sender_name;
                    let answer = Ok(Some(stored(seq, now)));
                    committed.push(Committed {
                        version: self.parts.audiences.cached(append.conv).map_or(0, |audience| audience.version),
                        message: message(append, sender_name, seq, now),
                    });
                    answer
                }
                Appended::Duplicate { seq, time } => Ok(Some(stored(seq, time))),
                Appended::MidReused => Err(Errno::MidReused.into()),
                Appended::Blocked => Err(unavailable()),
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
    ChatMessage { conv, seq, sender, name, msg, time, mid, sent_as }
}
