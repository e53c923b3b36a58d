//! Compares two results, and tells what is noise from what is not.
//!
//! With three runs or more on either side, the runs are the samples: that is the strongest ground there is. With fewer,
//! the seconds of the runs are, which leaves out what differs from run to run; a figure of which each run has only one,
//! as the highest latency, is then shown but not judged. What no server may do (losing, doubling, …) is exact and knows
//! no noise.

mod statistics;

pub use statistics::Change;

use crate::measure::{LatencyKind, Outcome, Point, Second};
use serde::Serialize;
use statistics::MIN_SAMPLES;
use strum::IntoEnumIterator;

/// Of a hundred figures that did not change, one may be called changed.
pub const CONFIDENCE: f64 = 0.99;
/// Seconds shorter than this many milliseconds are no sample.
const SHORTEST_SECOND_MS: u64 = 500;
/// Part of a rate that the other side may differ by, and still have done the same work.
const SAME_RATE: f64 = 0.02;

/// What a comparison says of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Better,
    Worse,
    /// The difference, if there is one, is within the noise.
    Noise,
    /// There are too few samples to tell.
    Unknown,
}

/// How a figure is written, and which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds: fewer are better.
    Micros,
    /// More are better.
    PerSecond,
    /// Fewer are better, and none is right.
    Violations,
}

/// One figure of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// As in assertions: `p99(cross)`.
    pub metric: String,
    pub unit: Unit,
    /// Of the whole run; of several runs the mean.
    pub base: f64,
    pub new: f64,
    /// From sample to sample (seconds or runs) as factor less 1, with its interval; `None` where it cannot be told.
    #[serde(serialize_with = "as_list")]
    pub change: Option<Change>,
    pub finding: Finding,
}

/// All figures of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub rows: Vec<Row>,
    /// What a reader should know of how alike the two sides are.
    pub notes: Vec<String>,
    pub confidence: f64,
    /// Runs, not seconds, are the samples.
    pub by_runs: bool,
}

fn as_list<S: serde::Serializer>(change: &Option<Change>, serializer: S) -> Result<S::Ok, S::Error> {
    change.map(|change| [change.estimate, change.low, change.high]).serialize(serializer)
}

/// Why there is nothing to compare. Stop, and show the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("nothing to compare: no result on one side")]
    Nothing,
    #[error("nothing to compare: one side measured nothing")]
    NotMeasured,
}

/// Compares the runs of one side with those of the other; confidence from 0 to 1.
pub fn compare(base: &[Outcome], new: &[Outcome], confidence: f64) -> Result<Comparison, Error> {
    if base.is_empty() || new.is_empty() {
        return Err(Error::Nothing);
    }
    if base.iter().chain(new).any(|outcome| outcome.measured_s <= 0.0) {
        return Err(Error::NotMeasured);
    }
    let by_runs = base.len().min(new.len()) >= MIN_SAMPLES;
    let sides = Sides { base, new, confidence, by_runs };
    let mut rows = vec![
        sides.row(
            "sent_rate",
            Unit::PerSecond,
            &Outcome::sent_per_second,
            Some(&|second| per_second(second, second.sent)),
        ),
        sides.row(
            "delivered_rate",
            Unit::PerSecond,
            &Outcome::delivered_per_second,
            Some(&|second| per_second(second, second.delivered)),
        ),
    ];
    let known = |kind: &LatencyKind| base.iter().chain(new).all(|outcome| outcome.latencies.contains_key(kind));
    LatencyKind::iter().filter(known).for_each(|kind| sides.latency_rows(kind, &mut rows));
    sides.violations(&mut rows);
    Ok(Comparison { rows, notes: sides.notes(), confidence, by_runs })
}

impl Comparison {
    /// The rows that got worse by more than `limit` (a factor less 1) and beyond noise, or that break a promise.
    pub fn failures(&self, limit: f64) -> Vec<&Row> {
        let failed = |row: &&Row| {
            let judged = row.finding == Finding::Worse && row.is_of_the_server();
            judged
                && (row.unit == Unit::Violations
                    || row.change.is_some_and(|change| row.unit.worsening(&change) > limit))
        };
        self.rows.iter().filter(failed).collect()
    }
}

impl Row {
    /// Whether it says something of the server, and not of the generator.
    pub fn is_of_the_server(&self) -> bool {
        !self.metric.ends_with("(lateness)")
    }
}

impl Unit {
    /// By how much it got worse: of a rate, how much more there was before.
    fn worsening(self, change: &Change) -> f64 {
        match self {
            Unit::PerSecond => -change.estimate,
            _ => change.estimate,
        }
    }

    fn finding(self, change: Option<&Change>) -> Finding {
        let Some(change) = change else { return Finding::Unknown };
        match (change.is_beyond_noise(), self.worsening(change) > 0.0) {
            (false, _) => Finding::Noise,
            (true, true) => Finding::Worse,
            (true, false) => Finding::Better,
        }
    }
}

fn per_second(second: &Second, count: u64) -> Option<f64> {
    Some(count as f64 * 1e3 / second.length_ms as f64)
}

