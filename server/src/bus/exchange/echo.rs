//! Measures how long an own heartbeat takes through a medium: one at a time, from before its publish to its arrival.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The heartbeat that is measured through one medium, if one is under way.
pub(super) struct Echo {
    origin: Instant,
    /// Microseconds since `origin` at which the heartbeat under way was sent; 0: none is.
    sent_micros: AtomicU64,
}

impl Echo {
    pub(super) fn new() -> Self {
        Echo { origin: Instant::now(), sent_micros: AtomicU64::new(0) }
    }

    /// A heartbeat is about to be sent. While an earlier one is under way, that one is measured.
    pub(super) fn sent(&self) {
        let now = self.now_micros();
        let _ = self.sent_micros.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A heartbeat is back; how long it took.
    pub(super) fn came_back(&self) -> Option<Duration> {
        match self.sent_micros.swap(0, Ordering::Relaxed) {
            0 => None,
            sent => Some(Duration::from_micros(self.now_micros().saturating_sub(sent))),
        }
    }

    /// The heartbeat under way will not come back.
    pub(super) fn forget(&self) {
        self.sent_micros.store(0, Ordering::Relaxed);
    }

    fn now_micros(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }
}
