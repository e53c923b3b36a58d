//! Counts as they are kept in a file, and what became of them since.

use anyhow::{Context, Error, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A count may rise by this part before it fails; beyond it somebody has to say that the rise is meant, by storing.
pub const TOLERANCE: f64 = 0.05;
/// Instructions differ by less than this part from run to run: maps are keyed by chance.
const NOISE: f64 = 0.005;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    Instructions,
    Allocations,
    Statements,
    Commits,
    Rows,
}

const UNITS: [(Unit, &str); 5] = [
    (Unit::Instructions, "instructions"),
    (Unit::Allocations, "allocations"),
    (Unit::Statements, "statements"),
    (Unit::Commits, "commits"),
    (Unit::Rows, "rows"),
];

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = UNITS.iter().find(|(unit, _)| unit == self).expect("each is in the list");
        f.pad(name)
    }
}

impl FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Unit> {
        let found = UNITS.iter().find(|(_, name)| *name == text);
        found.map(|(unit, _)| *unit).with_context(|| format!("unknown unit {text:?}"))
    }
}

/// How much of `unit` one operation takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    pub what: String,
    pub unit: Unit,
    pub value: f64,
}

/// All counts of one build.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The version of rustc and the machine: instructions of two of these are not compared.
    pub compiler: String,
    pub counts: Vec<Count>,
}

const HEAD: &str = "# What one operation takes; see docs/performance.md. Written by ci/counts --store.";
const COMPILER: &str = "rustc ";

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\n{COMPILER}{}", self.compiler)?;
        self.counts.iter().try_for_each(|count| writeln!(f, "{:>9} {:<12} {}", count.value, count.unit, count.what))
    }
}

impl FromStr for Stored {
    type Err = Error;

    fn from_str(text: &str) -> Result<Stored> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let compiler = lines.next().and_then(|line| line.strip_prefix(COMPILER)).context("no compiler is named")?;
        let counts = lines.map(read_count).collect::<Result<Vec<Count>>>()?;
        let mut known = BTreeSet::new();
        for Count { what, unit, .. } in &counts {
            ensure!(known.insert((what, unit)), "twice: {unit} of {what:?}");
        }
        Ok(Stored { compiler: compiler.into(), counts })
    }
}

fn read_count(line: &str) -> Result<Count> {
    let mut words = line.trim_start().splitn(2, ' ');
    let (Some(value), Some(rest)) = (words.next(), words.next()) else { bail!("no unit behind a number: {line:?}") };
    let (unit, what) = rest.split_once(' ').with_context(|| format!("no operation behind a unit: {line:?}"))?;
    let value: f64 = value.parse().with_context(|| format!("no number: {line:?}"))?;
    ensure!(value.is_finite() && value >= 0.0, "a count that is below 0, or no number: {line:?}");
    Ok(Count { what: what.trim_start().into(), unit: unit.parse()?, value })
}

/// A count that is stored, against what it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// By less than is allowed.
    Rose,
    /// By more.
    RoseTooFar,
    Fell,
    /// Stored with another compiler.
    Incomparable,
}

/// What became of a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Compared { stored: f64, now: f64, verdict: Verdict },
    NotStored { now: f64 },
    NoLongerCounted { stored: f64 },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: String,
    pub unit: Unit,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub compilers: [String; 2],
    pub changes: Vec<Change>,
}

impl Stored {
    /// Every count of both.
    pub fn compare(&self, now: &Stored) -> Comparison {
        let is_same = self.compiler == now.compiler;
        let change = |count: &Count, fate| Change { what: count.what.clone(), unit: count.unit, fate };
        let of_today = now.counts.iter().map(|count| {
            let fate = match self.value_of(count) {
                None => Fate::NotStored { now: count.value },
                Some(stored) => {
                    let is_comparable = is_same || count.unit != Unit::Instructions;
                    let verdict = if is_comparable { judge(stored, count.value) } else { Verdict::Incomparable };
                    Fate::Compared { stored, now: count.value, verdict }
                }
            };
            change(count, fate)
        });
        let is_gone = |count: &&Count| now.value_of(count).is_none();
        let no_longer = |count: &Count| change(count, Fate::NoLongerCounted { stored: count.value });
        let gone = self.counts.iter().filter(is_gone).map(no_longer);
        let changes = of_today.chain(gone).collect();
        Comparison { compilers: [self.compiler.clone(), now.compiler.clone()], changes }
    }

    /// What these have for the same unit of the same operation.
    fn value_of(&self, one: &Count) -> Option<f64> {
        let found = self.counts.iter().find(|other| other.what == one.what && other.unit == one.unit);
        found.map(|found| found.value)
    }
}

