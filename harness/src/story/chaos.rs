//! Faults at random: a schedule that follows from a seed, and the search for the smallest part of one that still fails.

use super::Step;
use crate::fault::Fault;
use std::time::Duration;

/// Between two faults, in milliseconds: from hardly recovered to at rest.
const PAUSE_MS: std::ops::Range<u64> = 500..6_000;
/// How long a fault lasts, in milliseconds: some outlast a lease (8 s).
const LASTING_MS: std::ops::Range<u64> = 200..12_000;

/// One fault after the other for about `span`: always the same for the same seed and faults.
pub fn schedule(seed: u64, span: Duration, faults: &[Fault]) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut steps, mut planned) = (Vec::new(), Duration::ZERO);
    while planned < span && !faults.is_empty() {
        let pause = Duration::from_millis(random.u64(PAUSE_MS));
        let lasting = Duration::from_millis(random.u64(LASTING_MS));
        let fault = faults[random.usize(..faults.len())].clone();
        planned += pause + lasting;
        steps.push(Step { pause, faults: vec![fault], lasting });
    }
    steps
}

/// Looks for the fewest of `steps` (by their places) with which it still fails: parts are left out, in halves, then in
/// quarters, down to single ones, as in Zeller's delta debugging. What fails only sometimes may need several searches.
///
/// `fails` is asked at most `most` times.
pub async fn shrink(steps: Vec<usize>, most: usize, mut fails: impl AsyncFnMut(&[usize]) -> bool) -> Vec<usize> {
    let (mut left, mut parts, mut asked) = (steps, 2, 0);
    while left.len() > 1 {
        let size = left.len().div_ceil(parts);
        let mut smaller = None;
        for part in 0..left.len().div_ceil(size) {
            if asked == most {
                return left;
            }
            asked += 1;
            let (from, to) = (part * size, ((part + 1) * size).min(left.len()));
            let without = [&left[..from], &left[to..]].concat();
            if fails(&without).await {
                smaller = Some(without);
                break;
            }
        }
        match smaller {
            Some(fewer) => (left, parts) = (fewer, (parts - 1).max(2)),
            None if size == 1 => return left,
            None => parts = (parts * 2).min(left.len()),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault;

    #[test]
    fn schedule_follows_from_its_seed() {
        let (faults, span) = (fault::all(3), Duration::from_secs(600));
        let steps = schedule(7, span, &faults);
        assert_eq!(steps, schedule(7, span, &faults));
        assert_ne!(steps, schedule(8, span, &faults));
        let planned: Duration = steps.iter().map(|step| step.pause + step.lasting).sum();
        assert!(planned >= span && planned < span + Duration::from_secs(20), "{planned:?}");
    }

    async fn check(guilty: &[usize], of: usize, most: usize, expected: &[usize]) {
        let mut asked = 0;
        let left = shrink((0..of).collect(), most, async |steps: &[usize]| {
            asked += 1;
            guilty.iter().all(|step| steps.contains(step))
        });
        assert_eq!(left.await, expected);
        assert!(asked <= most);
    }

    #[tokio::test]
    async fn only_the_guilty_are_left() {
        check(&[3], 16, 100, &[3]).await;
        check(&[2, 13], 16, 100, &[2, 13]).await;
        check(&[0, 1, 2], 3, 100, &[0, 1, 2]).await;
        check(&[0], 1, 100, &[0]).await;
        // Out of patience after the first half.
        check(&[12], 16, 1, &[8, 9, 10, 11, 12, 13, 14, 15]).await;
    }
}
