//! Goes through a range of rates, and tells where the knee is: the highest rate up to which every one passed.
//!
//! Rates are a factor apart, since that is how servers differ. A subject that failed at two rates one after the other
//! is asked for no more: what comes after the knee is shown by those two.

use crate::analyse::capacity::{Probe, round};
use crate::measure::Machine;
use crate::plan::Plan;
use serde::{Deserialize, Serialize};

/// Rates that must fail one after the other before a subject is left alone.
const FAILURES: usize = 2;

/// What the rates of one subject came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// What people call the subject.
    pub name: String,
    /// Every run, by rate.
    pub probes: Vec<Probe>,
    /// In messages per second; `None` if the lowest rate failed already.
    pub knee: Option<f64>,
    /// Why the knee is where it is.
    pub limit: String,
    pub plan: Plan,
}

/// Curves of one or several subjects over the same rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    pub curves: Vec<Curve>,
    /// What every rate had to satisfy, as it was given.
    pub assertions: Vec<String>,
    pub command: String,
    pub machine: Machine,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Somebody ended it before its time.
    pub interrupted: bool,
}

impl Curve {
    pub fn of(name: String, probes: Vec<Probe>, plan: Plan) -> Curve {
        let (knee, limit) = knee(&probes);
        Curve { name, probes, knee, limit, plan }
    }
}

/// `count` rates from the first to the last, each the same factor above the one before.
pub fn rates(from: f64, to: f64, count: usize) -> Vec<f64> {
    let last = count.saturating_sub(1).max(1) as f64;
    let mut rates: Vec<f64> = (0..count).map(|step| round(from * (to / from).powf(step as f64 / last))).collect();
    rates.dedup();
    rates
}

/// Makes a run at each rate, as long as that makes sense. An error of `probe` ends it.
pub fn walk<E>(rates: &[f64], mut probe: impl FnMut(f64) -> Result<Probe, E>) -> Result<Vec<Probe>, E> {
    let mut probes: Vec<Probe> = Vec::new();
    for rate in rates {
        probes.push(probe(*rate)?);
        if probes.len() >= FAILURES && probes.iter().rev().take(FAILURES).all(|probe| !probe.passed) {
            break;
        }
    }
    Ok(probes)
}

fn knee(probes: &[Probe]) -> (Option<f64>, String) {
    let failed = probes.iter().position(|probe| !probe.passed);
    let knee = probes[..failed.unwrap_or(probes.len())].last().map(|probe| probe.rate);
    let limit = match failed.map(|place| &probes[place]) {
        Some(probe) => format!("at {:.0}/s: {}", probe.rate, probe.reasons.join("; ")),
        None if probes.is_empty() => "nothing was tried".into(),
        None => "no rate failed: the knee is higher, raise --to".into(),
    };
    (knee, limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::capacity::Purpose;
    use std::convert::Infallible;

    fn probe(rate: f64, passed: bool) -> Probe {
        Probe {
            rate,
            purpose: Purpose::Step,
            passed,
            reasons: if passed { Vec::new() } else { vec!["too slow".into()] },
            broke_promise: false,
            limited_by_generator: false,
            sent_per_second: rate,
            delivered_per_second: rate,
            carried_per_second: rate,
            p50: None,
            p99: None,
        }
    }

    #[test]
    fn rates_are_a_factor_apart_and_end_where_asked() {
        assert_eq!(rates(1_000.0, 8_000.0, 4), [1_000.0, 2_000.0, 4_000.0, 8_000.0]);
        assert_eq!(rates(1_000.0, 10_000.0, 3), [1_000.0, 3_160.0, 10_000.0]);
        assert_eq!(rates(5.0, 5.0, 4), [5.0]);
        assert_eq!(rates(100.0, 900.0, 1), [100.0]);
    }

    #[test]
    fn the_knee_is_the_last_before_the_first_failure_and_two_failures_end_it() {
        let check = |passes: &[bool], runs: usize, knee: Option<f64>, limit: &str| {
            let rates: Vec<f64> = (1..=passes.len()).map(|rate| rate as f64).collect();
            let probes = walk(&rates, |rate| Ok::<_, Infallible>(probe(rate, passes[rate as usize - 1])));
            let curve = Curve::of("a".into(), probes.expect("no run fails"), Plan::default());
            assert_eq!((curve.probes.len(), curve.knee), (runs, knee), "{passes:?}");
            assert!(curve.limit.contains(limit), "{passes:?}: {}", curve.limit);
        };
        check(&[true, true, false, false, true], 4, Some(2.0), "at 3/s: too slow");
        check(&[true, false, true, true], 4, Some(1.0), "at 2/s");
        check(&[false, false, true], 2, None, "at 1/s");
        check(&[true, true], 2, Some(2.0), "raise --to");
        check(&[], 0, None, "nothing was tried");
    }

    #[test]
    fn an_error_ends_it() {
        assert_eq!(walk(&[1.0, 2.0], |_| Err::<Probe, _>("interrupted")), Err("interrupted"));
    }
}
