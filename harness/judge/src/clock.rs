//! Time within a run: microseconds since its epoch, from the monotonic clock.
//!
//! Everything that is measured, stamped into messages or written to a history is in these. The wall clock is used once,
//! to say when the run began.

use std::time::{Duration, Instant};

/// A run's clock; copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Clock { epoch: Instant::now() }
    }

    /// Microseconds since the epoch.
    pub fn now(&self) -> u64 {
        self.micros(Instant::now())
    }

    /// `at` in microseconds since the epoch; 0 for what was before it.
    pub fn micros(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.epoch))
    }

    /// The moment that is `micros` after the epoch.
    pub fn instant(&self, micros: u64) -> Instant {
        self.epoch + Duration::from_micros(micros)
    }
}

/// A duration in whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
