//! The cluster's age: how much time has passed, by no wall clock.
//!
//! One node of the cluster counts it, by its own monotonic clock, and every message bears it. No more is counted than
//! has passed: uncounted time makes messages look younger. A message bears the age of the step before it, so it may
//! look older by up to [`LONGEST_STEP`], which `KeepRule`s allow for. Where the database loses its newest commits, the
//! age goes back with them, and a message that bears a larger one is young.

use super::error::Result;
use super::layer::{Layer, domain};
use crate::cluster::NodeKey;
use async_trait::async_trait;
use chat_protocol::message::TimeMs;
use std::time::Duration;

/// Milliseconds that have been counted.
pub type AgeMs = i64;

/// The age of what was stored before ages were counted.
pub const UNCOUNTED: AgeMs = 0;
/// The age before anything has been counted.
pub const FIRST: AgeMs = 1;
/// The most that one step adds, and so the most by which a message looks older than it is: it bears the age of the step
/// before it. A [`KeepRule`](super::KeepRule) allows for that.
pub const LONGEST_STEP: Duration = Duration::from_secs(4);

/// A moment, as messages bear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock of one node. It counts only where no age was counted.
    pub time: TimeMs,
    /// The cluster's, or [`UNCOUNTED`].
    pub age: AgeMs,
}

impl Moment {
    pub fn is_before(self, limit: Moment) -> bool {
        if self.age == UNCOUNTED { self.time < limit.time } else { self.age < limit.age }
    }
}

domain! {
    /// Counting the cluster's age.
    pub trait Ages / AgesLayer:

    /// If this run counts: adds `passed`, [`LONGEST_STEP`] at most, and returns the age. If nobody counts, or the run
    /// that did is gone: this run takes over and adds nothing yet. `None`: another run counts.
    ///
    /// Pass the time since the previous call returned, or zero if that call failed: it may still take effect.
    async fn count_age(&self, key: &NodeKey, passed: Duration) -> Result<Option<AgeMs>>;
    /// The age as of the latest step.
    async fn age(&self) -> Result<AgeMs>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_counts_only_where_no_age_does() {
        let limit = Moment { time: 100, age: 10 };
        let check = |time, age, is_before| assert_eq!(Moment { time, age }.is_before(limit), is_before, "{time} {age}");
        check(99, UNCOUNTED, true);
        check(100, UNCOUNTED, false);
        check(0, 10, false);
        check(1_000, 9, true);
    }
}
