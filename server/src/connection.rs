//! One client's connection: a socket, its read loop, its writes, its deadlines.
//!
//! One task, polled by hand so that an idle connection is small: it owns no buffer and no pending future. Requests are seen to one
//! after the other; chat messages go to a writer and are answered later, everything else is waited for before the next request
//! is looked at. Not reading is the only backpressure a client gets until it overdoes it.

mod deadlines;
mod pace;

use crate::core::Core;
use crate::outbound::{Close, Outbound};
use crate::protocol::codec::Codec;
use crate::protocol::dialect::Dialect;
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::{Chat, Command, Incoming, Kind, MidText, Outgoing, Reply, Request};
use crate::service::{self, Answer, Caller, SessionChange, chat};
use crate::session::Session;
use crate::stream::Stream;
use bytes::{Buf, BytesMut};
use deadlines::Deadlines;
use pace::{Pace, Verdict};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Chat messages of one connection that may wait for their commit; beyond it the node stops reading.
const MAX_UNANSWERED: u32 = 1_024;
/// A client that cannot acknowledge is asked for by looking at the kernel's send queue this often.
const DRAIN_POLL: Duration = Duration::from_millis(50);
/// How long the kernel of a classic client, which knows no PING, may leave bytes unacknowledged.
const CLASSIC_USER_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client is told to wait before it reconnects, at least.
const RECONNECT: Duration = Duration::from_millis(100);

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What the listener learnt about a new connection.
pub struct Accepted {
    pub stream: Stream,
    pub address: IpAddr,
    pub outbound: Arc<Outbound>,
    /// Told when the client has logged in: it no longer counts as silent.
    pub admitted: Box<dyn FnOnce() + Send + Sync>,
}

pub struct Connection {
    core: Arc<Core>,
    stream: Stream,
    address: IpAddr,
    outbound: Arc<Outbound>,
    codec: Option<Codec>,
    input: BytesMut,
    /// Taken from the outbound queue, partly written.
    writing: BytesMut,
    session: Option<Arc<Session>>,
    answering: Option<Box<InProgress>>,
    pace: Pace,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
    life: Life,
    admitted: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// A request that is being waited for.
struct InProgress {
    kind: Kind,
    mid: Option<MidText>,
    future: Answering,
}

enum Life {
    Open,
    /// No more requests; what is in flight is answered, the session ended, then the NOTICE sent if there is a reason.
    Settling(Option<Failure>),
    /// Written out what is left, then our direction ends.
    Flushing,
    /// Reading and discarding, so that what was sent is not destroyed by a reset.
    Lingering,
    Closed,
}

impl Connection {
    pub fn new(core: Arc<Core>, accepted: Accepted) -> Self {
        let now = Instant::now();
        let deadlines = Deadlines::new(&core.config.limits, now);
        Connection {
            timer: Box::pin(tokio::time::sleep_until(deadlines.next(now))),
            pace: Pace::new(&core.config.limits),
            deadlines,
            stream: accepted.stream,
            address: accepted.address,
            outbound: accepted.outbound,
            codec: None,
            input: BytesMut::new(),
            writing: BytesMut::new(),
            session: None,
            answering: None,
            life: Life::Open,
            admitted: Some(accepted.admitted),
            core,
        }
    }

