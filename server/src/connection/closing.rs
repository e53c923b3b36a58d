//! How a connection ends, and everything that must happen in time.
//!
//! The end is the same whoever wants it: no more requests; what is in flight is answered; the session ends, its cursors
//! saved and its row freed; a NOTICE says why, where there is a reason; then our direction is closed, and what still
//! comes is discarded for a while, since a reset would destroy the NOTICE. Before a session ends, one more look at the
//! kernel says what a client that cannot acknowledge has received.

use super::deadlines::Due;
use super::{Connection, Life, Outcome};
use crate::service::login;
use crate::session::outbound::Close;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::Outgoing;
use std::task;
use std::time::Duration;
use tokio::time::Instant;

/// What a client is told to wait before it reconnects, at least.
const RECONNECT: Duration = Duration::from_millis(100);

impl Connection {
    pub(super) fn poll_close_asked(&mut self) -> bool {
        match self.outbound.close_asked() {
            Some(Close::Now) => self.life = Life::Closed,
            Some(Close::For(why)) if matches!(self.life, Life::Open) => self.life = Life::Settling(Some(why)),
            _ => return false,
        }
        true
    }

    /// Waits until what is in flight has been answered, ends the session, says why, and goes on to flush.
    pub(super) fn settle(&mut self) -> bool {
        if self.in_progress.is_some() || self.outbound.unanswered() > 0 {
            return false;
        }
        if let Some(session) = self.session.clone() {
            self.keep_pace(&session);
            self.see_what_arrived();
            let (context, outbound) = (self.context.clone(), self.outbound.clone());
            self.in_progress = Some(Box::pin(async move {
                login::leave(&context, &outbound, &session).await;
                Outcome::Left
            }));
            return true;
        }
        if let Life::Settling(Some(why)) = std::mem::replace(&mut self.life, Life::Flushing) {
            self.context.metrics.errors(why.errno).inc();
            let why = if why.errno.is_retryable() && why.retry.is_none() { why.retry_after(RECONNECT) } else { why };
            self.outbound.send_quietly(&Outgoing::Notice(why));
        }
        self.deadlines.closing(Instant::now());
        self.arm();
        true
    }

    pub(super) fn arm(&mut self) {
        let now = Instant::now();
        let next = self.deadlines.next(now).min(self.pace.next(now));
        // A deadline that moved later is noticed when the timer fires.
        if next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
    }

    pub(super) fn poll_timer(&mut self, cx: &mut task::Context<'_>) -> bool {
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

    fn on_deadline(&mut self, due: Due) {
        match due {
            Due::LookAtKernel => self.see_what_arrived(),
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
