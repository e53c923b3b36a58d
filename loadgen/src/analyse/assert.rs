//! Assertions on an outcome, as `--assert` takes them: `p99(cross) < 50ms`, `lost == 0`, `rate(ack) >= 1000`.
//!
//! An assertion is a metric, a relation and a limit with its unit. It is parsed before anything runs, so that a slip of
//! the pen costs no measurement. What was not measured satisfies no assertion: silence is not success.

mod metric;

pub use metric::{Dimension, Metric, names};

use crate::measure::{Checked, Outcome};
use std::fmt;
use std::str::FromStr;

/// Why a text is no assertion. Stop, and show the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "{0:?} has no relation; write METRIC, then one of < <= > >= == !=, then a limit, as in \"p99(cross) < 50ms\""
    )]
    NoRelation(String),
    #[error("no metric {name:?}; there are {}", names())]
    NoMetric { name: String },
    #[error("{metric}: {reason}")]
    Latency { metric: String, reason: String },
    #[error("{text:?} is not a percentile from 0 to 100, as in p99.9")]
    Percentile { text: String },
    #[error("{text:?} is not a limit for {metric}: {expected}")]
    Limit { metric: String, text: String, expected: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
    Unequal,
}

impl Relation {
    /// Longer signs first, since `<=` begins as `<` does.
    const SIGNS: [(&'static str, Relation); 6] = [
        ("<=", Relation::AtMost),
        (">=", Relation::AtLeast),
        ("==", Relation::Equal),
        ("!=", Relation::Unequal),
        ("<", Relation::Below),
        (">", Relation::Above),
    ];

    fn holds(self, figure: f64, limit: f64) -> bool {
        match self {
            Relation::Below => figure < limit,
            Relation::AtMost => figure <= limit,
            Relation::Above => figure > limit,
            Relation::AtLeast => figure >= limit,
            Relation::Equal => figure == limit,
            Relation::Unequal => figure != limit,
        }
    }
}

/// One assertion.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    metric: Metric,
    relation: Relation,
    limit: f64,
}

/// Looks whether the assertions hold, and keeps what came of it with the outcome.
pub fn check(outcome: &mut Outcome, assertions: &[Assertion]) {
    let checked = assertions.iter().map(|assertion| assertion.check(outcome));
    outcome.assertions = outcome.thresholds.iter().cloned().chain(checked).collect();
}

impl Assertion {
    /// Looks whether `outcome` satisfies it.
    pub fn check(&self, outcome: &Outcome) -> Checked {
        let (figure, holds) = match self.metric.of(outcome) {
            Some(figure) => (self.metric.dimension().show(figure), self.relation.holds(figure, self.limit)),
            None => ("nothing was measured".to_owned(), false),
        };
        Checked { assertion: self.text.clone(), figure, holds }
    }
}

impl FromStr for Assertion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        // The first sign outside parentheses: a kind of error in `errors(…)` may hold anything.
        let from = text.rfind(')').unwrap_or(0);
        let at = text[from..].find(['<', '>', '=', '!']).ok_or_else(|| Error::NoRelation(text.to_owned()))? + from;
        let signs = Relation::SIGNS.iter().find(|(sign, _)| text[at..].starts_with(sign));
        let (sign, relation) = *signs.ok_or_else(|| Error::NoRelation(text.to_owned()))?;
        let metric: Metric = text[..at].trim().parse()?;
        let limit = text[at + sign.len()..].trim();
        let limit = metric.dimension().parse(limit).map_err(|expected| Error::Limit {
            metric: text[..at].trim().to_owned(),
            text: limit.to_owned(),
            expected,
        })?;
        Ok(Assertion { text: text.to_owned(), metric, relation, limit })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