    /// Serves the client until the connection is closed, and leaves nothing behind.
    pub async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
        self.outbound.abandon();
        if let Some(in_progress) = self.answering.take() {
            // A login that has begun must be known to be undone.
            let answer = in_progress.future.await;
            self.session_changed(answer.session);
        }
        if let Some(session) = self.session.take() {
            self.core.end_session(&session).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.outbound.register(cx);
            let mut progress = self.poll_answer(cx);
            progress |= self.poll_close_asked();
            match self.poll_stream(cx) {
                Ok(moved) => progress |= moved,
                Err(error) => {
                    tracing::debug!(%error, address = %self.address, "connection lost");
                    self.life = Life::Closed;
                }
            }
            if let Life::Closed = self.life {
                return Poll::Ready(());
            }
            progress |= self.poll_timer(cx);
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Reads, sees to requests, writes. True if anything moved.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        match self.life {
            Life::Open => {
                progress |= self.take_requests();
                if self.wants_input() {
                    progress |= self.poll_read(cx)?;
                }
            }
            Life::Settling(_) => progress |= self.settle(),
            Life::Flushing | Life::Closed => {}
            Life::Lingering => progress |= self.poll_discard(cx)?,
        }
        progress |= self.poll_write(cx)?;
        Ok(progress)
    }
}

/// Reading.
impl Connection {
    fn wants_input(&self) -> bool {
        self.answering.is_none()
            && !self.pace.is_waiting()
            && self.outbound.unanswered() < MAX_UNANSWERED
            && self.outbound.queued_bytes() < 2 * self.outbound.limit_bytes()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        let bytes = read?;
        if bytes == 0 {
            self.end_of_file();
            return Ok(true);
        }
        self.core.metrics.bytes_received_total.inc_by(bytes as u64);
        self.deadlines.heard(Instant::now());
        self.take_requests();
        Ok(true)
    }

    /// The client has closed its direction: nothing more will come, but what is in flight is finished.
    fn end_of_file(&mut self) {
        if let (Some(session), Some(codec)) = (&self.session, &self.codec)
            && !codec.acknowledges()
        {
            self.see_what_arrived(&session.clone());
        }
        self.life = Life::Settling(None);
    }

    /// Decodes and handles what has been read, as far as it may go on.
    fn take_requests(&mut self) -> bool {
        let mut progress = false;
        while !self.input.is_empty() && self.wants_input() && matches!(self.life, Life::Open) {
            match self.decode() {
                Ok(Some(incoming)) => self.handle(incoming),
                Ok(None) => break,
                Err(failure) => self.break_off(failure),
            }
            progress = true;
        }
        if self.input.is_empty() {
            // An idle connection keeps no buffer.
            self.input = BytesMut::new();
            self.deadlines.frame_done();
        } else if self.wants_input() {
            self.deadlines.frame_begun(Instant::now(), progress);
        } else {
            // A client is not late with a frame that is not being read: its time begins anew when reading goes on.
            self.deadlines.frame_done();
        }
        self.arm();
        progress
    }

    fn decode(&mut self) -> Result<Option<Incoming>, Failure> {
        if self.codec.is_none() {
            let Some(dialect) = Dialect::of_first_byte(self.input[0]) else {
                self.life = Life::Closed;
                return Ok(None);
            };
            self.speak(dialect);
        }
        self.codec.as_mut().map_or(Ok(None), |codec| codec.decode(&mut self.input))
    }

    fn speak(&mut self, dialect: Dialect) {
        let codec = Codec::new(dialect, self.core.config.limits.max_frame_bytes);
        self.outbound.speak(Codec::new(dialect, self.core.config.limits.max_frame_bytes));
        if !codec.speaks_ping_and_notice() {
            let keepalive = Duration::from_secs(self.core.config.limits.heartbeat_s);
            self.deadlines.no_heartbeat();
            if let Err(error) = self.stream.watch_for_dead_peer(CLASSIC_USER_TIMEOUT, keepalive) {
                tracing::debug!(%error, "cannot set keepalive");
            }
        }
        self.codec = Some(codec);
    }

    /// The client broke the protocol.
    fn break_off(&mut self, failure: Failure) {
        self.core.metrics.errors(failure.errno).inc();
        self.input = BytesMut::new();
        self.life = Life::Settling(Some(failure));
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        self.input.clear();
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        if read? == 0 {
            self.life = Life::Closed;
        }
        Ok(true)
    }
}

/// Requests.
impl Connection {
    fn handle(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Refused { kind, mid, failure } => {
                let failure =
                    if self.session.is_none() && needs_login(kind) { Errno::NotLoggedIn.into() } else { failure };
                self.reply(kind, mid, Err(failure));
            }
            Incoming::Request(request) => self.handle_request(request),
        }
    }