/// Takes a sample out of a second.
type OfSecond<'a> = &'a dyn Fn(&Second) -> Option<f64>;

/// Takes a latency out of a path's second.
type OfPoint = fn(&Point) -> u64;

struct Sides<'a> {
    base: &'a [Outcome],
    new: &'a [Outcome],
    confidence: f64,
    by_runs: bool,
}

impl Sides<'_> {
    fn row(&self, metric: &str, unit: Unit, whole: &dyn Fn(&Outcome) -> f64, second: Option<OfSecond<'_>>) -> Row {
        let [base, new] = [self.base, self.new].map(|side| side.iter().map(whole).collect::<Vec<f64>>());
        let change = match second {
            _ if self.by_runs => statistics::change(&base, &new, false, self.confidence),
            Some(second) => {
                let [base, new] = [self.base, self.new].map(|side| samples(side, second));
                statistics::change(&base, &new, true, self.confidence)
            }
            None => None,
        };
        let finding = unit.finding(change.as_ref());
        Row { metric: metric.to_owned(), unit, base: mean(&base), new: mean(&new), change, finding }
    }

    fn latency_rows(&self, kind: LatencyKind, rows: &mut Vec<Row>) {
        let of_seconds: [(f64, Option<OfPoint>); 3] =
            [(50.0, Some(|point| point.p50)), (99.0, Some(|point| point.p99)), (99.9, None)];
        for (percentile, of_second) in of_seconds {
            let whole = |outcome: &Outcome| outcome.latencies[&kind].percentile(percentile) as f64;
            let metric = format!("p{percentile}({kind})");
            rows.push(match of_second {
                Some(value) => {
                    let sample = |second: &Second| second.latencies.get(&kind).map(|point| value(point) as f64);
                    self.row(&metric, Unit::Micros, &whole, Some(&sample))
                }
                None => self.row(&metric, Unit::Micros, &whole, None),
            });
        }
        rows.push(self.row(
            &format!("max({kind})"),
            Unit::Micros,
            &|outcome| outcome.latencies[&kind].max() as f64,
            None,
        ));
    }

    /// Worse where one side has some and the other none or fewer; no interval is needed for what must not happen.
    fn violations(&self, rows: &mut Vec<Row>) {
        for name in ["lost", "duplicated", "reordered", "phantom", "misdelivered", "altered", "unknown"] {
            let count = |outcome: &Outcome| {
                outcome
                    .account
                    .counts()
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map_or(0.0, |(_, count)| *count as f64)
            };
            let [base, new] = [self.base, self.new].map(|side| mean(&side.iter().map(count).collect::<Vec<f64>>()));
            let finding = match new.total_cmp(&base) {
                std::cmp::Ordering::Greater => Finding::Worse,
                std::cmp::Ordering::Less => Finding::Better,
                std::cmp::Ordering::Equal => Finding::Noise,
            };
            if base + new > 0.0 {
                rows.push(Row { metric: name.to_owned(), unit: Unit::Violations, base, new, change: None, finding });
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        let (base, new) = (&self.base[0], &self.new[0]);
        let mut notes = Vec::new();
        let mut differ = |what: &str, base: String, new: String| {
            if base != new {
                notes.push(format!("the two sides differ in {what}: {base} and {new}"));
            }
        };
        differ("users", base.plan.users.to_string(), new.plan.users.to_string());
        differ("qos", base.plan.qos.to_string(), new.plan.qos.to_string());
        differ("body", base.plan.body.to_string(), new.plan.body.to_string());
        differ("window", format!("{:?}", base.plan.window), format!("{:?}", new.plan.window));
        differ("mix", base.plan.mix_in_words(), new.plan.mix_in_words());
        differ("machine", machines(base), machines(new));
        differ("processes", base.shards.to_string(), new.shards.to_string());
        let rates = (base.plan.rate, new.plan.rate);
        if base.plan.window.is_none() && (rates.0 - rates.1).abs() > SAME_RATE * rates.0 {
            notes.push(format!("the two sides differ in rate: {} and {} messages per second", rates.0, rates.1));
        }
        for (name, side) in [("first", self.base), ("second", self.new)] {
            if side.iter().any(|outcome| !outcome.interventions.is_empty()) {
                notes.push(format!("the {name} side was steered by hand while it was measured"));
            }
            if side.iter().any(Outcome::is_limited_by_generator) {
                notes.push(format!("the {name} side was limited by the generator, not by the server"));
            }
        }
        if !self.by_runs {
            notes.push(
                "the samples are seconds: what differs from run to run is not in the intervals; give a \
                directory of 3 or more runs for each side"
                    .into(),
            );
        }
        notes
    }
}

fn machines(outcome: &Outcome) -> String {
    let mut machines: Vec<String> = outcome.machines.iter().map(crate::measure::Machine::describe).collect();
    machines.dedup();
    machines.join("; ")
}

fn samples(side: &[Outcome], second: OfSecond<'_>) -> Vec<f64> {
    let seconds = side.iter().flat_map(|outcome| &outcome.seconds);
    seconds.filter(|row| row.length_ms >= SHORTEST_SECOND_MS).filter_map(second).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests;
