//! Commits messages in batches and acknowledges them.
//!
//! A message goes to one of a few writers by its conversation, so that a conversation's messages keep their order. A
//! writer takes whatever has queued up while it committed the batch before, without a timer: alone, a message is
//! committed at once; under load, many share one flush of the disk. What is committed goes on to [`FanOut`].

use super::Delivery;
use super::batch_queue::{self, BatchQueues, Batches};
use super::fan_out::{Committed, FanOut};
use super::pending::PendingChat;
use crate::failpoint::{self, EarlyAcks};
use crate::session::failure::unavailable;
use crate::storage::{Append, Appended, AppendedBatch, End, Error};
use chat_protocol::conversation::{Conversation, Log};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{ChatMessage, Stored, TimeMs};
use std::sync::Arc;
use tokio::time::Instant;

/// A message to be stored, and whom to tell.
pub struct Job {
    pub append: Append,
    pub sender_name: Arc<str>,
    /// The request to answer; `None` for a relayed message that is stored because its recipient has gone.
    pub request: Option<PendingChat>,
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
    queues: BatchQueues<Job>,
}

impl Writers {
    /// Starts `count` writers. They end when this is dropped, after what is queued.
    pub fn start(delivery: &Arc<Delivery>, count: usize) -> Self {
        let start = |number, waiting| {
            let fan_out = FanOut::start(delivery.clone(), number);
            let writer = Writer { delivery: delivery.clone(), fan_out, early_acks: EarlyAcks::default() };
            delivery.environment.tasks.spawn(format!("writer {number}"), writer.run(waiting));
        };
        Writers { queues: BatchQueues::start(count, start) }
    }

    /// Queues a message, or answers errno 11 at once.
    pub fn submit(&self, job: Job) {
        if let Err(Job { request: Some(request), .. }) = self.queues.submit(job) {
            request.answer(Err(unavailable()));
        }
    }
}

struct Writer {
    delivery: Arc<Delivery>,
    fan_out: FanOut,
    early_acks: EarlyAcks,
}

impl Writer {
    async fn run(self, mut waiting: Batches<Job>) {
        while let Some(batch) = waiting.batch().await {
            self.commit(batch).await;
        }
    }

    async fn commit(&self, mut batch: Vec<Job>) {
        for job in &mut batch {
            let audience = self.delivery.members.cached(job.append.conv);
            let allowed = audience.filter(|audience| audience.may_post(job.append.sender));
            job.append.allowed_under = allowed.map_or(0, |audience| audience.version);
            job.append.known_end = self.delivery.log_ends.known(job.append.conv);
        }
        let (appends, tickets): (Vec<Append>, Vec<Ticket>) = batch.into_iter().map(split).unzip();
        let now = self.delivery.environment.now_ms();
        let started = Instant::now();
        match self.append(&appends, now).await {
            Ok(done) => {
                self.delivery.metrics.commit_batch_messages.observe(appends.len() as f64);
                self.delivery.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                self.finish(appends, tickets, done, (now, started)).await;
            }
            Err(error) => {
                tracing::warn!(%error, messages = appends.len(), "cannot commit messages");
                for (append, ticket) in appends.iter().zip(tickets) {
                    if let Some(request) = ticket.request {
                        let early = self.early_acks.give(append.conv, now);
                        request.answer(early.map(Some).ok_or_else(|| failpoint::outcome(unavailable())));
                    }
                }
            }
        }
    }

    async fn append(&self, appends: &[Append], now: TimeMs) -> Result<AppendedBatch, Error> {
        if !self.delivery.lease.is_held() {
            return Err(Error::LeaseLost);
        }
        let lease = self.delivery.lease.clone();
        self.delivery.storage.append(&self.delivery.key, appends, now, &move || lease.is_held()).await
    }

    async fn finish(
        &self,
        appends: Vec<Append>,
        tickets: Vec<Ticket>,
        done: AppendedBatch,
        (now, started): (TimeMs, Instant),
    ) {
        for (conv, audience) in done.audiences {
            self.delivery.members.learn(conv, audience, started);
        }
        for conv in done.losses {
            self.delivery.metrics.log_lost(conv);
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
                    self.delivery.log_ends.saw(conv, End { log_epoch, seq });
                    let sender_name = ticket.sender_name;
                    let answer = Ok(Some(stored(seq, time, log_epoch)));
                    committed.push(Committed {
                        version: self.delivery.members.cached(append.conv).map_or(0, |audience| audience.version),
                        message: ChatMessage { log_epoch, ..message(append, sender_name, seq, time) },
                    });
                    answer
                }
                Appended::MidReused => Err(Errno::MidReused.into()),
                Appended::Blocked => Err(unavailable()),
                Appended::SessionGone => {
                    if let Some(request) = &ticket.request {
                        request.close(Errno::Replaced.into());
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
        self.fan_out.deliver(committed, refused).await;
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
    fn everything_its_sender_wrote_counts_in_a_queue() {
        let sent_as = SentAs { name: Some("x".repeat(300)), time: Some("y".repeat(20)) };
        let append = Append {
            sent_as: Some(Box::new(sent_as)),
            ..Append::new(Conversation::Group(1), 1, uuid::Uuid::nil(), "hello")
        };
        let job = Job { append, sender_name: "ann".into(), request: None };
        assert_eq!(job.bytes(), 325);
    }
}
