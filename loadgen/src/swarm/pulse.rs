//! Who is dead: a member whose row stands still for a set time while Redis answers.
//!
//! Each watcher goes by its own monotonic clock, so no wall clock matters, and a Redis that was away, or came back
//! empty, kills nobody: then the waiting begins anew.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A member that is not heard for so long is dead. Ten beats: a machine that is only busy is not taken for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);

/// What was heard last of each member.
#[derive(Debug)]
pub struct Pulse {
    heard: BTreeMap<u32, LastBeat>,
}

#[derive(Debug)]
struct LastBeat {
    beat: u64,
    at: Instant,
}

impl Pulse {
    /// Of this many members, all of whom were there a moment ago.
    pub fn new(count: u32, now: Instant) -> Pulse {
        Pulse { heard: (1..=count).map(|shard| (shard, LastBeat { beat: 0, at: now })).collect() }
    }

    /// Takes what all told last; answers with those who are not heard any more.
    pub fn hear(&mut self, beats: &BTreeMap<u32, u64>, now: Instant) -> Vec<u32> {
        for (shard, heard) in &mut self.heard {
            if let Some(beat) = beats.get(shard)
                && *beat != heard.beat
            {
                *heard = LastBeat { beat: *beat, at: now };
            }
        }
        let dead = self.heard.iter().filter(|(_, heard)| now.duration_since(heard.at) >= DEAD_AFTER);
        dead.map(|(shard, _)| *shard).collect()
    }

    /// Redis did not answer, so nobody can be heard: all get their time once more.
    pub fn pause(&mut self, now: Instant) {
        self.heard.values_mut().for_each(|heard| heard.at = now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn beats(of: &[(u32, u64)]) -> BTreeMap<u32, u64> {
        of.iter().copied().collect()
    }

    #[test]
    fn who_stands_still_is_dead_and_who_is_heard_again_lives() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(2, begun);
        assert!(pulse.hear(&beats(&[(1, 1), (2, 1)]), begun).is_empty());
        let almost = begun + DEAD_AFTER - Duration::from_millis(1);
        assert!(pulse.hear(&beats(&[(1, 5), (2, 1)]), almost).is_empty());
        assert_eq!(pulse.hear(&beats(&[(1, 6), (2, 1)]), begun + DEAD_AFTER), [2]);
        assert!(pulse.hear(&beats(&[(1, 7), (2, 2)]), begun + DEAD_AFTER + SECOND).is_empty());
    }

    #[test]
    fn who_never_tells_anything_is_dead() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(2, begun);
        assert_eq!(pulse.hear(&beats(&[(1, 1)]), begun + DEAD_AFTER), [2]);
    }

    #[test]
    fn while_redis_is_away_nobody_dies() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(1, begun);
        let back = begun + 10 * DEAD_AFTER;
        pulse.pause(back);
        assert!(pulse.hear(&beats(&[]), back + SECOND).is_empty());
        assert_eq!(pulse.hear(&beats(&[]), back + DEAD_AFTER), [1]);
    }

    #[test]
    fn a_watcher_that_slept_itself_takes_nobody_for_dead() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(2, begun);
        assert!(pulse.hear(&beats(&[(1, 9), (2, 9)]), begun + 10 * DEAD_AFTER).is_empty());
    }
}
