//! The wall clock, for times that people see.

use chat_environment::{SystemClock, WallClock as _};

/// Milliseconds since the Unix epoch; 0 if the clock stands before it.
pub fn now_ms() -> i64 {
    SystemClock.now_us() / 1_000
}
