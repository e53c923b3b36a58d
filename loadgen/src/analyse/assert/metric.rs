//! What can be asserted about: a statistic of a kind of latency, or a figure of the whole run; and the units of limits.

use super::Error;
use crate::measure::figures;
use crate::measure::ledger::Account;
use crate::measure::{Latencies, LatencyKind, Outcome};
use std::str::FromStr;
use strum::VariantNames;

/// The latencies of a message, for `any`.
const MESSAGE_KINDS: [LatencyKind; 6] = [
    LatencyKind::Ack,
    LatencyKind::Same,
    LatencyKind::Cross,
    LatencyKind::Direct,
    LatencyKind::GroupFirst,
    LatencyKind::GroupLast,
];
/// Stands for the worst of [`MESSAGE_KINDS`].
const ANY: &str = "any";

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Microseconds.
    Duration,
    Count,
    /// Per second.
    Rate,
    Percent,
    Bytes,
}

impl Dimension {
    const DURATIONS: [(&'static str, f64); 6] =
        [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 60e6), ("m", 60e6)];
    const BYTES: [(&'static str, f64); 8] = [
        ("", 1.0),
        ("B", 1.0),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
    ];

    /// Reads a limit; the error says what is expected.
    pub fn parse(self, text: &str) -> Result<f64, &'static str> {
        let (units, expected): (&[(&str, f64)], _) = match self {
            Dimension::Duration => (&Self::DURATIONS, "give a duration with its unit: us, ms, s or min, as in 50ms"),
            Dimension::Count => (&[("", 1.0), ("k", 1e3)], "give a number without a unit"),
            Dimension::Rate => {
                (&[("", 1.0), ("/s", 1.0), ("k", 1e3), ("k/s", 1e3)], "give a number per second, as in 1000 or 1000/s")
            }
            Dimension::Percent => (&[("%", 1.0)], "give per cent, as in 99.9%"),
            Dimension::Bytes => (&Self::BYTES, "give bytes, or KB, MB, GB, KiB, MiB, GiB, as in 300MB"),
        };
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_'))).unwrap_or(text.len());
        let number: f64 = text[..end].replace('_', "").parse().map_err(|_| expected)?;
        let unit = text[end..].trim();
        // Nothing is nothing in every unit.
        if number == 0.0 && unit.is_empty() {
            return Ok(0.0);
        }
        let factor = units.iter().find(|(name, _)| *name == unit).ok_or(expected)?.1;
        Ok(number * factor)
    }

    /// Writes a figure for a person.
    pub fn show(self, figure: f64) -> String {
        match self {
            // To the microsecond, so that a limit missed by a hair is seen to be missed.
            Dimension::Duration if figure < 1e3 => figures::duration(figure.round() as u64),
            Dimension::Duration if figure < 1e6 => format!("{:.3} ms", figure / 1e3),
            Dimension::Duration => format!("{:.3} s", figure / 1e6),
            Dimension::Count => figures::number(figure as u64),
            Dimension::Rate => format!("{}/s", figures::rate(figure)),
            Dimension::Percent => format!("{figure:.3} %"),
            Dimension::Bytes if figure < 1e6 => format!("{:.2} KB", figure / 1e3),
            Dimension::Bytes => format!("{:.1} MB", figure / 1e6),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Percentile(f64),
    Max,
    Mean,
    Count,
    Rate,
}

/// A figure of the whole run: its name, its kind, and where it stands.
type Figure = (&'static str, Dimension, fn(&Outcome) -> f64);

const FIGURES: [Figure; 15] = [
    ("violations", Dimension::Count, |outcome| outcome.account.violations() as f64),
    ("unsent", Dimension::Count, |outcome| outcome.unsent as f64),
    ("logins", Dimension::Count, |outcome| outcome.logins as f64),
    ("online", Dimension::Count, |outcome| f64::from(outcome.online.1)),
    ("sent_rate", Dimension::Rate, Outcome::sent_per_second),
    ("delivered_rate", Dimension::Rate, Outcome::delivered_per_second),
    ("delivery", Dimension::Percent, |outcome| {
        share(outcome.account.delivered as f64, outcome.account.expected as f64)
    }),
    ("cpu", Dimension::Percent, |outcome| share(outcome.resources.generator_cpu_s, outcome.measured_s)),
    ("nodes_cpu", Dimension::Percent, |outcome| share(outcome.resources.nodes_cpu_s, outcome.measured_s)),
    ("memory", Dimension::Bytes, |outcome| outcome.resources.memory_bytes as f64),
    ("memory_per_user", Dimension::Bytes, |outcome| outcome.resources.memory_per_user(outcome.online.0) as f64),
    ("nodes_memory", Dimension::Bytes, |outcome| outcome.resources.nodes_memory_bytes as f64),
    ("nodes_memory_per_user", Dimension::Bytes, |outcome| {
        outcome.resources.nodes_memory_per_user(outcome.online.0) as f64
    }),
    ("measured", Dimension::Duration, |outcome| outcome.measured_s * 1e6),
    ("drain", Dimension::Duration, |outcome| outcome.drained_s * 1e6),
];

/// Something that an outcome has a figure for.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// `None`: the worst of the paths that a message travels.
    Latency(Statistic, Option<LatencyKind>),
    /// A count of the account, by its place.
    Account(usize),
    /// A figure of the run, by its place.
    Figure(usize),
    /// Errors whose kind contains this.
    Errors(String),
}

/// Everything that can be asserted about, in one line.
pub fn names() -> String {
    let account = Account::default().counts().map(|(name, _)| name);
    let figures = FIGURES.map(|(name, ..)| name);
    let paths = LatencyKind::VARIANTS.join(", ");
    format!(
        "p50, p99, p99.9 … of a path, max, mean, count, rate (paths: {paths}, {ANY}), as p99(cross); {}; {}; errors, \
         errors(KIND)",
        account.join(", "),
        figures.join(", ")
    )
}

impl Metric {
    pub fn dimension(&self) -> Dimension {
        match self.0 {
            Kind::Latency(Statistic::Count, _) | Kind::Account(_) | Kind::Errors(_) => Dimension::Count,
            Kind::Latency(Statistic::Rate, _) => Dimension::Rate,
            Kind::Latency(..) => Dimension::Duration,
            Kind::Figure(place) => FIGURES[place].1,
        }
    }

    /// The figure, in the base unit of its dimension; `None` if nothing was measured.
    pub fn of(&self, outcome: &Outcome) -> Option<f64> {
        let figure = match &self.0 {
            Kind::Latency(statistic, Some(kind)) => statistic.of(outcome.latencies.get(kind), outcome)?,
            Kind::Latency(statistic, None) => {
                let known = MESSAGE_KINDS.iter().filter_map(|kind| outcome.latencies.get(kind));
                known.filter_map(|latencies| statistic.of(Some(latencies), outcome)).reduce(f64::max)?
            }
            Kind::Account(place) => outcome.account.counts()[*place].1 as f64,
            Kind::Figure(place) => FIGURES[*place].2(outcome),
            Kind::Errors(part) => {
                let kinds = outcome.errors.iter().filter(|(kind, _)| kind.contains(part.as_str()));
                kinds.map(|(_, count)| *count).sum::<u64>() as f64
            }
        };
        figure.is_finite().then_some(figure)
    }
}

impl Statistic {
    fn of(self, latencies: Option<&Latencies>, outcome: &Outcome) -> Option<f64> {
        let none = Latencies::default();
        let latencies = latencies.unwrap_or(&none);
        match self {
            Statistic::Count => Some(latencies.count() as f64),
            Statistic::Rate => Some(latencies.count() as f64 / outcome.measured_s),
            _ if latencies.is_empty() => None,
            Statistic::Percentile(percentile) => Some(latencies.percentile(percentile) as f64),
            Statistic::Max => Some(latencies.max() as f64),
            Statistic::Mean => Some(latencies.mean()),
        }
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::NoMetric { name: text.to_owned() };
        let (name, inner) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')').ok_or_else(unknown)?.trim())),
            None => (text, None),
        };
        if name == "errors" {
            return Ok(Metric(Kind::Errors(inner.unwrap_or("").to_owned())));
        }
        if let Some(statistic) = statistic(name)? {
            return Ok(Metric(Kind::Latency(statistic, latency_kind(name, inner)?)));
        }
        let account = Account::default().counts().iter().position(|(known, _)| *known == name).map(Kind::Account);
        let figure = || FIGURES.iter().position(|(known, ..)| *known == name).map(Kind::Figure);
        let kind = if inner.is_none() { account.or_else(figure) } else { None };
        kind.map(Metric).ok_or_else(unknown)
    }
}

