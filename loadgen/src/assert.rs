//! Assertions on a result, as `p99(cross) < 50ms` or `lost == 0`: what a build is stopped for.
//!
//! A figure is a percentile, `max`, `mean`, `count` or `rate` of a path, a count of messages, `errors`, or a rate of all; a time takes
//! `us`, `ms` or `s`. A path that nothing was measured on fails whatever is asserted of its latency.

use crate::outcome::Outcome;
use crate::recorder::Path;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What one path's histogram is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Percentile(f64),
    Max,
    Mean,
    Count,
    Rate,
}

#[derive(Clone, Debug, PartialEq)]
enum Figure {
    Path(Of, Path),
    /// A count of the account, `unsent`, `errors` or `logins`.
    Count(String),
    SentRate,
    DeliveredRate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// One assertion; stored and shown as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    figure: Figure,
    comparison: Comparison,
    /// Microseconds for latencies.
    bound: f64,
}

/// An assertion and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    pub assertion: String,
    pub passed: bool,
    /// The figure in the assertion's own unit, or why there is none.
    pub found: String,
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let operators = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = operators.iter().find_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let ((figure, bound), comparison) =
            found.ok_or_else(|| format!("{text:?} has none of < <= > >= == !=; write it as 'p99(cross) < 50ms'"))?;
        let figure = parse_figure(figure.trim())?;
        let bound = parse_bound(bound.trim(), figure.is_time())?;
        Ok(Assertion { text: text.trim().to_owned(), figure, comparison, bound })
    }
}

fn parse_figure(text: &str) -> Result<Figure, String> {
    let counts = crate::ledger::Account::default().counts().map(|(name, _)| name);
    if counts.contains(&text) || ["unsent", "errors", "logins"].contains(&text) {
        return Ok(Figure::Count(text.to_owned()));
    }
    match text {
        "rate" | "sent_rate" => return Ok(Figure::SentRate),
        "delivered_rate" => return Ok(Figure::DeliveredRate),
        _ => {}
    }
    let unknown = || {
        format!(
            "no figure {text:?}; there are p50(cross) and the like, max(), mean(), count() and rate() of a path, rate, \
                 delivered_rate, errors, unsent, logins, {}",
            counts.join(", ")
        )
    };
    let (of, path) = text.strip_suffix(')').and_then(|text| text.split_once('(')).ok_or_else(unknown)?;
    let of = match of {
        "max" => Of::Max,
        "mean" => Of::Mean,
        "count" => Of::Count,
        "rate" => Of::Rate,
        _ => {
            let percentile = of.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok()).ok_or_else(unknown)?;
            if !(0.0..=100.0).contains(&percentile) {
                return Err(format!("{of} is no percentile: from p0 to p100"));
            }
            Of::Percentile(percentile)
        }
    };
    Ok(Figure::Path(of, path.trim().parse()?))
}

fn parse_bound(text: &str, is_time: bool) -> Result<f64, String> {
    let end = text.find(|character: char| character.is_alphabetic() || character == 'µ').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: f64 = digits.trim().parse().map_err(|_| format!("{text:?} is not a number"))?;
    let scale = match (unit, is_time) {
        ("us" | "µs", true) => 1.0,
        ("ms", true) => 1e3,
        ("s", true) => 1e6,
        ("", false) => 1.0,
        (_, true) => return Err(format!("{text:?} needs a unit: us, ms or s")),
        (_, false) => return Err(format!("{text:?} should be a number without a unit")),
    };
    Ok(number * scale)
}

impl Figure {
    fn is_time(&self) -> bool {
        matches!(self, Figure::Path(Of::Percentile(_) | Of::Max | Of::Mean, _))
    }

    fn of(&self, outcome: &Outcome) -> Option<f64> {
        Some(match self {
            Figure::SentRate => outcome.sent_per_second(),
            Figure::DeliveredRate => outcome.delivered_per_second(),
            Figure::Count(name) => count(outcome, name)? as f64,
            Figure::Path(of, path) => {
                let Some(latencies) = outcome.paths.get(path) else {
                    return matches!(of, Of::Count | Of::Rate).then_some(0.0);
                };
                match of {
                    Of::Percentile(percentile) => latencies.percentile(*percentile) as f64,
                    Of::Max => latencies.max() as f64,
                    Of::Mean => latencies.mean(),
                    Of::Count => latencies.count() as f64,
                    Of::Rate => latencies.count() as f64 / outcome.measured_s.max(f64::MIN_POSITIVE),
                }
            }
        })
    }
}

fn count(outcome: &Outcome, name: &str) -> Option<u64> {
    match name {
        "unsent" => Some(outcome.unsent),
        "logins" => Some(outcome.logins),
        "errors" => Some(outcome.errors.values().sum()),
        _ => outcome.account.counts().iter().find(|(known, _)| *known == name).map(|(_, count)| *count),
    }
}

impl Assertion {
    /// Holds the result against the assertion.
    pub fn check(&self, outcome: &Outcome) -> Checked {
        let assertion = self.text.clone();
        let Some(value) = self.figure.of(outcome) else {
            return Checked { assertion, passed: false, found: "nothing was measured there".into() };
        };
        let passed = match self.comparison {
            Comparison::Less => value < self.bound,
            Comparison::LessOrEqual => value <= self.bound,
            Comparison::Greater => value > self.bound,
            Comparison::GreaterOrEqual => value >= self.bound,
            Comparison::Equal => value == self.bound,
            Comparison::NotEqual => value != self.bound,
        };
        let found = if self.figure.is_time() {
            crate::report::duration(value as u64)
        } else if value.fract() == 0.0 {
            format!("{value:.0}")
        } else {
            format!("{value:.1}")
        };
        Checked { assertion, passed, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::recorder::Latencies;

    fn outcome() -> Outcome {
        let mut outcome = Outcome::failed(Plan::default(), String::new());
        let mut cross = Latencies::default();
        (1..=100).for_each(|milliseconds| cross.record(milliseconds * 1_000));
        outcome.paths.insert(Path::Cross, cross);
        outcome.account.lost = 2;
        outcome.account.sent = 3_000;
        outcome.measured_s = 10.0;
        outcome.errors.insert("x".into(), 7);
        outcome
    }

    #[test]
    fn figures_are_held_against_bounds() {
        for (text, passed) in [
            ("p99(cross) < 50ms", false),
            ("p50(cross)<=51 ms", true),
            ("max(cross) >= 0.1s", true),
            ("mean(cross) < 1s", true),
            ("p99.9( cross ) > 99000us", true),
            ("lost == 0", false),
            ("lost != 0", true),
            ("count(cross) == 100", true),
            ("count(ack) == 0", true),
            ("rate(cross) == 10", true),
            ("rate >= 300", true),
            ("errors < 8", true),
            ("p99(ack) < 1s", false),
        ] {
            let assertion: Assertion = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let checked = assertion.check(&outcome());
            assert_eq!(checked.passed, passed, "{checked:?}");
        }
        let checked = "p99(cross) < 50ms".parse::<Assertion>().expect("lawful").check(&outcome());
        assert_eq!(checked.found, "99.0 ms");
    }

    #[test]
    fn what_cannot_be_asserted_says_what_can() {
        for (text, says) in [
            ("p99(cross)", "has none of"),
            ("p99(cross) < 50", "needs a unit"),
            ("lost == 0ms", "without a unit"),
            ("lots == 0", "no figure"),
            ("p99(crass) < 1s", "no path"),
            ("p101(cross) < 1s", "from p0 to p100"),
            ("lost == many", "not a number"),
        ] {
            let error = text.parse::<Assertion>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
