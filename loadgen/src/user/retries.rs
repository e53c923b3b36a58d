//! What was refused, until its time comes: messages that are sent again, and room for others in the closed model.

use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// What is done once the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Again {
    /// This message goes once more. `due` is when it was due at first, in microseconds of the run's clock.
    Send { number: u64, due: u64 },
    /// Another message takes the place of this one, which was refused for good (closed model).
    Refill { after: u64 },
}

/// What was refused: when its time comes, in microseconds of the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retry {
    pub at: u64,
    pub stream: u32,
    pub what: Again,
}

/// All of a run. Each message waits here once at most, however often it is refused: so there are no more than messages
/// without an answer and places in windows.
#[derive(Debug, Default)]
pub struct Retries(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    in_time: BinaryHeap<Reverse<Retry>>,
    known: HashSet<(u32, Again)>,
}

impl Retries {
    pub fn add(&self, retry: Retry) {
        let mut waiting = self.0.lock();
        if waiting.known.insert((retry.stream, retry.what)) {
            waiting.in_time.push(Reverse(retry));
        }
    }

    /// Takes out the next one whose time has come.
    pub fn take(&self, now: u64) -> Option<Retry> {
        let mut waiting = self.0.lock();
        waiting.in_time.peek().filter(|Reverse(retry)| retry.at <= now)?;
        let Reverse(retry) = waiting.in_time.pop()?;
        waiting.known.remove(&(retry.stream, retry.what));
        Some(retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(at: u64) -> Retry {
        Retry { at, stream: 1, what: Again::Send { number: at, due: 0 } }
    }

    #[test]
    fn each_is_taken_once_in_its_time_and_kept_until_then() {
        let retries = Retries::default();
        [30, 10, 20].into_iter().for_each(|at| retries.add(retry(at)));

        assert_eq!(retries.take(9), None);
        assert_eq!(retries.take(10), Some(retry(10)));
        assert_eq!(retries.take(19), None);
        assert_eq!((retries.take(40), retries.take(40), retries.take(40)), (Some(retry(20)), Some(retry(30)), None));
    }

    #[test]
    fn what_is_refused_again_meanwhile_waits_once() {
        let retries = Retries::default();
        for again in 0..1_000 {
            retries.add(Retry { at: 10 + again, ..retry(10) });
        }

        assert_eq!((retries.take(2_000), retries.take(2_000)), (Some(retry(10)), None));
        retries.add(retry(10));
        assert_eq!(retries.take(2_000), Some(retry(10)));
    }
}
