//! The sums of a ledger, and what makes them good or bad.

use serde::{Deserialize, Serialize};

/// Counts of messages. A message to a group counts once as sent, and once per member as expected, delivered, lost and
/// so on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    pub sent: u64,
    pub acknowledged: u64,
    pub refused: u64,
    /// Sent once more by the generator after a refusal or a lost connection.
    pub resent: u64,
    /// Deliveries that all of `sent` (less what was refused) should lead to.
    pub expected: u64,
    pub delivered: u64,
    /// Owed to a recipient who never got it.
    pub lost: u64,
    /// Seen twice within a session.
    pub duplicated: u64,
    /// After one that follows it.
    pub reordered: u64,
    /// Never sent.
    pub phantom: u64,
    /// Seen by someone it was not for.
    pub misdelivered: u64,
    /// Not as it was sent.
    pub altered: u64,
    /// Not delivered, and the sender was never told whether it was accepted.
    pub unknown: u64,
    /// Seen again in a later session, as is lawful.
    pub redelivered: u64,
    /// Not of this run.
    pub foreign: u64,
}

impl Account {
    /// Adds all of `other`, exactly; it may come from anybody, so no sum overflows.
    pub fn add(&mut self, other: &Account) {
        for (sum, (_, value)) in self.counts_mut().into_iter().zip(other.counts()) {
            *sum = sum.saturating_add(value);
        }
    }

    /// The counts with their names, as in results and assertions.
    pub fn counts(&self) -> [(&'static str, u64); 15] {
        [
            ("sent", self.sent),
            ("acknowledged", self.acknowledged),
            ("refused", self.refused),
            ("resent", self.resent),
            ("expected", self.expected),
            ("delivered", self.delivered),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("phantom", self.phantom),
            ("misdelivered", self.misdelivered),
            ("altered", self.altered),
            ("unknown", self.unknown),
            ("redelivered", self.redelivered),
            ("foreign", self.foreign),
        ]
    }

    fn counts_mut(&mut self) -> [&mut u64; 15] {
        [
            &mut self.sent,
            &mut self.acknowledged,
            &mut self.refused,
            &mut self.resent,
            &mut self.expected,
            &mut self.delivered,
            &mut self.lost,
            &mut self.duplicated,
            &mut self.reordered,
            &mut self.phantom,
            &mut self.misdelivered,
            &mut self.altered,
            &mut self.unknown,
            &mut self.redelivered,
            &mut self.foreign,
        ]
    }

    /// Nobody waited long enough to say that what is missing is lost.
    pub fn leave_open(&mut self) {
        self.unknown += std::mem::take(&mut self.lost);
    }

    /// Everything that no server may do.
    pub fn violations(&self) -> u64 {
        let all = [self.lost, self.duplicated, self.reordered, self.phantom, self.misdelivered, self.altered];
        all.into_iter().fold(0, u64::saturating_add)
    }

    pub fn is_clean(&self) -> bool {
        self.violations() == 0 && self.unknown == 0
    }
}
