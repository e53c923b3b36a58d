//! Finds out from the numbers of envelopes what was lost.
//!
//! Pure bookkeeping, one entry per sending node. A sender counts 1, 2, 3 … to each receiver within one boot and never uses
//! a number twice for different items; numbers can get lost, and then the next one seen tells.
//! A sender that was never seen before may have counted long before this node subscribed: its first number is the
//! baseline and no gap, for a node reads the log when it starts anyway. A new boot of a known sender counts from 1.

use crate::cluster::{NodeId, NodeKey};
use std::collections::HashMap;

/// Senders remembered; past it all are forgotten and seen for the first time again. Far above any cluster's size, so
/// only foreign traffic on the channel gets there.
const MAX_SENDERS: usize = 4_096;

/// What one envelope's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing is missing before it.
    InOrder,
    /// At least one envelope before it was lost (or, for a heartbeat, up to its number).
    AfterGap,
    /// Seen already, or overtaken: its items must not be used again.
    Stale,
}

/// The newest number seen of each sender.
#[derive(Debug, Default)]
pub struct Numbering {
    newest: HashMap<NodeId, Newest>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    boot: i64,
    number: u64,
}

impl Numbering {
    /// Takes note of one envelope.
    pub fn observe(&mut self, from: &NodeKey, number: u64, is_heartbeat: bool) -> Sighting {
        let Some(newest) = self.newest.get_mut(&from.id) else {
            self.remember(from, number);
            return Sighting::InOrder;
        };
        if newest.boot != from.boot {
            *newest = Newest { boot: from.boot, number: 0 };
        }
        let missing = match number.checked_sub(newest.number) {
            None => return Sighting::Stale,
            Some(0) if is_heartbeat => 0,
            Some(0) => return Sighting::Stale,
            Some(steps) if is_heartbeat => steps,
            Some(steps) => steps - 1,
        };
        newest.number = number;
        if missing == 0 { Sighting::InOrder } else { Sighting::AfterGap }
    }

    fn remember(&mut self, from: &NodeKey, number: u64) {
        if self.newest.len() >= MAX_SENDERS {
            self.newest.clear();
        }
        self.newest.insert(from.id.clone(), Newest { boot: from.boot, number });
    }
}

#[cfg(test)]
mod tests {
    use super::Sighting::{AfterGap, InOrder, Stale};
    use super::*;
    use proptest::prelude::*;

    /// An envelope with items, as (boot, number).
    const fn items(boot: i64, number: u64) -> (i64, u64, bool) {
        (boot, number, false)
    }

    /// A heartbeat, as (boot, number).
    const fn heartbeat(boot: i64, number: u64) -> (i64, u64, bool) {
        (boot, number, true)
    }

    fn check(case: &str, steps: &[((i64, u64, bool), Sighting)]) {
        let mut numbering = Numbering::default();
        for (step, ((boot, number, is_heartbeat), expected)) in steps.iter().copied().enumerate() {
            let from = NodeKey { id: "one".into(), boot };
            assert_eq!(numbering.observe(&from, number, is_heartbeat), expected, "{case}, step {step}");
        }
    }

    #[test]
    fn numbers_tell_what_is_missing() {
        check("one after another", &[(items(1, 1), InOrder), (items(1, 2), InOrder), (items(1, 3), InOrder)]);
        check("subscribed late", &[(items(1, 700), InOrder), (items(1, 701), InOrder)]);
        check("subscribed late, heartbeat first", &[(heartbeat(1, 700), InOrder), (items(1, 701), InOrder)]);
        check("one lost", &[(items(1, 1), InOrder), (items(1, 3), AfterGap), (items(1, 4), InOrder)]);
        check("many lost", &[(items(1, 1), InOrder), (items(1, u64::MAX), AfterGap)]);
        check("the very first lost", &[(heartbeat(1, 0), InOrder), (items(1, 2), AfterGap)]);
        check("idle", &[(items(1, 4), InOrder), (heartbeat(1, 4), InOrder), (heartbeat(1, 4), InOrder)]);
        check(
            "the newest lost, heartbeat tells",
            &[(items(1, 4), InOrder), (heartbeat(1, 5), AfterGap), (heartbeat(1, 5), InOrder), (items(1, 6), InOrder)],
        );
        check("same again", &[(items(1, 4), InOrder), (items(1, 4), Stale), (items(1, 5), InOrder)]);
        check("overtaken", &[(items(1, 4), InOrder), (items(1, 3), Stale), (heartbeat(1, 3), Stale)]);
        check("new boot", &[(items(1, 9), InOrder), (items(2, 1), InOrder), (items(2, 2), InOrder)]);
        check("new boot, idle", &[(items(1, 9), InOrder), (heartbeat(2, 0), InOrder), (items(2, 1), InOrder)]);
        check("new boot, first lost", &[(items(1, 9), InOrder), (items(2, 2), AfterGap), (items(2, 3), InOrder)]);
        check("new boot, first lost, heartbeat tells", &[(items(1, 9), InOrder), (heartbeat(2, 1), AfterGap)]);
    }

    #[test]
    fn senders_are_counted_apart() {
        let mut numbering = Numbering::default();
        let (one, two) = (NodeKey { id: "one".into(), boot: 1 }, NodeKey { id: "two".into(), boot: 1 });
        assert_eq!(numbering.observe(&one, 1, false), InOrder);
        assert_eq!(numbering.observe(&two, 5, false), InOrder);
        assert_eq!(numbering.observe(&one, 2, false), InOrder);
        assert_eq!(numbering.observe(&two, 7, false), AfterGap);
    }

    #[test]
    fn foreign_senders_do_not_pile_up() {
        let mut numbering = Numbering::default();
        for n in 0..3 * MAX_SENDERS {
            numbering.observe(&NodeKey { id: format!("node{n}").as_str().into(), boot: 1 }, 1, false);
        }
        assert!(numbering.newest.len() <= MAX_SENDERS);
    }

    proptest! {
        /// Whatever is lost or repeated, every envelope that comes through counts once, and a gap is told exactly
        /// where one is.
        #[test]
        fn gaps_are_told_exactly(fates in proptest::collection::vec((any::<bool>(), 1..3usize, any::<bool>()), 1..60)) {
            let mut numbering = Numbering::default();
            let from = NodeKey { id: "one".into(), boot: 7 };
            prop_assert_eq!(numbering.observe(&from, 0, true), InOrder);
            let mut lost = false;
            for (at, (arrives, times, heartbeat_follows)) in fates.into_iter().enumerate() {
                let number = at as u64 + 1;
                if arrives {
                    let expected = if lost { AfterGap } else { InOrder };
                    prop_assert_eq!(numbering.observe(&from, number, false), expected);
                    lost = false;
                    for _ in 1..times {
                        prop_assert_eq!(numbering.observe(&from, number, false), Stale);
                    }
                } else {
                    lost = true;
                }
                if heartbeat_follows {
                    let expected = if lost { AfterGap } else { InOrder };
                    prop_assert_eq!(numbering.observe(&from, number, true), expected);
                    lost = false;
                }
            }
        }
    }
}
