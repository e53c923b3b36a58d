//! One client's connection: a socket, its read loop, its writes, its deadlines.
//!
//! One task, polled by hand so that an idle connection is small: it owns no buffer and no pending future. Requests are
//! seen to one after the other; chat messages go to a writer and are answered later, everything else is waited for
//! before the next request is looked at. Not reading is the only backpressure a client gets until it overdoes it.

mod closing;
mod deadlines;
mod requests;
pub mod stream;

use crate::config::Config;
use crate::context::Context;
use crate::service::{Answer, SessionChange, login};
use crate::session::Session;
use crate::session::outbound::Outbound;
use crate::session::pace::Pace;
use crate::storage::Claimant;
use bytes::{Buf, BytesMut};
use chat_protocol::codec::Codec;
use chat_protocol::dialect::Dialect;
use chat_protocol::errno::Failure;
use chat_protocol::message::{Incoming, Kind, MidText};
use deadlines::Deadlines;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;
use stream::Stream;
use tokio::time::{Instant, Sleep};

/// Chat messages of one connection that may wait for their commit; beyond it the node stops reading.
const MAX_UNANSWERED: u32 = 1_024;
/// Bytes read behind a login that is under way; what is beyond waits in the kernel.
const READ_AHEAD: usize = 16 * 1024;
/// How often to look at what the kernel of a client that cannot acknowledge has taken, while anything is on its way.
const ARRIVALS_POLL: Duration = Duration::from_millis(50);
/// How long the kernel of a classic client, which knows no PING, may leave bytes unacknowledged.
const CLASSIC_USER_TIMEOUT: Duration = Duration::from_secs(20);

type InProgress = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What the listener learnt about a new connection.
pub struct Accepted {
    /// The connection keeps to these, whatever is changed meanwhile: they are what its client was told.
    pub config: Arc<Config>,
    pub stream: Stream,
    pub address: IpAddr,
    pub outbound: Arc<Outbound>,
    /// Told when the client has logged in: it no longer counts as silent.
    pub admitted: Box<dyn FnOnce() + Send + Sync>,
}

pub struct Connection {
    context: Arc<Context>,
    config: Arc<Config>,
    stream: Stream,
    address: IpAddr,
    outbound: Arc<Outbound>,
    codec: Option<Codec>,
    input: BytesMut,
    /// When the requests now looked at were there: those read together share one look at the clock.
    input_at: Instant,
    /// Taken from the outbound queue, partly written.
    writing: BytesMut,
    session: Option<Arc<Session>>,
    /// Waited for before the next request is looked at.
    in_progress: Option<InProgress>,
    /// Of the user who is logged in.
    pace: Pace,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
    life: Life,
    admitted: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// What came of that which had to be waited for.
enum Outcome {
    Nothing,
    Answered(Answered),
    /// The session has ended, without a request.
    Left,
}

/// The answer to a request that had to be waited for.
struct Answered {
    kind: Kind,
    mid: Option<MidText>,
    answer: Answer,
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
    pub fn new(context: Arc<Context>, accepted: Accepted) -> Self {
        let now = Instant::now();
        let deadlines = Deadlines::new(&accepted.config.limits, now);
        Connection {
            timer: Box::pin(tokio::time::sleep_until(deadlines.next(now))),
            pace: Pace::new(&accepted.config.limits),
            deadlines,
            config: accepted.config,
            stream: accepted.stream,
            address: accepted.address,
            outbound: accepted.outbound,
            codec: None,
            input: BytesMut::new(),
            input_at: now,
            writing: BytesMut::new(),
            session: None,
            in_progress: None,
            life: Life::Open,
            admitted: Some(accepted.admitted),
            context,
        }
    }

