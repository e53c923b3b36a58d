//! Looks for the highest rate that a server bears: every message accounted for, the assertions kept, the rate kept.
//!
//! The rate is doubled until a probe fails, then the range between the highest that passed and the lowest that failed
//! is halved until it is as narrow as asked for. The rate so found is confirmed by longer runs, and lowered until they
//! all pass: one lucky probe is no capacity. A probe that fails without breaking a promise is given a second try, since
//! one hiccup of the machine is none of the server's.

use crate::measure::{Latencies, LatencyKind, Machine, Outcome};
use crate::plan::Plan;
use judge::Verdict;
use serde::{Deserialize, Serialize};

/// The latencies whose slowest p99 the curve shows.
const MESSAGE_KINDS: [LatencyKind; 5] =
    [LatencyKind::Ack, LatencyKind::Same, LatencyKind::Cross, LatencyKind::Direct, LatencyKind::GroupLast];
/// Rates below this are nothing that anybody looks for.
const LOWEST_RATE: f64 = 1.0;
/// Tries for a probe that kept every promise but was too slow.
const TRIES: u32 = 2;
/// Times that a rate is lowered for want of confirmation.
const MAX_LOWERED: u32 = 12;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The first rate, in messages per second.
    pub from: f64,
    /// No rate above this is tried.
    pub to: f64,
    /// How narrow the range is to become, as a part of the rate.
    pub precision: f64,
    /// Runs that must confirm what was found.
    pub confirmations: u32,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Search,
    Confirm,
    /// One of a series of rates.
    Step,
}

/// What came of one run at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub rate: f64,
    pub purpose: Purpose,
    pub passed: bool,
    /// Why it did not pass.
    pub reasons: Vec<String>,
    /// A message was lost, doubled or the like: no second try changes that.
    pub broke_promise: bool,
    /// The generator, not the server, was too slow.
    pub limited_by_generator: bool,
    pub sent_per_second: f64,
    pub delivered_per_second: f64,
    /// Messages per second that reached those they are for within the measured time: what is offered, as far as the
    /// server keeps up. Older results lack it.
    #[serde(default)]
    pub carried_per_second: f64,
    /// p50 and p99 of the slowest path that a message takes, in microseconds; `None` if nothing arrived.
    pub p50: Option<u64>,
    pub p99: Option<u64>,
}

impl Probe {
    /// Judges an outcome whose assertions were checked.
    pub fn of(outcome: &Outcome, purpose: Purpose) -> Probe {
        let slowest = |percentile| {
            let known = MESSAGE_KINDS.iter().filter_map(|kind| outcome.latencies.get(kind));
            known.map(|latencies: &Latencies| latencies.percentile(percentile)).max()
        };
        let mut reasons = outcome.reasons.clone();
        let failed = outcome.assertions.iter().filter(|checked| !checked.holds);
        reasons.extend(failed.map(ToString::to_string));
        // A run may be valid with losses, where nothing was promised; a rate is not borne with any.
        let lossy = outcome.account.violations() + outcome.account.unknown > 0;
        if lossy && outcome.verdict == Verdict::Valid {
            reasons.push(format!("{} messages lost, doubled or out of order", outcome.account.violations()));
        }
        let limited = outcome.is_limited_by_generator();
        if limited {
            reasons.push("the generator itself was too late".into());
        }
        if !outcome.is_rate_kept() {
            reasons.push(format!("only {:.0} messages per second were sent", outcome.sent_per_second()));
        }
        if outcome.interrupted {
            reasons.push("interrupted".into());
        }
        Probe {
            rate: outcome.plan.rate,
            purpose,
            passed: reasons.is_empty() && outcome.verdict == Verdict::Valid,
            broke_promise: lossy || outcome.verdict != Verdict::Valid,
            limited_by_generator: limited,
            reasons,
            sent_per_second: outcome.sent_per_second(),
            delivered_per_second: outcome.delivered_per_second(),
            carried_per_second: outcome.carried_per_second(),
            p50: slowest(50.0),
            p99: slowest(99.0),
        }
    }
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The highest confirmed rate in messages per second; `None` if no rate passed.
    pub rate: Option<f64>,
    /// Why it is not higher, or why there is none.
    pub limit: String,
    pub settings: Settings,
    /// As they were given.
    pub assertions: Vec<String>,
    /// Every run, in the order made.
    pub probes: Vec<Probe>,
    pub plan: Plan,
    pub command: String,
    pub machine: Machine,
    /// When the search began, in milliseconds since the Unix epoch.
    pub started_ms: i64,
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub rate: Option<f64>,
    pub limit: String,
    pub probes: Vec<Probe>,
}