    fn handle_request(&mut self, Request { mid, claimed_id, command }: Request) {
        let kind = command.kind();
        if let Some(failure) = self.not_permitted(claimed_id, &command) {
            return self.reply(kind, mid, Err(failure));
        }
        match command {
            Command::Chat(chat) => self.chat(kind, mid, chat),
            Command::Received { conv, seq } => {
                if let (Some(session), Some(conv)) = (&self.session, conv)
                    && session.received(conv, seq)
                {
                    self.core.marks.add(session.clone());
                }
            }
            Command::Ping => self.reply(kind, mid, Ok(Reply::Pong { time: crate::clock::now_ms() })),
            Command::Pong => {}
            command => self.answering = Some(self.begin(kind, mid, command)),
        }
    }

    /// Errno 3 before login, errno 7 for somebody else's id.
    fn not_permitted(&self, claimed_id: Option<u64>, command: &Command) -> Option<Failure> {
        match (&self.session, command) {
            (Some(session), _) => claimed_id
                .filter(|id| *id != session.user)
                .map(|_| Failure::new(Errno::NotAllowed, "field id: not your own")),
            (None, command) => needs_login(command.kind()).then(|| Errno::NotLoggedIn.into()),
        }
    }

    fn chat(&mut self, kind: Kind, mid: Option<MidText>, chat: Chat) {
        let Some(session) = &self.session else { return };
        match self.pace.take(Instant::now()) {
            Verdict::Go => chat::send(&self.core, session, &self.outbound, mid, chat),
            Verdict::Refuse(retry) => {
                self.reply(kind, mid, Err(Failure::from(Errno::TooFast).retry_after(retry)));
            }
        }
    }

    fn begin(&self, kind: Kind, mid: Option<MidText>, command: Command) -> Box<InProgress> {
        let caller = Caller { address: self.address, outbound: self.outbound.clone(), session: self.session.clone() };
        let core = self.core.clone();
        let future = Box::pin(async move {
            // A request takes effect after all chats sent before it.
            caller.outbound.answered().await;
            service::answer(core, caller, command).await
        });
        Box::new(InProgress { kind, mid, future })
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(in_progress) = &mut self.answering else { return false };
        let Poll::Ready(answer) = in_progress.future.as_mut().poll(cx) else { return false };
        let InProgress { kind, mid, .. } = *self.answering.take().expect("just polled");
        self.reply(kind, mid, answer.result);
        self.session_changed(answer.session);
        true
    }

    fn session_changed(&mut self, change: SessionChange) {
        match change {
            SessionChange::Same => {}
            SessionChange::Ended => {
                self.session = None;
                self.deadlines.logged_out(Instant::now());
                self.arm();
            }
            SessionChange::Began(session) => {
                self.session = Some(session.clone());
                self.deadlines.logged_in();
                if let Some(admitted) = self.admitted.take() {
                    admitted();
                }
                self.core.go_live(&session);
            }
        }
    }

    fn reply(&mut self, kind: Kind, mid: Option<MidText>, result: Result<Reply, Failure>) {
        if let Err(failure) = &result {
            self.core.metrics.errors(failure.errno).inc();
        }
        self.outbound.send_quietly(&Outgoing::Reply { kind, mid, result });
    }
}

/// Whether a request means nothing before login. RECEIVED is then ignored, as it has no reply.
fn needs_login(kind: Kind) -> bool {
    !matches!(kind, Kind::Unknown | Kind::Login | Kind::Register | Kind::Received | Kind::Ping | Kind::Pong)
}

