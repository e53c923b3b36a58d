//! What a node or a client asks of the machine it runs on, in one value: [`Environment`].
//!
//! The default is the operating system. Another clock, another source of chance and a gate before every task make the
//! same code run under a schedule that a test controls. Time that is only measured comes from [`tokio::time::Instant`]
//! everywhere, which a paused runtime moves by itself.

mod clock;
mod entropy;
mod gate;
mod tasks;

pub use clock::{SystemClock, WallClock};
pub use entropy::{Entropy, NoEntropy, SystemEntropy};
pub use gate::{Gate, Verdict};
pub use tasks::{Died, Tasks};

use std::sync::Arc;
use std::time::Duration;
use uuid::{Builder, Uuid};

/// The surroundings of one node or client. Clones are the same.
#[derive(Clone)]
pub struct Environment {
    pub clock: Arc<dyn WallClock>,
    pub entropy: Arc<dyn Entropy>,
    pub tasks: Tasks,
}

impl Default for Environment {
    /// The operating system's, with tasks of its own.
    fn default() -> Self {
        Environment { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), tasks: Tasks::default() }
    }
}

impl Environment {
    /// The wall clock: milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_us() / 1_000
    }

    /// A new UUID of version 7: ordered by time, 74 bits of chance.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 10];
        // Without chance there is still the time; what must not repeat is refused by the database then.
        let _ = self.entropy.fill(&mut bytes);
        Builder::from_unix_timestamp_millis(self.now_ms().unsigned_abs(), &bytes).into_uuid()
    }

    /// A random part of `most`: spreads over time what many would do at once. All of it where there is no chance.
    pub fn part_of(&self, most: Duration) -> Duration {
        let mut bytes = [u8::MAX; 4];
        let _ = self.entropy.fill(&mut bytes);
        most.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl WallClock for Fixed {
        fn now_us(&self) -> i64 {
            1_767_323_045_678_901
        }
    }

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(0);
            Ok(())
        }
    }

    #[test]
    fn ids_and_waits_follow_from_clock_and_entropy() {
        let fixed = Environment { clock: Arc::new(Fixed), entropy: Arc::new(Fixed), tasks: Tasks::default() };
        assert_eq!(fixed.uuid().to_string(), "019b7ca9-8f2e-7000-8000-000000000000");
        assert_eq!(fixed.part_of(Duration::from_secs(1)), Duration::ZERO);

        let system = Environment::default();
        assert_ne!(system.uuid(), system.uuid());
        assert!(system.part_of(Duration::from_secs(1)) <= Duration::from_secs(1));
    }
}
