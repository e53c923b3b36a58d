//! The bytes waiting for one connection, and the requests it still owes an answer.
//!
//! Anyone may queue: the writer its acks, other connections their messages, the bus. The connection's task takes the
//! whole buffer at once, so what queued up since the last write leaves in one system call. Messages past the byte
//! limit are refused ([`Outbound::push`] returns false) and come from the log later, EVENTs past it are dropped;
//! replies are always taken, since a connection stops reading requests while its buffer is full. An idle connection
//! keeps no buffer.
//!
//! For a client that cannot acknowledge, where each message ends in the byte stream is noted as well: see [`arrivals`].

mod arrivals;
mod push;
mod task;

pub use push::Push;

use crate::storage::Claimant;
use crate::telemetry::metrics::Metrics;
use arrivals::Arrivals;
use bytes::BytesMut;
use chat_environment::WallClock;
use chat_protocol::Spelling;
use chat_protocol::codec::Codec;
use chat_protocol::conversation::Log;
use chat_protocol::errno::Failure;
use chat_protocol::message::{Event, Kind, MidText, Outgoing, Reply};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

/// One connection's queue; shared by all who send to it.
pub struct Outbound {
    codec: OnceLock<Codec>,
    state: Mutex<State>,
    /// Something changed since the task last looked; spares a wake for all but the first.
    signalled: AtomicBool,
    waker: AtomicWaker,
    /// Spares the lock while nobody wants the connection closed.
    close_asked: AtomicBool,
    /// The client has closed its direction, or is gone altogether.
    hung_up: AtomicBool,
    /// Chat messages handed to a writer and not yet answered.
    unanswered: AtomicU32,
    limit_bytes: usize,
    clock: Arc<dyn WallClock>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    buffer: BytesMut,
    /// Taken by the task for writing, but not yet by the kernel.
    writing_bytes: usize,
    /// Bytes that the kernel has taken since the connection began.
    written: u64,
    /// What is on its way to a client that cannot acknowledge; absent where nothing is.
    arrivals: Option<Box<Arrivals>>,
    /// Someone wants the connection closed; the first reason counts.
    close: Option<Close>,
    /// The task has ended: nothing can be sent any more.
    gone: bool,
}

impl State {
    fn has_room(&self, limit_bytes: usize) -> bool {
        !self.gone && self.close.is_none() && self.buffer.len() + self.writing_bytes < limit_bytes
    }
}

/// How a connection is to be closed by its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// What is in flight is answered first, then comes a NOTICE.
    For(Failure),
    /// At once and without another word: the grace time is over.
    Now,
}

impl Outbound {
    pub fn new(limit_bytes: usize, clock: Arc<dyn WallClock>, metrics: Arc<Metrics>) -> Self {
        Outbound {
            codec: OnceLock::new(),
            state: Mutex::default(),
            signalled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            close_asked: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            limit_bytes,
            clock,
            metrics,
        }
    }

    /// Sets how messages are written; until then nothing can be sent.
    pub fn speak(&self, codec: Codec) {
        // A connection keeps the dialect of its first byte.
        let _ = self.codec.set(codec);
    }

    /// From here on messages are spelt as the client does.
    pub fn spell(&self, spelling: Spelling) {
        if let Some(codec) = self.codec.get() {
            codec.spell(spelling);
        }
    }

    /// Queues a message unless the limit is reached or the connection is going away.
    pub fn push(&self, push: &Push<'_>) -> bool {
        let Some(codec) = self.codec.get() else { return false };
        {
            let mut state = self.state.lock();
            if !state.has_room(self.limit_bytes) {
                return false;
            }
            // A relayed message has no place in the log that could be received.
            let noted = !codec.acknowledges() && push.message.seq > 0;
            if noted && state.arrivals.as_ref().is_some_and(|arrivals| arrivals.is_full()) {
                return false;
            }
            self.grow(&mut state, |buffer| push.append(codec, buffer));
            if noted {
                state.note(push.message.log(), push.message.seq);
            }
        }
        self.metrics.pushes_total.inc();
        self.signal();
        true
    }

    /// Whether a message could be queued now.
    pub fn has_room(&self) -> bool {
        let Some(codec) = self.codec.get() else { return false };
        let state = self.state.lock();
        let is_full = || state.arrivals.as_ref().is_some_and(|arrivals| arrivals.is_full());
        state.has_room(self.limit_bytes) && (codec.acknowledges() || !is_full())
    }

