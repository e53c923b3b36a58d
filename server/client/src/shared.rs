//! What the application's handles and the client's task have in common: two bounded queues and two wakers.
//!
//! Invariant: `unacked` counts a message from sending until its ack has reached the application, and `events` grows
//! past its bound only by what is bounded otherwise, so that an application that never looks cannot make it grow
//! without end.

use super::error::{Error, Why};
use super::event::Event;
use super::options::{Credentials, DEFAULT_FRAME_BYTES, MAX_REQUESTS};
use super::outbox::Unacked;
use chat_protocol::conversation::UserId;
use chat_protocol::framing::length::HEADER_BYTES;
use chat_protocol::from_node::Reply;
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use uuid::Uuid;

/// What the application asked for, on its way to the task.
#[derive(Debug)]
pub(super) enum Queued {
    Chat(Unacked),
    Request(Ask),
}

impl Queued {
    pub(super) fn frame_bytes(&self) -> usize {
        match self {
            Queued::Chat(message) => message.frame.len(),
            Queued::Request(ask) => ask.frame.len(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Ask {
    pub mid: Uuid,
    pub frame: Vec<u8>,
    pub effect: Effect,
    pub waiter: oneshot::Sender<Result<Reply, Error>>,
}

/// What a request changes about the client itself once it is done.
#[derive(Debug)]
pub(super) enum Effect {
    None,
    LogIn(Box<Credentials>),
    LogOut,
    NewPassword(Box<str>),
}

/// Who is logged in, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: UserId,
    pub name: String,
    /// The node's name.
    pub node: String,
    pub token: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    /// Acknowledge what was received, write what is queued, close.
    Close,
    /// Drop the connection as it stands.
    Abort,
}

/// The queues' state; the lock is never held across anything slow.
#[derive(Debug)]
pub(super) struct Inner {
    pub queued: VecDeque<Queued>,
    pub events: VecDeque<Event>,
    /// Messages that the application took since the task last looked: the highest `seq` per conversation.
    pub taken: Vec<(Arc<str>, u64)>,
    pub unacked: usize,
    pub requests: usize,
    pub session: Option<Arc<Session>>,
    pub max_frame_bytes: usize,
    pub wish: Wish,
    /// Why the task ended.
    pub ended: Option<Why>,
    discard_events: bool,
    /// Dropped when the task ends.
    closing: Vec<oneshot::Sender<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    max_events: usize,
    max_unacked: usize,
    /// Woken when there is something to do for the task.
    pub task: AtomicWaker,
    application: AtomicWaker,
}

impl Shared {
    pub(super) fn new(max_events: usize, max_unacked: usize) -> Self {
        let inner = Inner {
            queued: VecDeque::new(),
            events: VecDeque::new(),
            taken: Vec::new(),
            unacked: 0,
            requests: 0,
            session: None,
            max_frame_bytes: DEFAULT_FRAME_BYTES,
            wish: Wish::Run,
            ended: None,
            discard_events: false,
            closing: Vec::new(),
        };
        let (task, application) = (AtomicWaker::new(), AtomicWaker::new());
        Shared { inner: Mutex::new(inner), max_events: max_events.max(1), max_unacked, task, application }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Queues something for the task. Errors: [`Error::Full`], [`Error::Disconnected`] once the client has ended, and
    /// [`Error::TooLarge`].
    pub(super) fn submit(&self, queued: Queued) -> Result<(), Error> {
        let mut inner = self.lock();
        if let Some(why) = &inner.ended {
            return Err(Error::Disconnected(why.clone()));
        }
        if inner.wish != Wish::Run {
            return Err(Error::Disconnected(Why::Ended));
        }
        let frame_bytes = queued.frame_bytes() - HEADER_BYTES;
        if frame_bytes > inner.max_frame_bytes {
            return Err(Error::TooLarge { bytes: frame_bytes, limit: inner.max_frame_bytes });
        }
        let (count, limit) = match &queued {
            Queued::Chat(_) => (&mut inner.unacked, self.max_unacked),
            Queued::Request(_) => (&mut inner.requests, MAX_REQUESTS),
        };
        if *count >= limit {
            return Err(Error::Full);
        }
        *count += 1;
        inner.queued.push_back(queued);
        drop(inner);
        self.task.wake();
        Ok(())
    }

    /// How many more events may be queued.
    pub(super) fn event_room(&self) -> usize {
        let inner = self.lock();
        if inner.discard_events { usize::MAX } else { self.max_events.saturating_sub(inner.events.len()) }
    }

    /// Hands events to the application.
    pub(super) fn push_events(&self, events: impl IntoIterator<Item = Event>) {
        let mut inner = self.lock();
        for event in events {
            if !inner.discard_events {
                inner.events.push_back(event);
            } else if let Event::Acked { .. } = event {
                inner.unacked -= 1;
            }
        }
        drop(inner);
        self.application.wake();
    }

    /// The next event, and why there will be no more.
    pub(super) fn take_event(&self) -> (Option<Event>, Option<Why>) {
        let mut inner = self.lock();
        let Some(event) = inner.events.pop_front() else {
            return (None, inner.ended.clone());
        };
        if inner.events.is_empty() {
            // An idle client keeps no buffer.
            inner.events = VecDeque::new();
        }
        let mut wake = inner.events.len() == self.max_events / 2;
        match &event {
            Event::Acked { .. } => inner.unacked -= 1,
            Event::Message(message) if message.seq > 0 && !message.own => {
                wake |= inner.taken.is_empty();
                inner.take(&message.conv, message.seq);
            }
            _ => {}
        }
        drop(inner);
        if wake {
            self.task.wake();
        }
        (Some(event), None)
    }

    pub(super) fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let (Some(event), _) = self.take_event() {
            return Poll::Ready(Some(event));
        }
        // Registered before the second look, so that nothing queued in between goes unnoticed.
        self.application.register(cx.waker());
        match self.take_event() {
            (Some(event), _) => Poll::Ready(Some(event)),
            (None, Some(_)) => Poll::Ready(None),
            (None, None) => Poll::Pending,
        }
    }

    pub(super) fn discard_events(&self) {
        let mut inner = self.lock();
        inner.discard_events = true;
        let dropped = std::mem::take(&mut inner.events);
        inner.unacked -= dropped.iter().filter(|event| matches!(event, Event::Acked { .. })).count();
        drop(inner);
        self.task.wake();
    }

    /// Asks the task to end. The receiver resolves (with an error) when it has.
    pub(super) fn end(&self, wish: Wish) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        if inner.ended.is_none() {
            if inner.wish != Wish::Abort {
                inner.wish = wish;
            }
            inner.closing.push(sender);
        }
        drop(inner);
        self.task.wake();
        receiver
    }

    /// Queues nothing more; returns what the task had not seen.
    pub(super) fn stop(&self) -> VecDeque<Queued> {
        let mut inner = self.lock();
        inner.wish = Wish::Abort;
        std::mem::take(&mut inner.queued)
    }

    /// The task's last act: no event comes after this.
    pub(super) fn ended(&self, why: Why) {
        let mut inner = self.lock();
        inner.ended = Some(why);
        inner.session = None;
        inner.taken = Vec::new();
        inner.closing.clear();
        drop(inner);
        self.application.wake();
    }
}

impl Inner {
    fn take(&mut self, conv: &Arc<str>, seq: u64) {
        // The task hands out one allocation per conversation, so comparing addresses is enough.
        match self.taken.iter_mut().find(|(known, _)| Arc::ptr_eq(known, conv)) {
            Some((_, highest)) => *highest = seq.max(*highest),
            None => self.taken.push((conv.clone(), seq)),
        }
    }
}
