//! Finds out how this machine's wall clock stands to that of Redis, which all members have in common.
//!
//! Redis is asked for its time; the answer is of some moment between question and answer, so the shortest round trip
//! tells the most. Half of it bounds the error.

use super::store::{Store, Unreachable};
use crate::measure::ClockOffset;
use std::time::Instant;

/// Questions asked, one after the other: the shortest of so many round trips is hardly ever one that met a delay.
const QUESTIONS: usize = 16;

/// One question and its answer, in microseconds; wall clocks since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    asked_here: i64,
    there: i64,
    round_trip: u64,
}

/// Compares the clocks.
///
/// # Errors
/// Redis did not answer each time.
pub async fn compare(store: &mut Store, shard: u32) -> Result<ClockOffset, Unreachable> {
    let mut samples = Vec::with_capacity(QUESTIONS);
    // The first question may have to connect.
    store.ask::<()>(redis::pipe().cmd("PING")).await?;
    for _ in 0..QUESTIONS {
        let (begun, asked_here) = (Instant::now(), jiff::Timestamp::now().as_microsecond());
        let there = time(store).await?;
        samples.push(Sample { asked_here, there, round_trip: begun.elapsed().as_micros() as u64 });
    }
    Ok(best(shard, &samples))
}

/// What Redis' clock says, in microseconds since the Unix epoch.
async fn time(store: &mut Store) -> Result<i64, Unreachable> {
    let ((seconds, micros),): ((i64, i64),) = store.ask(redis::pipe().cmd("TIME")).await?;
    Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

fn best(shard: u32, samples: &[Sample]) -> ClockOffset {
    let shortest = samples.iter().min_by_key(|sample| sample.round_trip);
    let Sample { asked_here, there, round_trip } = *shortest.expect("there are questions");
    let here = asked_here.saturating_add_unsigned(round_trip / 2);
    ClockOffset { shard, behind_micros: there.saturating_sub(here), within_micros: round_trip.div_ceil(2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shortest_round_trip_tells() {
        let samples = [
            Sample { asked_here: 1_000, there: 9_000, round_trip: 4_000 },
            Sample { asked_here: 10_000, there: 11_050, round_trip: 101 },
            Sample { asked_here: 20_000, there: 20_100, round_trip: 500 },
        ];
        assert_eq!(best(3, &samples), ClockOffset { shard: 3, behind_micros: 1_000, within_micros: 51 });
    }

    proptest! {
        #[test]
        fn the_truth_lies_within_the_bound(
            behind in -1_000_000_000_i64..1_000_000_000,
            trips in proptest::collection::vec((0_u64..1_000_000, 0_u64..1_000_000), 1..QUESTIONS),
        ) {
            let mut now = 1_700_000_000_000_000;
            let samples: Vec<Sample> = trips.iter().map(|(there, back)| {
                let sample = Sample { asked_here: now, there: now + *there as i64 + behind, round_trip: there + back };
                now += (there + back) as i64;
                sample
            }).collect();
            let clock = best(1, &samples);
            prop_assert!((clock.behind_micros - behind).unsigned_abs() <= clock.within_micros, "{clock:?}");
        }
    }
}