    /// What is in the queue by now holds the client's messages of `log` up to `seq`: they arrive with it. More than
    /// can be noted is left out, and comes again.
    pub fn note(&self, log: Log, seq: u64) {
        let mut state = self.state.lock();
        if !state.gone && state.arrivals.as_ref().is_none_or(|arrivals| !arrivals.is_full()) {
            state.note(log, seq);
        }
    }

    /// Queues an EVENT under the same conditions as a message. They are best effort: beyond the limit it is dropped and
    /// counted.
    pub fn tell(&self, event: &Event) {
        let Some(codec) = self.codec.get() else { return };
        {
            let mut state = self.state.lock();
            if !state.has_room(self.limit_bytes) {
                self.metrics.events_dropped_total.inc();
                return;
            }
            self.grow(&mut state, |buffer| codec.encode(&Outgoing::Event(event), buffer));
        }
        self.signal();
    }

    /// Queues anything else, whatever the limit: replies, of which a connection that is not read makes no more; at most
    /// two PINGs without an answer; and one NOTICE at its end.
    pub fn send(&self, message: &Outgoing<'_>) {
        self.send_quietly(message);
        self.signal();
    }

    /// The same for the connection's own task, which looks into the buffer anyway before it sleeps.
    pub fn send_quietly(&self, message: &Outgoing<'_>) {
        let Some(codec) = self.codec.get() else { return };
        let mut state = self.state.lock();
        if !state.gone {
            self.grow(&mut state, |buffer| codec.encode(message, buffer));
        }
    }

    /// Answers a request.
    pub fn reply(&self, kind: Kind, mid: Option<MidText>, result: Result<Reply, Failure>) {
        self.reply_quietly(kind, mid, result);
        self.signal();
    }

    /// The same for the connection's own task.
    pub fn reply_quietly(&self, kind: Kind, mid: Option<MidText>, result: Result<Reply, Failure>) {
        if let Err(failure) = &result {
            self.metrics.errors(failure.errno).inc();
        }
        self.send_quietly(&Outgoing::Reply { kind, mid, time: self.clock.now_us() / 1_000, result });
    }

    /// A chat message went to a writer; [`Outbound::answer`] will follow.
    pub fn expect_answer(&self) {
        self.unanswered.fetch_add(1, Ordering::AcqRel);
    }

    /// Answers a chat message that went to a writer.
    pub fn answer(&self, kind: Kind, mid: Option<MidText>, result: Result<Reply, Failure>) {
        self.unanswered.fetch_sub(1, Ordering::AcqRel);
        self.reply(kind, mid, result);
    }