/// Writing.
impl Connection {
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while self.outbound.take(&mut self.writing) {
            match self.stream.poll_write(cx, &self.writing) {
                Poll::Pending => {
                    self.deadlines.write_blocked(Instant::now());
                    self.arm();
                    return Ok(progress);
                }
                Poll::Ready(written) => {
                    let bytes = written?;
                    self.writing.advance(bytes);
                    self.outbound.wrote(bytes);
                    self.core.metrics.bytes_sent_total.inc_by(bytes as u64);
                    self.deadlines.wrote();
                    progress = true;
                }
            }
        }
        if self.writing.capacity() > 0 {
            self.writing = BytesMut::new();
        }
        let _ = self.stream.poll_flush(cx)?;
        if progress {
            self.resume_session();
        }
        if let Life::Flushing = self.life
            && let Poll::Ready(result) = self.stream.poll_shutdown(cx)
        {
            result?;
            self.life = Life::Lingering;
            progress = true;
        }
        Ok(progress)
    }

    /// The queue has drained: a session that fell behind reads on, a classic client's messages may count as received.
    fn resume_session(&mut self) {
        let Some(session) = &self.session else { return };
        if session.is_stalled() {
            self.core.resume(session);
        }
        if !session.acknowledges {
            self.deadlines.look_at_kernel(Instant::now() + DRAIN_POLL);
            self.arm();
        }
    }

    /// For a client that cannot acknowledge: what its kernel has taken counts as received.
    fn see_what_arrived(&mut self, session: &Arc<Session>) {
        // The order matters: what is noted first has left the queue if the queue is then empty.
        let pushed = session.unreceived();
        if pushed.is_empty() {
            return;
        }
        if self.outbound.queued_bytes() > 0 || !self.stream.is_drained() {
            self.deadlines.look_at_kernel(Instant::now() + DRAIN_POLL);
            return;
        }
        for mark in pushed {
            if session.received(mark.conv, mark.seq) {
                self.core.marks.add(session.clone());
            }
        }
    }
}

/// Closing and deadlines.
impl Connection {
    fn poll_close_asked(&mut self) -> bool {
        match self.outbound.close_asked() {
            Some(Close::Now) => self.life = Life::Closed,
            Some(Close::For(why)) if matches!(self.life, Life::Open) => self.life = Life::Settling(Some(why)),
            _ => return false,
        }
        true
    }

    /// Waits until what is in flight has been answered, ends the session, says why, and goes on to flush.
    fn settle(&mut self) -> bool {
        if self.answering.is_some() || self.outbound.unanswered() > 0 {
            return false;
        }
        if let Some(session) = self.session.take() {
            let core = self.core.clone();
            let future = Box::pin(async move {
                core.end_session(&session).await;
                Answer { result: Ok(Reply::Logout), session: SessionChange::Same }
            });
            self.answering = Some(Box::new(InProgress { kind: Kind::Pong, mid: None, future }));
            return true;
        }
        if let Life::Settling(Some(why)) = std::mem::replace(&mut self.life, Life::Flushing) {
            self.core.metrics.errors(why.errno).inc();
            let why = if why.errno.is_retryable() && why.retry.is_none() { why.retry_after(RECONNECT) } else { why };
            self.outbound.send_quietly(&Outgoing::Notice(why));
        }
        self.deadlines.closing(Instant::now());
        self.arm();
        true
    }

    fn arm(&mut self) {
        let now = Instant::now();
        let next = self.deadlines.next(now).min(self.pace.next(now));
        // A deadline that moved later is noticed when the timer fires.
        if next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        let now = Instant::now();
        self.pace.tick(now);
        if let Some(due) = self.deadlines.due(now) {
            self.on_deadline(due);
        }
        let next = self.deadlines.next(now).min(self.pace.next(now));
        self.timer.as_mut().reset(next);
        true
    }

    fn on_deadline(&mut self, due: deadlines::Due) {
        use deadlines::Due;
        match due {
            Due::LookAtKernel => {
                if let Some(session) = self.session.clone() {
                    self.see_what_arrived(&session);
                }
            }
            Due::Ping => self.outbound.send_quietly(&Outgoing::Ping),
            Due::Silent => self.close_for(Failure::new(Errno::Idle, "no answer to PING")),
            Due::NotLoggedIn => self.close_for(Failure::new(Errno::Idle, "did not log in for too long")),
            Due::FrameTooSlow => self.close_for(Failure::new(Errno::Idle, "a frame took too long to arrive")),
            Due::ReadsTooSlowly => self.close_for(Errno::SlowReader.into()),
            Due::LingeredEnough => self.life = Life::Closed,
        }
    }

    fn close_for(&mut self, why: Failure) {
        if matches!(self.life, Life::Open) {
            self.life = Life::Settling(Some(why));
        }
    }
}
