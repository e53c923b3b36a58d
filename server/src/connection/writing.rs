//! What waits for a client: written as far as its kernel takes it; and what the kernel of one that cannot acknowledge
//! says to have arrived.

use super::{Connection, Life};
use bytes::{Buf, BytesMut};
use std::io;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How often to look at what the kernel of a client that cannot acknowledge has taken, while anything is on its way.
const ARRIVALS_POLL: Duration = Duration::from_millis(50);

impl Connection {
    pub(super) fn poll_write(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
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
    pub(super) fn see_what_arrived(&mut self) {
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
