//! One client's connection: a socket, its read loop, its writes, its deadlines.
//!
//! One task, polled by hand so that an idle connection is small: it owns no buffer and no pending future. Requests are
//! seen to one after the other; chat messages go to a writer and are answered later, everything else is waited for
//! before the next request is looked at. Not reading is the only backpressure a client gets until it overdoes it.

mod closing;
mod deadlines;
mod reading;
mod requests;
pub mod stream;
mod writing;

use crate::config::Config;
use crate::context::Context;
use crate::service::{Answer, SessionChange, login};
use crate::session::Session;
use crate::session::outbound::Outbound;
use crate::session::pace::Pace;
use bytes::BytesMut;
use chat_protocol::codec::Codec;
use chat_protocol::errno::Failure;
use chat_protocol::message::{Kind, MidText};
use deadlines::Deadlines;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use stream::Stream;
use tokio::time::{Instant, Sleep};

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
