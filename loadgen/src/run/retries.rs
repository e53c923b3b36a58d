//! Messages that were refused for now, until they are sent again.

use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A message that was refused for now: when to send it again, and when it was due at first (microseconds of the run's clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retry {
    pub at: u64,
    pub stream: u32,
    pub number: u64,
    pub due: u64,
}

/// All of a run; no more than it has open messages.
#[derive(Debug, Default)]
pub struct Retries(Mutex<BinaryHeap<Reverse<Retry>>>);

impl Retries {
    pub fn add(&self, retry: Retry) {
        self.0.lock().push(Reverse(retry));
    }

    /// Takes out the next one whose time has come.
    pub fn take(&self, now: u64) -> Option<Retry> {
        let mut retries = self.0.lock();
        retries.peek().filter(|Reverse(retry)| retry.at <= now)?;
        retries.pop().map(|Reverse(retry)| retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once_in_its_time_and_kept_until_then() {
        let retry = |at| Retry { at, stream: 1, number: at, due: 0 };
        let retries = Retries::default();
        [30, 10, 20].into_iter().for_each(|at| retries.add(retry(at)));

        assert_eq!(retries.take(9), None);
        assert_eq!(retries.take(10), Some(retry(10)));
        assert_eq!(retries.take(19), None);
        assert_eq!((retries.take(40), retries.take(40), retries.take(40)), (Some(retry(20)), Some(retry(30)), None));
    }
}
