//! The bytes waiting for one connection, and the requests it still owes an answer.
//!
//! Anyone may queue: the writer its acks, other connections their messages, the bus. The connection's task takes the
//! whole buffer at once, so what queued up since the last write leaves in one system call. Messages past the byte
//! limit are refused ([`Outbound::push`] returns false) and come from the log later; replies are always taken, since
//! a connection stops reading requests while its buffer is full. An idle connection keeps no buffer.

use crate::metrics::Metrics;
use crate::protocol::codec::Codec;
use crate::protocol::dialect::Dialect;
use crate::protocol::errno::Failure;
use crate::protocol::message::{ChatMessage, Kind, MidText, Outgoing, Reply};
use crate::storage::Claimant;
use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

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
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    buffer: BytesMut,
    /// Taken by the task for writing, but not yet by the kernel.
    writing_bytes: usize,
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

/// A chat message for any number of connections: each dialect's bytes are made at most once, and only if asked for.
pub struct Parcel<'a> {
    pub message: &'a ChatMessage,
    encoded: [OnceLock<Bytes>; Dialect::COUNT],
    /// With one recipient the bytes go straight into its buffer.
    shared: bool,
}

impl<'a> Parcel<'a> {
    pub fn new(message: &'a ChatMessage, recipients: usize) -> Self {
        Parcel { message, encoded: Default::default(), shared: recipients > 1 }
    }

    fn append(&self, codec: &Codec, buffer: &mut BytesMut) {
        if !self.shared {
            return codec.encode(&Outgoing::Push(self.message), buffer);
        }
        let bytes = self.encoded[codec.dialect() as usize].get_or_init(|| {
            let mut bytes = BytesMut::new();
            codec.encode(&Outgoing::Push(self.message), &mut bytes);
            bytes.freeze()
        });
        buffer.extend_from_slice(bytes);
    }
}

impl Outbound {
    pub fn new(limit_bytes: usize, metrics: Arc<Metrics>) -> Self {
        Outbound {
            codec: OnceLock::new(),
            state: Mutex::default(),
            signalled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            close_asked: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            limit_bytes,
            metrics,
        }
    }

    /// Sets how messages are written; until then nothing can be sent.
    pub fn speak(&self, codec: Codec) {
        // A connection keeps the dialect of its first byte.
        let _ = self.codec.set(codec);
    }

    /// Queues a message unless the limit is reached or the connection is going away.
    pub fn push(&self, parcel: &Parcel<'_>) -> bool {
        let Some(codec) = self.codec.get() else { return false };
        {
            let mut state = self.state.lock();
            if !state.has_room(self.limit_bytes) {
                return false;
            }
            self.grow(&mut state, |buffer| parcel.append(codec, buffer));
        }
        self.metrics.pushes_total.inc();
        self.signal();
        true
    }

    /// Whether a message could be queued now.
    pub fn has_room(&self) -> bool {
        self.codec.get().is_some() && self.state.lock().has_room(self.limit_bytes)
    }

    /// Queues anything else, whatever the limit.
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
        if let Err(failure) = &result {
            self.metrics.errors(failure.errno).inc();
        }
        self.send(&Outgoing::Reply { kind, mid, result });
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

/// For the connection's own task.
impl Outbound {
    /// From here on a change wakes `cx`.
    pub fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
        self.signalled.store(false, Ordering::Release);
    }

    /// Moves what waits into `writing`. Returns whether there is anything to write.
    pub fn take(&self, writing: &mut BytesMut) -> bool {
        let mut state = self.state.lock();
        if writing.is_empty() {
            *writing = std::mem::take(&mut state.buffer);
        } else if !state.buffer.is_empty() {
            writing.unsplit(std::mem::take(&mut state.buffer));
        }
        state.writing_bytes = writing.len();
        !writing.is_empty()
    }

    /// `bytes` of what was taken went to the kernel.
    pub fn wrote(&self, bytes: usize) {
        self.state.lock().writing_bytes -= bytes;
        self.metrics.queue_bytes.dec_by(bytes as i64);
    }

    pub fn queued_bytes(&self) -> usize {
        let state = self.state.lock();
        state.buffer.len() + state.writing_bytes
    }

    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Completes when someone wants the connection closed.
    pub async fn close_wanted(&self) {
        std::future::poll_fn(|cx| {
            self.register(cx);
            if self.close_asked().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub fn is_closing(&self) -> bool {
        self.close_asked.load(Ordering::Acquire)
    }

    pub fn close_asked(&self) -> Option<Close> {
        if !self.is_closing() {
            return None;
        }
        self.state.lock().close.clone()
    }

    /// The client has closed its direction.
    pub fn hung_up(&self) {
        self.hung_up.store(true, Ordering::Release);
    }

    /// The socket is gone; whatever still waits is dropped.
    pub fn abandon(&self) {
        self.hung_up();
        let mut state = self.state.lock();
        state.gone = true;
        self.metrics.queue_bytes.dec_by((state.buffer.len() + state.writing_bytes) as i64);
        state.buffer = BytesMut::new();
        state.writing_bytes = 0;
    }
}

/// A login's client.
impl Claimant for Outbound {
    fn is_waiting(&self) -> bool {
        !self.hung_up.load(Ordering::Acquire)
    }
}