fn judge(stored: f64, now: f64) -> Verdict {
    match () {
        () if now > stored * (1.0 + TOLERANCE) => Verdict::RoseTooFar,
        () if now > stored * (1.0 + NOISE) => Verdict::Rose,
        () if now < stored * (1.0 - NOISE) => Verdict::Fell,
        () => Verdict::Same,
    }
}

impl Comparison {
    /// Nothing rose too far, and all is stored that is counted, and the other way round.
    pub fn is_good(&self) -> bool {
        let is_good = |fate: Fate| matches!(fate, Fate::Compared { verdict, .. } if verdict != Verdict::RoseTooFar);
        self.changes.iter().all(|change| is_good(change.fate))
    }

    /// Whether there is a count of which this holds.
    pub fn has(&self, wanted: Verdict) -> bool {
        let is_wanted = |fate: Fate| matches!(fate, Fate::Compared { verdict, .. } if verdict == wanted);
        self.changes.iter().any(|change| is_wanted(change.fate))
    }
}

#[cfg(test)]
pub mod samples {
    use super::*;

    pub fn stored(compiler: &str, counts: &[(&str, Unit, f64)]) -> Stored {
        let count = |&(what, unit, value): &(&str, Unit, f64)| Count { what: what.into(), unit, value };
        Stored { compiler: compiler.into(), counts: counts.iter().map(count).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::stored;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let counts = stored("1.95.0", &[("log in", Unit::Statements, 9.0), ("encode, bare", Unit::Allocations, 0.01)]);
        assert_eq!(counts.to_string().parse::<Stored>().expect("it is well formed"), counts);
    }

    #[test]
    fn what_is_no_count_is_refused_with_the_reason() {
        let check = |text: &str, reason: &str| {
            let refused = text.parse::<Stored>().expect_err("it is ill-formed").to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
        };
        check("9 statements log in", "no compiler is named");
        check("rustc 1.95.0\n  9", "no unit behind a number");
        check("rustc 1.95.0\n  9 rows", "no operation behind a unit");
        check("rustc 1.95.0\n  nine rows log in", "no number");
        check("rustc 1.95.0\n  9 apples log in", "unknown unit");
        check("rustc 1.95.0\n  NaN rows log in", "below 0, or no number");
        check("rustc 1.95.0\n  inf rows log in", "below 0, or no number");
        check("rustc 1.95.0\n  -1 rows log in", "below 0, or no number");
        check("rustc 1.95.0\n  1 rows log in\n  2 rows log in", "twice: rows");
    }

    #[test]
    fn only_a_rise_beyond_the_tolerance_fails() {
        let check = |stored: f64, now: f64, verdict: Verdict, is_good: bool| {
            let of = |value| samples::stored("1.95.0", &[("log in", Unit::Rows, value)]);
            let comparison = of(stored).compare(&of(now));
            assert_eq!(comparison.changes[0].fate, Fate::Compared { stored, now, verdict });
            assert_eq!(comparison.is_good(), is_good, "{stored} to {now}");
        };
        check(100.0, 106.0, Verdict::RoseTooFar, false);
        check(0.0, 1.0, Verdict::RoseTooFar, false);
        check(100.0, 105.0, Verdict::Rose, true);
        check(1_000.0, 1_001.0, Verdict::Same, true);
        check(1_000.0, 999.0, Verdict::Same, true);
        check(100.0, 50.0, Verdict::Fell, true);
    }

    #[test]
    fn what_is_not_stored_or_no_longer_counted_fails() {
        let (none, one) = (stored("1.95.0", &[]), stored("1.95.0", &[("log in", Unit::Rows, 1.0)]));
        let check = |before: &Stored, now: &Stored, fate: Fate| {
            let comparison = before.compare(now);
            assert_eq!(comparison.changes[0].fate, fate);
            assert!(!comparison.is_good());
        };
        check(&none, &one, Fate::NotStored { now: 1.0 });
        check(&one, &none, Fate::NoLongerCounted { stored: 1.0 });
    }

    #[test]
    fn only_instructions_depend_on_the_compiler() {
        let of = |compiler, value| {
            stored(compiler, &[("decode", Unit::Instructions, value), ("decode", Unit::Allocations, value)])
        };
        let rise = |verdict: Verdict| Fate::Compared { stored: 1.0, now: 2.0, verdict };
        let fates = |comparison: Comparison| comparison.changes.into_iter().map(|change| change.fate);

        let changed = fates(of("1.95.0", 1.0).compare(&of("1.96.0", 2.0)));
        assert_eq!(changed.collect::<Vec<_>>(), [Verdict::Incomparable, Verdict::RoseTooFar].map(rise));
        let unchanged = fates(of("1.95.0", 1.0).compare(&of("1.95.0", 2.0)));
        assert_eq!(unchanged.collect::<Vec<_>>(), [Verdict::RoseTooFar, Verdict::RoseTooFar].map(rise));
    }
}
