//! What a client tells its application, in the order it happened.

use super::error::{Error, Why};
use super::shared::Shared;
use chat_protocol::conversation::Target;
use chat_protocol::errno::Failure;
use chat_protocol::from_node::Push;
use chat_protocol::message::{self, LoginAck, Stored, TimeMs};
use serde::Serialize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A chat message, pushed or out of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Opaque; empty for a relayed message (`qos` 0) without a place.
    pub conv: Arc<str>,
    /// Its place in `conv`, from 1; 0 for a relayed message.
    pub seq: u64,
    /// The sender.
    pub id: u64,
    pub name: String,
    pub target: Target,
    pub msg: String,
    /// As set by the node.
    pub time: TimeMs,
    pub mid: Option<Uuid>,
    /// Whether it is one's own; only the history has those.
    pub own: bool,
    /// When it was read from the socket.
    pub at: Instant,
}

impl Message {
    pub(super) fn new(push: Push<'_>, conv: Arc<str>, me: u64, at: Instant) -> Self {
        let Push { seq, id, name, target, msg, time, mid, .. } = push;
        Message { conv, seq, id, name, target, msg, time, mid, own: id == me, at }
    }
}

/// Where an accepted message stands; all absent where it was relayed, not stored (`qos` 0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    pub conv: Option<Box<str>>,
    pub seq: Option<u64>,
    pub time: Option<TimeMs>,
}

impl From<Option<Stored<Box<str>>>> for Acknowledged {
    fn from(stored: Option<Stored<Box<str>>>) -> Self {
        stored.map_or_else(Acknowledged::default, |Stored { log, seq, time }| Acknowledged {
            conv: Some(log),
            seq: Some(seq),
            time: Some(time),
        })
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Taking it counts as having received it: RECEIVED goes out within a second.
    Message(Message),
    /// What became of a message sent with [`super::Client::send_nowait`].
    Acked { mid: Uuid, to: Target, result: Result<Acknowledged, Error>, queued: Instant, at: Instant },
    /// The node says why it is about to close.
    Notice(Failure),
    /// The connection is lost. Without reconnecting, the last event.
    Disconnected { why: Why },
    /// The next try comes after this wait.
    Reconnecting { after: Duration },
    /// There is a connection again; a [`Event::LoggedIn`] follows where there was a login.
    Reconnected,
    /// A login that the client did by itself: while connecting or reconnecting.
    LoggedIn(Box<LoginAck>),
    /// Best-effort news of friends and groups.
    News(message::Event),
    /// What else goes over the wire; only with [`super::Options::trace`].
    Trace(Trace),
}

/// What a client does by itself and an application need not know: for histories that are judged afterwards.
#[derive(Clone, Debug)]
pub enum Trace {
    /// A message was put on the wire for the `tries`-th time.
    Sent { mid: Uuid, tries: u32 },
    /// A message was refused for now, and will be put on the wire again.
    Deferred { mid: Uuid, failure: Failure },
    /// A message came that was handed on before; it is dropped.
    Repeated(Message),
    /// The node was told that everything of `conv` up to `seq` is here.
    Received { conv: Arc<str>, seq: u64 },
}

/// The stream of events of one client. Dropping it discards what happens; nothing is then acknowledged as received.
#[derive(Debug)]
pub struct Events {
    pub(super) shared: Arc<Shared>,
}

impl Events {
    /// Waits for the next event; `None` after the client has ended and all are taken. Can be cancelled without loss.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`Events::next`] for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.poll_event(cx)
    }

    /// The next event if one waits.
    pub fn try_next(&mut self) -> Option<Event> {
        self.shared.take_event().0
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.discard_events();
    }
}
