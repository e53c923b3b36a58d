//! How fast messages are due now (open model): set by whoever steers the run, followed by its driver.

use std::sync::atomic::{AtomicU64, Ordering};

/// Messages a second; none while the run is paused.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    pub fn set(&self, per_second: f64) {
        self.0.store(per_second.to_bits(), Ordering::Relaxed);
    }

    pub fn per_second(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}
