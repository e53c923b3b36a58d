//! What a client sends: read while there is room for the answers, and decoded in the dialect of its first byte.

use super::{Connection, Life};
use crate::storage::Claimant;
use bytes::BytesMut;
use chat_protocol::codec::Codec;
use chat_protocol::dialect::Dialect;
use chat_protocol::errno::Failure;
use chat_protocol::message::Incoming;
use std::io;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Chat messages of one connection that may wait for their commit; beyond it the node stops reading.
const MAX_UNANSWERED: u32 = 1_024;
/// Bytes read behind a login that is under way; what is beyond waits in the kernel.
const READ_AHEAD: usize = 16 * 1024;
/// How long the kernel of a classic client, which knows no PING, may leave bytes unacknowledged.
const CLASSIC_USER_TIMEOUT: Duration = Duration::from_secs(20);

impl Connection {
    pub(super) fn wants_input(&self) -> bool {
        self.in_progress.is_none()
            && !self.pace.is_waiting()
            && self.outbound.unanswered() < MAX_UNANSWERED
            && self.outbound.queued_bytes() < 2 * self.outbound.limit_bytes()
    }

    /// A login may take long, and its client may give up meanwhile: that must be known before the login wins.
    pub(super) fn listens_ahead(&self) -> bool {
        self.in_progress.is_some()
            && self.session.is_none()
            && self.input.len() < READ_AHEAD
            && self.outbound.is_waiting()
    }

    pub(super) fn poll_read_ahead(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        match read? {
            // What came before it is seen to first; the end of file is read again then.
            0 => self.outbound.hung_up(),
            bytes => self.has_read(bytes),
        }
        Ok(true)
    }

    pub(super) fn poll_read(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
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
    pub(super) fn take_requests(&mut self) -> bool {
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

    pub(super) fn poll_discard(&mut self, cx: &mut task::Context<'_>) -> io::Result<bool> {
        self.input.clear();
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut self.input) else { return Ok(false) };
        if read? == 0 {
            self.life = Life::Closed;
        }
        Ok(true)
    }
}
