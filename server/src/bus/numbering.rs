//! Finds out from the numbers of envelopes what was lost.
//!
//! Pure bookkeeping, one entry per sending node. A sender counts 1, 2, 3 … to each receiver within one boot and never
//! uses a number twice for different items; numbers can get lost, and then the next one seen tells. What goes through
//! several media, or through a second one because nobody knows what became of it in the first, has one number, so that
//! whatever comes again is stale.
//!
//! A sender that was never seen before may have counted long before this node subscribed: its first number is the
//! baseline and no gap, for a node reads the log when it starts anyway. A new boot of a known sender counts from 1, and
//! ends the boots before it: what is repeated from those is stale, however well it is signed. Boots grow, unless a
//! clock is set back between two runs; then the database, which knows what run is alive, has the last word.

#[cfg(test)]
mod model;

use crate::cluster::{NodeId, NodeKey};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Senders remembered; past it all are forgotten and seen for the first time again. Far above any cluster's size, so
/// only foreign traffic on the channel gets there.
const MAX_SENDERS: usize = 4_096;

/// The database is believed when it says that a run lives which is older by its number than one that was heard, once
/// the newer has been known for this long. That is longer than a lease: by then the database would name the newer one.
pub(crate) const SETTLED: Duration = Duration::from_secs(10);

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
    newest: BTreeMap<NodeId, Newest>,
    live: Arc<LiveRuns>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    boot: i64,
    number: u64,
    /// When this boot was first seen.
    since: Instant,
}

/// The runs of nodes that held a lease at the last look into the database.
#[derive(Debug, Default)]
pub struct LiveRuns(Mutex<BTreeMap<NodeId, i64>>);

impl LiveRuns {
    pub fn set(&self, runs: &[NodeKey]) {
        *self.0.lock() = runs.iter().map(|run| (run.id.clone(), run.boot)).collect();
    }

    pub fn nodes(&self) -> Vec<NodeId> {
        self.0.lock().keys().cloned().collect()
    }

    fn boot_of(&self, node: &NodeId) -> Option<i64> {
        self.0.lock().get(node).copied()
    }
}

impl Numbering {
    pub fn new(live: Arc<LiveRuns>) -> Self {
        Numbering { newest: BTreeMap::new(), live }
    }

    /// Takes note of one envelope.
    pub fn observe(&mut self, from: &NodeKey, number: u64, is_heartbeat: bool, now: Instant) -> Sighting {
        let Some(newest) = self.newest.get_mut(&from.id) else {
            if self.live.boot_of(&from.id).is_some_and(|live| from.boot < live) {
                return Sighting::Stale;
            }
            self.remember(from, number, now);
            return Sighting::InOrder;
        };
        if newest.boot != from.boot {
            let is_live_after_all = || now >= newest.since + SETTLED && self.live.boot_of(&from.id) == Some(from.boot);
            if from.boot < newest.boot && !is_live_after_all() {
                return Sighting::Stale;
            }
            *newest = Newest { boot: from.boot, number: 0, since: now };
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

    /// Whether this is the run that is listened to, so that even what is stale comes from it.
    pub fn is_current(&self, run: &NodeKey) -> bool {
        self.newest.get(&run.id).is_some_and(|newest| newest.boot == run.boot)
    }

    fn remember(&mut self, from: &NodeKey, number: u64, now: Instant) {
        if self.newest.len() >= MAX_SENDERS {
            self.newest.clear();
        }
        self.newest.insert(from.id.clone(), Newest { boot: from.boot, number, since: now });
    }
}

#[cfg(test)]
mod tests {
    use super::Sighting::{AfterGap, InOrder, Stale};
    use super::*;

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
            assert_eq!(numbering.observe(&from, number, is_heartbeat, Instant::now()), expected, "{case}, step {step}");
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
        check(
            "an earlier boot again",
            &[
                (items(1, 9), InOrder),
                (items(2, 1), InOrder),
                (items(1, 9), Stale),
                (items(1, 10), Stale),
                (heartbeat(1, 11), Stale),
                (items(2, 1), Stale),
                (items(2, 2), InOrder),
            ],
        );
    }

    fn run(boot: i64) -> NodeKey {
        NodeKey { id: "one".into(), boot }
    }

    #[test]
    fn earlier_boot_is_no_baseline_for_a_node_that_just_started() {
        let live = Arc::new(LiveRuns::default());
        live.set(&[run(5)]);
        let mut numbering = Numbering::new(live);

        assert_eq!(numbering.observe(&run(4), 9, false, Instant::now()), Stale);
        assert_eq!(numbering.observe(&run(5), 3, false, Instant::now()), InOrder);
        assert_eq!(
            numbering.observe(&run(6), 1, false, Instant::now()),
            InOrder,
            "newer than the last look into the database"
        );
    }

    #[test]
    fn clock_that_was_set_back_does_not_silence_a_node() {
        let (live, now) = (Arc::new(LiveRuns::default()), Instant::now());
        live.set(&[run(5)]);
        let mut numbering = Numbering::new(live.clone());
        assert_eq!(numbering.observe(&run(9), 4, false, now), InOrder);

        assert_eq!(numbering.observe(&run(5), 1, false, now), Stale, "what the database said before run 9 is no proof");
        live.set(&[run(5)]);
        let now = now + SETTLED;

        assert_eq!(numbering.observe(&run(4), 2, false, now), Stale);
        assert_eq!(numbering.observe(&run(5), 2, false, now), AfterGap);
        assert_eq!(numbering.observe(&run(5), 3, false, now), InOrder);
    }

    #[test]
    fn senders_are_counted_apart() {
        let mut numbering = Numbering::default();
        let (one, two) = (NodeKey { id: "one".into(), boot: 1 }, NodeKey { id: "two".into(), boot: 1 });
        assert_eq!(numbering.observe(&one, 1, false, Instant::now()), InOrder);
        assert_eq!(numbering.observe(&two, 5, false, Instant::now()), InOrder);
        assert_eq!(numbering.observe(&one, 2, false, Instant::now()), InOrder);
        assert_eq!(numbering.observe(&two, 7, false, Instant::now()), AfterGap);
    }

    #[test]
    fn foreign_senders_do_not_pile_up() {
        let mut numbering = Numbering::default();
        for n in 0..3 * MAX_SENDERS {
            numbering.observe(&NodeKey { id: format!("node{n}").as_str().into(), boot: 1 }, 1, false, Instant::now());
        }
        assert!(numbering.newest.len() <= MAX_SENDERS);
    }
}
