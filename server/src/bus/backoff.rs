//! How long to wait between attempts to reach a medium.
//!
//! Doubles from attempt to attempt up to a cap, with half of it random, so that nodes that lost a Redis together do not
//! return to it together.

use chat_environment::Environment;
use std::time::Duration;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const CAP: Duration = Duration::from_secs(2);

pub(super) struct Backoff {
    environment: Environment,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(environment: Environment) -> Self {
        Backoff { environment, next: FIRST }
    }

    /// The connection works: the next failure counts as the first.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait after one more failure: between a half and all of the current step.
    pub(super) fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(CAP);
        step / 2 + self.environment.part_of(step / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_grows_to_its_cap_and_starts_over() {
        let mut backoff = Backoff::new(Environment::default());
        let mut step = FIRST;
        for _ in 0..12 {
            let wait = backoff.wait();
            assert!((step / 2..=step).contains(&wait), "{wait:?} at step {step:?}");
            step = (step * 2).min(CAP);
        }
        assert_eq!(step, CAP);
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
