//! What one checker found: `valid` only where there was something to judge and nothing was left open.

use super::Guarantee;
use crate::verdict::Verdict;

/// Violations of one promise that are shown; all are counted.
const SHOWN: usize = 3;

/// A violation: what is wrong, and the events that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub what: String,
    /// Places in the history, ascending.
    pub events: Vec<usize>,
}

/// What one checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub guarantee: Guarantee,
    /// Things that were judged.
    pub judged: u64,
    /// Things that the history leaves open.
    pub open: u64,
    pub violated: u64,
    /// The first few.
    pub violations: Vec<Violation>,
}

impl Finding {
    pub(super) fn new(guarantee: Guarantee) -> Self {
        Finding { guarantee, judged: 0, open: 0, violated: 0, violations: Vec::new() }
    }

    /// One more thing was judged; `violation` if it is wrong.
    pub(super) fn judge(&mut self, violation: Option<Violation>) {
        self.judged += 1;
        if let Some(mut violation) = violation {
            self.violated += 1;
            if self.violations.len() < SHOWN {
                violation.events.sort_unstable();
                violation.events.dedup();
                self.violations.push(violation);
            }
        }
    }

    /// `unknown` also where the history holds nothing to judge.
    pub fn verdict(&self) -> Verdict {
        match (self.violated, self.judged, self.open) {
            (1.., _, _) => Verdict::Invalid,
            (0, 1.., 0) => Verdict::Valid,
            _ => Verdict::Unknown,
        }
    }
}
