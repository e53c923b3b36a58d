//! How a machine's wall clock stood to one that several machines have in common.
//!
//! No latency is measured between machines, so no latency depends on this: it places the seconds of one machine beside
//! those of another, and lets all begin at the same moment.

use serde::{Deserialize, Serialize};

/// A machine's clock, compared with the common one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Whose machine this is: the shard's index.
    pub shard: u32,
    /// What added to the machine's time makes the common time, in microseconds.
    pub behind_micros: i64,
    /// The true difference is no further away than this, in microseconds: half of the round trip that told it.
    pub within_micros: u64,
}

impl ClockOffset {
    /// The common time, in milliseconds since the Unix epoch, of a time by this machine's clock.
    pub fn common_ms(&self, here_ms: i64) -> i64 {
        here_ms.saturating_add(self.behind_micros.saturating_add(500).div_euclid(1_000))
    }

    /// The other way round.
    pub fn here_ms(&self, common_ms: i64) -> i64 {
        common_ms.saturating_sub(self.behind_micros.saturating_add(500).div_euclid(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_goes_to_the_common_clock_and_back() {
        for (behind_micros, common_ms) in
            [(0, 1_000), (1_499, 1_001), (1_500, 1_002), (-1_500, 999), (-1_501, 998), (-60_000_000, -59_000)]
        {
            let clock = ClockOffset { shard: 1, behind_micros, within_micros: 10 };
            assert_eq!(clock.common_ms(1_000), common_ms, "{behind_micros}");
            assert_eq!(clock.here_ms(common_ms), 1_000, "{behind_micros}");
        }
    }
}
