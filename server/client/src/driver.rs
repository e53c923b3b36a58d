//! The one task of a client: owns the connection, and turns requests into frames and frames into replies and events.
//!
//! It is a hand-written poll loop around readiness, so that an idle client costs no buffer: bytes are read into memory
//! shared by all clients of a thread, and only the tail of an incomplete frame is kept. What happens between two
//! connections is in `reconnect`, what frames mean in `incoming`.

use super::error::{Error, Why};
use super::event::{Event, Trace};
use super::link::Link;
use super::options::{Credentials, MAX_OUT_BYTES, Options, RECEIVED_INTERVAL};
use super::outbox::Outbox;
use super::raw::cut;
use super::received::Received;
use super::shared::{Ask, Effect, Queued, Shared, Wish};
use chat_protocol::framing::Cut;
use chat_protocol::from_node::{self, Reply};
use chat_protocol::message::{Command, Ping, Pong, Received as Told};
use parking_lot::MutexGuard;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

/// Bytes taken from the kernel at once.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Where every client of this thread reads into; only used within one poll.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

pub(super) struct Waiting {
    pub(super) mid: Uuid,
    deadline: Instant,
    pub(super) effect: Effect,
    pub(super) waiter: oneshot::Sender<Result<Reply, Error>>,
}

/// The task's state; lives as long as the client, across connections.
pub(super) struct Driver {
    pub shared: Arc<Shared>,
    pub options: Options,
    /// Who to log in as after a reconnect; `None` before login and after logout.
    pub identity: Option<Box<Credentials>>,
    /// The user of the current or last session; 0: none yet.
    pub(super) me: u64,
    /// Which address is in use.
    pub place: usize,
    /// When the current connection was made.
    pub connected_at: Instant,
    /// Tries since a connection lasted; what the backoff grows with.
    pub tries: u32,
    pub(super) outbox: Outbox,
    pub(super) requests: VecDeque<Waiting>,
    pub(super) received: Received,
    /// When what the application took is next told to the node.
    pub(super) tell_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    armed: Instant,
    /// Events of the frames being handled, handed over together.
    pub(super) staged: Vec<Event>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, options: Options, place: usize) -> Self {
        let armed = Instant::now();
        Driver {
            shared,
            options,
            identity: None,
            me: 0,
            place,
            connected_at: armed,
            tries: 0,
            outbox: Outbox::default(),
            requests: VecDeque::new(),
            received: Received::default(),
            tell_at: None,
            timer: Box::pin(tokio::time::sleep_until(armed)),
            armed,
            staged: Vec::new(),
        }
    }

    /// Runs until the application closes, or the connection is lost for good. Borrows, since what an async function
    /// owns it keeps twice.
    pub(super) async fn run(&mut self, slot: &mut Option<Link>) {
        let why = loop {
            let Some(link) = slot.as_mut() else { break Why::Ended };
            let why = poll_fn(|cx| self.poll_online(link, cx)).await;
            if why == Why::Ended {
                Box::pin(self.close(link)).await;
                break why;
            }
            *slot = None;
            self.lost(&why);
            match Box::pin(self.reconnect(why)).await {
                Ok(next) => *slot = Some(next),
                Err(why) => break why,
            }
        };
        *slot = None;
        self.finish(why);
    }

    fn poll_online(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<Why> {
        match self.turn(link, cx) {
            Ok(()) => Poll::Pending,
            Err(why) => {
                self.hand_over();
                Poll::Ready(why)
            }
        }
    }

    /// Does all that can be done now. `Ok`: wakers are set for everything that can come next.
    fn turn(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Result<(), Why> {
        self.shared.task.register(cx.waker());
        loop {
            let now = Instant::now();
            let queued_left = self.take_all_queued(link, now)?;
            self.pump(link, now);
            self.expire(now);
            self.tell(link, now, false);
            self.keep_alive(link, now)?;
            let was_full = !link.has_room();
            link.poll_write(cx)?;
            let more_to_write = (was_full || queued_left) && link.has_room();
            let was_read = self.poll_read(link, cx)?.is_ready();
            if !more_to_write && !was_read && self.poll_timer(link, cx).is_pending() {
                return Ok(());
            }
        }
    }

    /// Takes over what the application queued, as far as there is room; returns whether something is left. Errors:
    /// [`Why::Ended`] when the application wants the client to end.
    fn take_all_queued(&mut self, link: &mut Link, now: Instant) -> Result<bool, Why> {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        if inner.wish != Wish::Run {
            return Err(Why::Ended);
        }
        if self.tell_at.is_none() && (!inner.taken.is_empty() || self.received.is_dirty()) {
            self.tell_at = Some(now + RECEIVED_INTERVAL);
        }
        let mut room = MAX_OUT_BYTES.saturating_sub(link.out.len() - link.written);
        while room > 0 {
            let Some(queued) = inner.queued.pop_front() else { break };
            room = room.saturating_sub(queued.frame_bytes());
            MutexGuard::unlocked(&mut inner, || self.take_queued(link, queued, now));
        }
        if inner.queued.is_empty() {
            // An idle client keeps no buffer.
            inner.queued = VecDeque::new();
        }
        Ok(!inner.queued.is_empty())
    }

    pub(super) fn take_queued(&mut self, link: &mut Link, queued: Queued, now: Instant) {
        match queued {
            Queued::Chat(message) => self.outbox.push(message),
            Queued::Request(ask) => self.ask(link, ask, now),
        }
    }

    /// Writes the messages that may go now, up to about [`MAX_OUT_BYTES`].
    pub(super) fn pump(&mut self, link: &mut Link, now: Instant) {
        if link.has_room() {
            self.outbox.pump(now, |message| {
                link.out.extend_from_slice(&message.frame);
                if self.options.trace {
                    self.staged.push(Event::Trace(Trace::Sent { mid: message.mid, tries: message.tries }));
                }
                link.out.len() - link.written < MAX_OUT_BYTES
            });
        }
    }

    fn ask(&mut self, link: &mut Link, ask: Ask, now: Instant) {
        // What was asked earlier goes first, messages included.
        self.pump(link, now);
        if matches!(ask.effect, Effect::LogOut) {
            self.tell(link, now, true);
        }
        link.out.extend_from_slice(&ask.frame);
        let deadline = now + self.options.request_timeout;
        self.requests.push_back(Waiting { mid: ask.mid, deadline, effect: ask.effect, waiter: ask.waiter });
    }

    /// Gives up what has waited for too long.
    fn expire(&mut self, now: Instant) {
        while self.requests.front().is_some_and(|request| request.deadline <= now) {
            if let Some(request) = self.requests.pop_front() {
                self.answer(request.waiter, Err(Error::TimedOut));
            }
        }
        if self.requests.is_empty() {
            self.requests = VecDeque::new();
        }
        for message in self.outbox.expired(now, self.options.send_timeout) {
            self.settle(message, Err(Error::TimedOut), now);
        }
        self.hand_over();
    }

    /// Sends RECEIVED for what the application took: at most once a second, or at once if `all`. Never behind a LOGOUT,
    /// which ends the session that it would count for; where that is refused, it is made up for.
    pub(super) fn tell(&mut self, link: &mut Link, now: Instant, all: bool) {
        if !all && self.tell_at.is_none_or(|at| at > now) {
            return;
        }
        self.tell_at = None;
        let taken = std::mem::take(&mut self.shared.lock().taken);
        for (conv, seq) in taken {
            self.received.take(conv, seq);
        }
        if self.requests.iter().any(|request| matches!(request.effect, Effect::LogOut)) {
            return;
        }
        self.received.flush(|conv, seq| {
            Command::Received(Told { conv: conv.to_string(), seq }).write(None, &mut link.out);
            if self.options.trace {
                self.staged.push(Event::Trace(Trace::Received { conv: conv.clone(), seq }));
            }
        });
        self.hand_over();
    }

    /// Answers PING, and sends one after a heartbeat of silence.
    fn keep_alive(&mut self, link: &mut Link, now: Instant) -> Result<(), Why> {
        if std::mem::take(&mut link.pong_due) {
            Command::Pong(Pong {}).write(None, &mut link.out);
        }
        if now.saturating_duration_since(link.heard) < self.options.heartbeat * (link.pings + 1) {
            return Ok(());
        }
        if link.behind {
            // Silence means nothing while the application keeps us from reading; the node wants to hear from us still.
            link.heard = now;
        } else if link.pings == 2 {
            return Err(Why::Silent);
        } else {
            link.pings += 1;
        }
        Command::Ping(Ping {}).write(None, &mut link.out);
        Ok(())
    }

    /// Ready: something was read and handled, and there may be more.
    fn poll_read(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<Result<(), Why>> {
        let room = self.shared.event_room();
        if link.behind {
            if room == 0 {
                return Poll::Pending;
            }
            // The time spent not reading was not silence.
            (link.heard, link.pings) = (Instant::now(), 0);
            let waiting = std::mem::take(&mut link.partial);
            return Poll::Ready(self.handle(link, &waiting, room));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut into = ReadBuf::new(scratch);
            ready!(Pin::new(&mut link.stream).poll_read(cx, &mut into))?;
            let fresh = into.filled();
            if fresh.is_empty() {
                return Poll::Ready(Err(Why::Closed));
            }
            (link.heard, link.pings) = (Instant::now(), 0);
            if link.partial.is_empty() {
                return Poll::Ready(self.handle(link, fresh, room));
            }
            let mut joined = std::mem::take(&mut link.partial);
            joined.extend_from_slice(fresh);
            Poll::Ready(self.handle(link, &joined, room))
        })
    }

    /// Handles the whole frames in `bytes`, as long as there is room for events; keeps the rest.
    fn handle(&mut self, link: &mut Link, bytes: &[u8], room: usize) -> Result<(), Why> {
        let mut rest = bytes;
        link.behind = false;
        while let Some(Cut { payload, end }) = cut(rest).map_err(Why::Protocol)? {
            if self.staged.len() >= room {
                link.behind = true;
                break;
            }
            let parsed = from_node::parse(&rest[payload]).map_err(Why::Protocol)?;
            rest = &rest[end..];
            self.on_frame(link, parsed)?;
        }
        link.partial = rest.to_vec();
        self.hand_over();
        Ok(())
    }

    /// Gives the staged events to the application.
    pub(super) fn hand_over(&mut self) {
        if !self.staged.is_empty() {
            self.shared.push_events(std::mem::take(&mut self.staged));
        }
    }

    /// Ready: the timer went off, or is due earlier than it was and must be looked at again.
    fn poll_timer(&mut self, link: &Link, cx: &mut Context<'_>) -> Poll<()> {
        let heartbeat = link.heard + self.options.heartbeat * (link.pings + 1);
        self.poll_deadline(Some(heartbeat), cx)
    }

    /// The timer is only ever moved forward when it has gone off, so that busy connections do not keep re-arming it.
    fn poll_deadline(&mut self, heartbeat: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let request = self.requests.front().map(|request| request.deadline);
        let message = self.outbox.deadline(self.options.send_timeout, Instant::now());
        let Some(due) = [heartbeat, request, message, self.tell_at].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        if due < self.armed || self.timer.is_elapsed() {
            self.armed = due;
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Without a connection: collects messages, refuses requests, gives up what waits too long. Ready: the application
    /// wants the client to end.
    pub(super) fn poll_offline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.task.register(cx.waker());
        let waiting = {
            let mut inner = self.shared.lock();
            if inner.wish != Wish::Run {
                return Poll::Ready(());
            }
            std::mem::take(&mut inner.queued)
        };
        for queued in waiting {
            match queued {
                Queued::Chat(message) if message.stored => self.outbox.push(message),
                Queued::Chat(message) => self.settle(message, Err(Error::Disconnected(Why::Closed)), Instant::now()),
                Queued::Request(ask) => self.answer(ask.waiter, Err(Error::Disconnected(Why::Closed))),
            }
        }
        self.expire(Instant::now());
        while self.poll_deadline(None, cx).is_ready() {
            self.expire(Instant::now());
        }
        Poll::Pending
    }
}