    /// Completes when no chat message is unanswered. Only for the connection's own task.
    pub async fn answered(&self) {
        std::future::poll_fn(|cx| {
            self.register(cx);
            if self.unanswered() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Acquire)
    }

    /// Has the connection closed by its task, with a reason.
    pub fn close(&self, why: Failure) {
        self.state.lock().close.get_or_insert(Close::For(why));
        self.close_asked.store(true, Ordering::Release);
        self.signal();
    }

    /// Has the connection closed at once, whatever is in flight.
    pub fn cut(&self) {
        self.state.lock().close = Some(Close::Now);
        self.close_asked.store(true, Ordering::Release);
        self.signal();
    }

    /// Wakes the connection's task.
    pub fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    fn grow(&self, state: &mut State, append: impl FnOnce(&mut BytesMut)) {
        let before = state.buffer.len();
        append(&mut state.buffer);
        self.metrics.queue_bytes.inc_by((state.buffer.len() - before) as i64);
    }
}

/// A login's client.
impl Claimant for Outbound {
    fn is_waiting(&self) -> bool {
        !self.hung_up.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::arrivals::{MAX_UNARRIVED, Message};
    use super::*;
    use crate::session::Session;
    use chat_environment::SystemClock;
    use chat_protocol::conversation::{Conversation, UserId};
    use chat_protocol::dialect::Dialect;
    use chat_protocol::message::ChatMessage;
    use uuid::Uuid;

    const CONV: Conversation = Conversation::Group(1);
    const LIMIT_BYTES: usize = 1_024;
    const USER: UserId = 7;

    fn outbound(dialect: Dialect, limit_bytes: usize) -> Arc<Outbound> {
        let outbound = Outbound::new(limit_bytes, Arc::new(SystemClock), Arc::new(Metrics::alone()));
        outbound.speak(Codec::new(dialect, 65_536));
        Arc::new(outbound)
    }

    fn push(outbound: &Outbound, seq: u64) -> bool {
        let (name, msg) = ("ann".into(), "hello".into());
        let (time, mid, sent_as) = (0, Uuid::nil(), None);
        let message = ChatMessage { conv: CONV, log_epoch: 0, seq, sender: 2, name, msg, time, mid, sent_as };
        outbound.push(&Push::new(&message, 1))
    }

    /// Writes so many of the bytes that wait.
    fn write(outbound: &Outbound, writing: &mut BytesMut, bytes: usize) {
        outbound.take(writing);
        let _ = writing.split_to(bytes);
        outbound.wrote(bytes);
    }

    #[tokio::test]
    async fn only_what_the_kernel_acknowledged_has_arrived_and_nothing_of_the_queue() {
        let outbound = outbound(Dialect::Bare, usize::MAX);
        let mut writing = BytesMut::new();
        assert!(push(&outbound, 1));
        let one = outbound.queued_bytes();
        assert!(push(&outbound, 2) && push(&outbound, 3));

        assert_eq!(outbound.arrived(0), [], "all is queued");
        write(&outbound, &mut writing, 2 * one - 1);
        assert_eq!(outbound.arrived(2 * one as u64 - 1), [], "written, not acknowledged");
        let seqs = |arrived: Vec<Message>| arrived.into_iter().map(|message| message.seq).collect::<Vec<_>>();
        assert_eq!(seqs(outbound.arrived(0)), [1], "a byte of the second is missing");
        write(&outbound, &mut writing, 1);
        assert_eq!(seqs(outbound.arrived(0)), [2]);
        assert!(outbound.awaits_arrivals(), "the third is in the queue");
        write(&outbound, &mut writing, one);
        assert_eq!(seqs(outbound.arrived(0)), [3]);
        assert!(!outbound.awaits_arrivals());
    }

    #[tokio::test]
    async fn a_client_that_leaves_too_many_messages_unacknowledged_gets_no_more_until_some_arrive() {
        let outbound = outbound(Dialect::Checked, usize::MAX);
        for seq in 1..=MAX_UNARRIVED as u64 {
            assert!(push(&outbound, seq));
        }
        assert!(!push(&outbound, MAX_UNARRIVED as u64 + 1), "one too many");
        assert!(push(&outbound, 0), "relayed: nothing to note");

        let queued = outbound.queued_bytes();
        write(&outbound, &mut BytesMut::new(), queued);
        assert_eq!(outbound.arrived(0).len(), MAX_UNARRIVED);
        assert!(push(&outbound, MAX_UNARRIVED as u64 + 1));
    }

    #[tokio::test]
    async fn nothing_is_noted_for_a_client_that_acknowledges() {
        let outbound = outbound(Dialect::Framed, usize::MAX);
        assert!(push(&outbound, 1));
        assert!(!outbound.awaits_arrivals());
    }

    fn event() -> Event {
        Event::FriendAdded { id: 17, name: "x".repeat(50) }
    }

    #[tokio::test]
    async fn events_past_the_limit_are_dropped_and_counted() {
        let outbound = outbound(Dialect::Framed, LIMIT_BYTES);
        let session = Session::new(USER, "ann".into(), 1, true, true, outbound.clone());
        session.go_live();
        session.tell(&event());
        let event_bytes = outbound.queued_bytes();

        for _ in 0..10_000 {
            session.tell(&event());
        }

        assert!(outbound.queued_bytes() < LIMIT_BYTES + event_bytes, "{} bytes wait", outbound.queued_bytes());
        let told = outbound.queued_bytes() / event_bytes;
        assert_eq!(outbound.metrics.events_dropped_total.get(), 10_001 - told as u64);
        let mut writing = BytesMut::new();
        assert!(outbound.take(&mut writing));
        outbound.wrote(writing.len());
        session.tell(&event());
        assert_eq!(outbound.queued_bytes(), event_bytes, "with room again, events are told again");
    }
}
