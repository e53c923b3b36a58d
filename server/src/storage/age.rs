//! The cluster's age: how much time has passed, by no wall clock.
//!
//! One node of the cluster counts it, by its own monotonic clock, and every message bears it. No more is counted than
//! has passed. Time in which nobody counts is missing, so a message may be taken for younger than it is, never for
//! older. That holds where the database loses its newest commits as well: the age goes back with them, and a message
//! that bears a larger one is young.

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
/// The most that one step adds. A message bears the age of the last step before it, and may be younger than that says
/// by as much; a [`KeepRule`](super::KeepRule) allows for it.
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

    /// Adds what has passed, [`LONGEST_STEP`] at most, and returns the age, if this run of a node is the one that
    /// counts it. If none does that is not gone, this one does from here on, and adds nothing this time. `None`:
    /// another does.
    ///
    /// `passed` begins no earlier than the call before returned, and is zero if that call failed: what it was to add
    /// may still be added.
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
