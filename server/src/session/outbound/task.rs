//! The queue as the connection's own task has it, which writes what waits and closes the connection.

use super::{Close, Outbound};
use bytes::BytesMut;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

impl Outbound {
    /// From here on a change wakes `cx`.
    pub fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
        self.signalled.store(false, Ordering::Release);
    }

    /// Moves what waits into `writing`. Returns whether there is anything to write.
    pub fn take(&self, writing: &mut BytesMut) -> bool {
        let mut state = self.state.lock();
        if writing.is_empty() {
            *writing = std::mem::take(&mut state.buffer);
        } else if !state.buffer.is_empty() {
            writing.unsplit(std::mem::take(&mut state.buffer));
        }
        state.writing_bytes = writing.len();
        !writing.is_empty()
    }

    /// `bytes` of what was taken went to the kernel.
    pub fn wrote(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.writing_bytes -= bytes;
        state.written += bytes as u64;
        drop(state);
        self.metrics.queue_bytes.dec_by(bytes as i64);
    }

    pub fn queued_bytes(&self) -> usize {
        let state = self.state.lock();
        state.buffer.len() + state.writing_bytes
    }

    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Completes when someone wants the connection closed.
    pub async fn close_wanted(&self) {
        std::future::poll_fn(|cx| {
            self.register(cx);
            if self.close_asked().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub fn is_closing(&self) -> bool {
        self.close_asked.load(Ordering::Acquire)
    }

    pub fn close_asked(&self) -> Option<Close> {
        if !self.is_closing() {
            return None;
        }
        self.state.lock().close.clone()
    }

    /// The client has closed its direction.
    pub fn hung_up(&self) {
        self.hung_up.store(true, Ordering::Release);
    }

    /// The socket is gone; whatever still waits is dropped.
    pub fn abandon(&self) {
        self.hung_up();
        let mut state = self.state.lock();
        state.gone = true;
        self.metrics.queue_bytes.dec_by((state.buffer.len() + state.writing_bytes) as i64);
        state.buffer = BytesMut::new();
        state.writing_bytes = 0;
        state.arrivals = None;
    }
}