fn statistic(name: &str) -> Result<Option<Statistic>, Error> {
    Ok(Some(match name {
        "max" => Statistic::Max,
        "mean" => Statistic::Mean,
        "count" => Statistic::Count,
        "rate" => Statistic::Rate,
        _ => {
            let digits = name.strip_prefix('p').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            let Some(digits) = digits else { return Ok(None) };
            let percentile = digits.parse().ok().filter(|percentile| (0.0..=100.0).contains(percentile));
            Statistic::Percentile(percentile.ok_or_else(|| Error::Percentile { text: name.to_owned() })?)
        }
    }))
}

/// `None` stands for all latencies of a message.
fn latency_kind(metric: &str, inner: Option<&str>) -> Result<Option<LatencyKind>, Error> {
    let failed = |reason: String| Error::Latency { metric: metric.to_owned(), reason };
    match inner {
        Some(ANY) => Ok(None),
        Some(name) => name
            .parse()
            .map(Some)
            .map_err(|_| failed(format!("no path {name:?}; there are {}, {ANY}", LatencyKind::VARIANTS.join(", ")))),
        None => Err(failed(format!("of which path? write {metric}(cross), or {metric}({ANY}) for the slowest"))),
    }
}

fn share(part: f64, whole: f64) -> f64 {
    100.0 * part / whole
}
