//! One connection while the client's task owns it: the bytes that wait in either direction, and when it was last heard.

use super::error::Why;
use super::options::MAX_OUT_BYTES;
use super::stream::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

/// One connection, logged in or not.
pub(super) struct Link {
    pub stream: Stream,
    /// Received and not handled: an incomplete frame, or whole ones while the application is behind.
    pub partial: Vec<u8>,
    /// Whole frames may be in `partial`.
    pub behind: bool,
    pub out: Vec<u8>,
    pub written: usize,
    /// When bytes last came, or, while the socket is deliberately not read, when PING was last sent.
    pub heard: Instant,
    /// PINGs since then.
    pub pings: u32,
    pub pong_due: bool,
}

impl Link {
    pub(super) fn new(stream: Stream, partial: Vec<u8>) -> Self {
        let behind = !partial.is_empty();
        let heard = Instant::now();
        Link { stream, partial, behind, out: Vec::new(), written: 0, heard, pings: 0, pong_due: false }
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.written < MAX_OUT_BYTES
    }

    /// Writes what the socket takes; the waker is set where that is not all.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Why> {
        while self.written < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..])? {
                Poll::Ready(0) => return Err(Why::Closed),
                Poll::Ready(count) => self.written += count,
                Poll::Pending => return Ok(()),
            }
        }
        self.out = Vec::new();
        self.written = 0;
        // TLS may hold back bytes of its own; a plain socket has nothing to flush.
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(result) => Ok(result?),
            Poll::Pending => Ok(()),
        }
    }
}