/// Searches; `probe` makes one run at a rate. An error of it ends the search.
pub fn search<E>(settings: Settings, probe: impl FnMut(f64, Purpose) -> Result<Probe, E>) -> Result<Found, E> {
    let mut search = Search { settings, run: probe, probes: Vec::new() };
    let Some((good, bad)) = search.bracket()? else {
        let limit = format!("no rate passed, down to {:.0}/s: {}", search.lowest(), search.last_reason());
        return Ok(Found { rate: None, limit, probes: search.probes });
    };
    let good = search.narrow(good, bad)?;
    let rate = search.confirm(good)?;
    let limit = search.limit(rate);
    Ok(Found { rate, limit, probes: search.probes })
}

struct Search<F> {
    settings: Settings,
    run: F,
    probes: Vec<Probe>,
}

impl<E, F: FnMut(f64, Purpose) -> Result<Probe, E>> Search<F> {
    /// Whether the rate passes; a failure that may be chance is tried again.
    fn passes(&mut self, rate: f64) -> Result<bool, E> {
        for _ in 0..TRIES {
            let probe = (self.run)(rate, Purpose::Search)?;
            let (passed, hopeless) = (probe.passed, probe.broke_promise);
            self.probes.push(probe);
            if passed || hopeless {
                return Ok(passed);
            }
        }
        Ok(false)
    }

    /// A rate that passes, and the next one tried that does not, if any.
    fn bracket(&mut self) -> Result<Option<(f64, Option<f64>)>, E> {
        let mut rate = self.settings.from.clamp(LOWEST_RATE, self.settings.to.max(LOWEST_RATE));
        let mut bad = None;
        while !self.passes(rate)? {
            bad = Some(rate);
            rate /= 2.0;
            if rate < LOWEST_RATE {
                return Ok(None);
            }
        }
        while bad.is_none() && rate < self.settings.to {
            let next = (rate * 2.0).min(self.settings.to);
            if self.passes(next)? { rate = next } else { bad = Some(next) }
        }
        Ok(Some((rate, bad)))
    }

    fn narrow(&mut self, mut good: f64, bad: Option<f64>) -> Result<f64, E> {
        let Some(mut bad) = bad else { return Ok(good) };
        while bad / good > 1.0 + self.settings.precision {
            // Halving the ratio, since precision is one.
            let middle = round((good * bad).sqrt());
            if middle <= good || middle >= bad {
                break;
            }
            if self.passes(middle)? { good = middle } else { bad = middle }
        }
        Ok(good)
    }

    fn confirm(&mut self, mut rate: f64) -> Result<Option<f64>, E> {
        for _ in 0..MAX_LOWERED {
            if self.is_confirmed(rate)? {
                return Ok(Some(rate));
            }
            rate = round(rate / (1.0 + self.settings.precision)).min(rate - 1.0);
            if rate < LOWEST_RATE {
                break;
            }
        }
        Ok(None)
    }

    fn is_confirmed(&mut self, rate: f64) -> Result<bool, E> {
        for _ in 0..self.settings.confirmations {
            let probe = (self.run)(rate, Purpose::Confirm)?;
            let passed = probe.passed;
            self.probes.push(probe);
            if !passed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn lowest(&self) -> f64 {
        self.probes.iter().map(|probe| probe.rate).fold(f64::INFINITY, f64::min)
    }

    fn last_reason(&self) -> String {
        let failed = self.probes.iter().rev().find(|probe| !probe.passed);
        failed.map_or_else(|| "nothing was tried".into(), |probe| probe.reasons.join("; "))
    }

    /// Why the rate is not higher: what the lowest rate above it failed for.
    fn limit(&self, rate: Option<f64>) -> String {
        let Some(rate) = rate else { return format!("no rate was confirmed: {}", self.last_reason()) };
        let above = self.probes.iter().filter(|probe| !probe.passed && probe.rate > rate);
        match above.min_by(|a, b| a.rate.total_cmp(&b.rate)) {
            None => format!("no higher rate than {:.0}/s was to be tried", self.settings.to),
            Some(probe) => format!("at {:.0}/s: {}", probe.rate, probe.reasons.join("; ")),
        }
    }
}

/// To three figures: nobody reads more.
pub(super) fn round(rate: f64) -> f64 {
    let unit = 10f64.powf((rate.log10().floor() - 2.0).max(0.0));
    (rate / unit).round() * unit
}

#[cfg(test)]
mod tests;
