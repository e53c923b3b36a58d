//! Faults at random: a schedule that follows from a seed.

use super::Step;
use crate::fault::Fault;
use std::time::Duration;

/// Between two faults, in milliseconds: from hardly recovered to at rest.
const PAUSE_MS: std::ops::Range<u64> = 500..6_000;
/// How long a fault lasts, in milliseconds: some outlast a lease (8 s).
const LASTING_MS: std::ops::Range<u64> = 200..12_000;

/// Of steps whose faults may overlap, the share that has two.
const OVERLAPPING: f64 = 0.5;

/// One fault after the other for about `span`, or two at a time: always the same for the same seed and faults.
pub fn schedule(seed: u64, span: Duration, faults: &[Fault], may_overlap: bool) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut steps, mut planned) = (Vec::new(), Duration::ZERO);
    while planned < span && !faults.is_empty() {
        let pause = Duration::from_millis(random.u64(PAUSE_MS));
        let lasting = Duration::from_millis(random.u64(LASTING_MS));
        let fault = faults[random.usize(..faults.len())].clone();
        let mut together = vec![fault];
        if may_overlap && random.f64() < OVERLAPPING {
            let others: Vec<_> = faults.iter().filter(|other| other.goes_with(&together[0])).collect();
            together.extend(random.choice(others).cloned());
        }
        planned += pause + lasting;
        steps.push(Step { pause, faults: together, lasting });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Setup;
    use crate::fault;

    #[test]
    fn schedule_follows_from_its_seed() {
        let (faults, span) = (fault::all(&Setup::nodes(3)), Duration::from_secs(600));
        let steps = schedule(7, span, &faults, false);
        assert_eq!(steps, schedule(7, span, &faults, false));
        assert_ne!(steps, schedule(8, span, &faults, false));
        assert!(steps.iter().all(|step| step.faults.len() == 1));
        assert!(schedule(7, span, &faults, true).iter().any(|step| step.faults.len() == 2));
        let planned: Duration = steps.iter().map(|step| step.pause + step.lasting).sum();
        assert!(planned >= span && planned < span + Duration::from_secs(20), "{planned:?}");
    }
}
