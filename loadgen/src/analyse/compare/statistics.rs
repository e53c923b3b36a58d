//! As much statistics as a comparison needs: an interval for the ratio of two means, of samples that hang together.
//!
//! Latencies and rates are compared as logarithms: what changes them does so by a factor, and a few slow seconds do not
//! outweigh all others. Neighbouring seconds are alike, so they count for fewer than they are.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::statistics::Statistics;

/// Fewer samples than this say nothing of how they spread.
pub const MIN_SAMPLES: usize = 3;

/// The ratio of two means, less 1, and the interval that it lies in with the confidence asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

impl Change {
    /// The interval leaves out "no change".
    pub fn is_beyond_noise(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Samples of one side: logarithms with their mean, variance and what their number is worth.
struct Side {
    mean: f64,
    /// Of the mean.
    variance: f64,
    freedom: f64,
}

impl Side {
    /// `series`: the samples follow one another, so that neighbours may be alike.
    fn of(samples: &[f64], series: bool) -> Option<Side> {
        let logs: Vec<f64> = samples.iter().filter(|sample| **sample > 0.0).map(|sample| sample.ln()).collect();
        if logs.len() < MIN_SAMPLES {
            return None;
        }
        let count = logs.len() as f64;
        let (mean, variance) = ((&logs).mean(), (&logs).variance());
        let worth = if series { (count * independence(&logs, mean)).max(2.0) } else { count };
        Some(Side { mean, variance: variance / worth, freedom: worth - 1.0 })
    }
}

/// What one sample of a series is worth, from how much neighbours are alike: (1 - r) / (1 + r), and never more than
/// one.
fn independence(logs: &[f64], mean: f64) -> f64 {
    let all: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    if all <= f64::EPSILON {
        return 1.0;
    }
    let neighbours: f64 = logs.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let alike = (neighbours / all).clamp(0.0, 0.95);
    (1.0 - alike) / (1.0 + alike)
}

/// The change from `base` to `new` by Welch's method; `None` where either side has too few samples.
pub fn change(base: &[f64], new: &[f64], series: bool, confidence: f64) -> Option<Change> {
    let (base, new) = (Side::of(base, series)?, Side::of(new, series)?);
    let difference = new.mean - base.mean;
    let variance = base.variance + new.variance;
    let half = if variance > 0.0 {
        let freedom = variance.powi(2) / (base.variance.powi(2) / base.freedom + new.variance.powi(2) / new.freedom);
        student_quantile(0.5 + confidence / 2.0, freedom) * variance.sqrt()
    } else {
        0.0
    };
    let [estimate, low, high] = [difference, difference - half, difference + half].map(f64::exp_m1);
    Some(Change { estimate, low, high })
}

/// The value that Student's t with `freedom` stays below with probability `probability`, from 0.5 to 1.
fn student_quantile(probability: f64, freedom: f64) -> f64 {
    // Only a freedom of 0 or less is refused, and each side has more than two samples' worth.
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |distribution| distribution.inverse_cdf(probability))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, freedom, expected) in [
            (0.975, 1.0, 12.706),
            (0.975, 10.0, 2.228),
            (0.995, 4.0, 4.604),
            (0.995, 19.0, 2.861),
            (0.975, 1_000.0, 1.962),
        ] {
            let quantile = student_quantile(probability, freedom);
            assert!((quantile - expected).abs() < 2e-3, "{probability} {freedom}: {quantile}");
        }
    }

    #[test]
    fn noise_is_called_change_about_as_rarely_as_promised() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut series = |alike: f64| {
            let mut last = 0.0;
            let mut next = || {
                last = alike * last + random.f64() - 0.5;
                (1.0f64 + last / 4.0).exp()
            };
            (0..40).map(|_| next()).collect::<Vec<f64>>()
        };
        for alike in [0.0, 0.6] {
            let trials =
                (0..2_000).map(|_| change(&series(alike), &series(alike), true, 0.99).expect("enough samples"));
            let wrong = trials.filter(Change::is_beyond_noise).count();
            assert!(wrong < 100, "{alike}: {wrong} of 2000");
        }
    }

    #[test]
    fn a_change_is_found_with_its_size() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut samples = |mean: f64| (0..30).map(|_| mean * (0.9 + 0.2 * random.f64())).collect::<Vec<f64>>();
        let change = change(&samples(100.0), &samples(120.0), true, 0.99).expect("enough samples");
        assert!(change.is_beyond_noise() && change.low < 0.2 && change.high > 0.2, "{change:?}");
    }

    #[test]
    fn few_samples_say_nothing_and_equal_ones_no_change() {
        assert_eq!(change(&[1.0, 2.0], &[1.0, 2.0, 3.0], true, 0.99), None);
        assert_eq!(change(&[0.0; 9], &[1.0; 9], true, 0.99), None);
        let same = change(&[5.0; 9], &[5.0; 9], true, 0.99).expect("enough samples");
        assert!(!same.is_beyond_noise(), "{same:?}");
    }
}
