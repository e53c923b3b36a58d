//! The wall clock, for times that people see.

use std::time::{SystemTime, UNIX_EPOCH};

pub trait WallClock: Send + Sync {
    /// Microseconds since the Unix epoch; 0 if the clock stands before it.
    fn now_us(&self) -> i64;
}

/// The machine's.
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now_us(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
    }
}
