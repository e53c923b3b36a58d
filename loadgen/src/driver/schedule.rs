//! When messages are due: a rate, evenly or at random.

use crate::plan::Arrivals;

/// An endless series of due times, in microseconds; made from a seed alone.
#[derive(Clone, Debug)]
pub struct Schedule {
    mean_gap: f64,
    arrivals: Arrivals,
    at: f64,
    random: fastrand::Rng,
}

impl Schedule {
    /// `rate` messages a second, from `begin` on; `None` if nothing is ever due.
    pub fn new(rate: f64, arrivals: Arrivals, begin: u64, random: fastrand::Rng) -> Option<Schedule> {
        (rate > 0.0).then(|| Schedule { mean_gap: 1e6 / rate, arrivals, at: begin as f64, random })
    }

    /// Goes on from this time as one of many, which do not keep step.
    pub fn join(&mut self, at: u64) {
        let passed = match self.arrivals {
            Arrivals::Constant => self.random.f64() * self.mean_gap,
            // Chance has no memory.
            Arrivals::Poisson => 0.0,
        };
        self.at = at as f64 - passed;
    }

    /// Goes on from this time at another rate; at 0 nothing is due any more until the rate changes again.
    pub fn change(&mut self, per_second: f64, at: u64) {
        self.mean_gap = if per_second > 0.0 { 1e6 / per_second } else { f64::INFINITY };
        self.at = at as f64;
    }

    /// The next due time; the end of all time where nothing is due any more.
    pub fn next_due(&mut self) -> u64 {
        if self.mean_gap.is_infinite() {
            return u64::MAX;
        }
        self.at += match self.arrivals {
            Arrivals::Constant => self.mean_gap,
            // 1 - f64() is above 0, so that its logarithm is finite.
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln() * self.mean_gap,
        };
        self.at as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_kept_in_the_long_run_and_gaps_vary_only_where_asked() {
        for (arrivals, spread) in [(Arrivals::Constant, 0.0..0.02), (Arrivals::Poisson, 0.9..1.1)] {
            let mut schedule =
                Schedule::new(1_000.0, arrivals, 0, fastrand::Rng::with_seed(1)).expect("a rate above nothing");
            let due: Vec<f64> = (0..100_000).map(|_| schedule.next_due() as f64).collect();
            let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            assert!((990.0..1_010.0).contains(&mean), "{arrivals:?}: {mean}");
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!(spread.contains(&(variance.sqrt() / mean)), "{arrivals:?}: {}", variance.sqrt() / mean);
        }
    }

    #[test]
    fn another_rate_holds_from_its_time_on_and_nothing_is_due_without_one() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let random = fastrand::Rng::with_seed(1);
            let mut schedule = Schedule::new(10.0, arrivals, 0, random).expect("a rate above nothing");
            schedule.next_due();
            schedule.change(0.0, 1_000_000);
            assert_eq!((schedule.next_due(), schedule.next_due()), (u64::MAX, u64::MAX));
            schedule.change(1_000.0, 60_000_000);
            let due: Vec<u64> = (0..10_000).map(|_| schedule.next_due()).collect();
            assert!(due.is_sorted() && due[0] >= 60_000_000, "{arrivals:?}: {}", due[0]);
            assert!((69_500_000..70_500_000).contains(&due[9_999]), "{arrivals:?}: {}", due[9_999]);
        }
    }

    #[test]
    fn those_who_join_do_not_keep_step_and_nothing_is_due_before() {
        let first_due = |seed| {
            let random = fastrand::Rng::with_seed(seed);
            let mut schedule = Schedule::new(1.0, Arrivals::Constant, 0, random).expect("a rate above nothing");
            schedule.join(5_000_000);
            schedule.next_due()
        };
        let due: Vec<u64> = (0..1_000).map(first_due).collect();
        assert!(due.iter().all(|due| (5_000_000..=6_000_000).contains(due)));
        let mean = due.iter().sum::<u64>() / 1_000;
        assert!((5_450_000..5_550_000).contains(&mean), "{mean}");
    }
}
