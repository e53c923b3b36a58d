//! Seeded chance. Each part of a simulation has a stream of its own, so that one more draw here shifts nothing there.

use parking_lot::Mutex;
use std::time::Duration;

pub struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    /// The stream of this name under this seed.
    pub fn new(seed: u64, stream: &str) -> Self {
        let mixed = judge::history::body(stream) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Chance(Mutex::new(fastrand::Rng::with_seed(mixed)))
    }

    /// A number from 0, and below `end`, which is not 0.
    pub fn below(&self, end: u64) -> u64 {
        self.0.lock().u64(0..end)
    }

    /// True once in so many times.
    pub fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// True in so many of a hundred times.
    pub fn percent(&self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }

    /// Up to `most`, in whole milliseconds: tokio's timers know no less.
    pub fn wait(&self, most_ms: u64) -> Duration {
        Duration::from_millis(self.below(most_ms + 1))
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill(bytes);
    }
}