    /// Serves the client until the connection is closed, and leaves nothing behind.
    pub async fn run(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
        // The kernel knows even after a reset.
        self.see_what_arrived();
        self.outbound.abandon();
        if let Some(in_progress) = self.in_progress.take() {
            // A login that has begun must be known, to be undone.
            match in_progress.await {
                Outcome::Nothing => {}
                Outcome::Answered(answered) => self.session_changed(answered.answer.session),
                Outcome::Left => self.session_changed(SessionChange::Ended),
            }
        }
        if let Some(session) = self.session.take() {
            self.keep_pace(&session);
            Box::pin(login::end(&self.context, &session)).await;
        }
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        // Once is enough: whatever changes from here on has the task polled again.
        self.outbound.register(cx);
        loop {
            let mut progress = self.poll_in_progress(cx);
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
    fn poll_stream(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        match self.life {
            Life::Open => {
                if !self.input.is_empty() {
                    self.input_at = Instant::now();
                    progress |= self.take_requests();
                }
                if self.wants_input() {
                    progress |= self.poll_read(cx)?;
                } else if self.listens_ahead() {
                    progress |= self.poll_read_ahead(cx)?;
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
        self.in_progress.is_none()
            && !self.pace.is_waiting()
            && self.outbound.unanswered() < MAX_UNANSWERED
            && self.outbound.queued_bytes() < 2 * self.outbound.limit_bytes()
    }

    /// A login may take long, and its client may give up meanwhile: that must be known before the login wins.
    fn listens_ahead(&self) -> bool {
        self.in_progress.is_some()
            && self.session.is_none()
            && self.input.len() < READ_AHEAD
            && self.outbound.is_waiting()
    }

    fn poll_read_ahead(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        match read? {
            // What came before it is seen to first; the end of file is read again then.
            0 => self.outbound.hung_up(),
            bytes => self.has_read(bytes),
        }
        Ok(true)
    }

    fn poll_read(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        let bytes = read?;
        if bytes == 0 {
            // Nothing more will come, but what is in flight is finished.
            self.life = Life::Settling(None);
            return Ok(true);
        }
        self.has_read(bytes);
        self.take_requests();
        Ok(true)
    }

    fn has_read(&mut self, bytes: usize) {
        self.context.metrics.bytes_received_total.inc_by(bytes as u64);
        self.input_at = Instant::now();
        self.deadlines.heard(self.input_at);
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
            self.deadlines.frame_begun(self.input_at, progress);
        } else {
            // A client is not late with a frame that is not being read: its time begins anew when reading goes on.
            self.deadlines.frame_done();
        }
        // Nothing else that a request does brings a deadline forward.
        if !self.input.is_empty() || self.pace.is_waiting() {
            self.arm();
        }
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
        let Some(codec) = &mut self.codec else { return Ok(None) };
        let known = codec.spelling();
        let decoded = codec.decode(&mut self.input);
        if codec.spelling() != known {
            self.outbound.spell(codec.spelling());
        }
        decoded
    }

    fn speak(&mut self, dialect: Dialect) {
        let codec = Codec::new(dialect, self.config.limits.max_frame_bytes);
        self.outbound.speak(Codec::new(dialect, self.config.limits.max_frame_bytes));
        if !codec.speaks_ping_and_notice() {
            let keepalive = Duration::from_secs(self.config.limits.heartbeat_s);
            self.deadlines.no_heartbeat();
            if let Err(error) = self.stream.watch_for_dead_peer(CLASSIC_USER_TIMEOUT, keepalive) {
                tracing::debug!(%error, "cannot set keepalive");
            }
        }
        self.codec = Some(codec);
    }

    /// The client broke the protocol.
    fn break_off(&mut self, failure: Failure) {
        self.context.metrics.errors(failure.errno).inc();
        self.input = BytesMut::new();
        self.life = Life::Settling(Some(failure));
    }

    fn poll_discard(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
        self.input.clear();
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        if read? == 0 {
            self.life = Life::Closed;
        }
        Ok(true)
    }
}

/// Writing.
impl Connection {
    fn poll_write(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
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
                    self.context.metrics.bytes_sent_total.inc_by(bytes as u64);
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

    /// The queue has drained: a session that fell behind reads on, a classic client's messages may soon have arrived.
    fn resume_session(&mut self) {
        let Some(session) = &self.session else { return };
        if session.is_stalled() {
            self.context.registry.resume(session);
        }
        if !session.acknowledges {
            self.deadlines.look_at_kernel(Instant::now() + ARRIVALS_POLL);
            self.arm();
        }
    }

    /// For a client that cannot acknowledge: what its kernel has acknowledged counts as received.
    fn see_what_arrived(&mut self) {
        let Some(session) = self.session.as_ref().filter(|session| !session.acknowledges) else { return };
        let arrived = self.stream.unacknowledged().map_or_else(Vec::new, |bytes| self.outbound.arrived(bytes));
        for message in &arrived {
            if session.received(message.log, message.seq) {
                self.context.cursor_saver.add(session.clone());
            }
        }
        if !arrived.is_empty() && session.is_stalled() {
            self.context.registry.resume(session);
        }
        if self.outbound.awaits_arrivals() {
            if let Some(error) = self.stream.failure() {
                tracing::debug!(%error, address = %self.address, "connection lost, nothing more arrives");
                self.life = Life::Closed;
            }
            self.deadlines.look_at_kernel(Instant::now() + ARRIVALS_POLL);
            self.arm();
        }
    }
}
