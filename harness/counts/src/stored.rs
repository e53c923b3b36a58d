//! Counts as they are kept in a file, and what became of them since.

use anyhow::{Context, Error, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A count may rise by this part before it fails; beyond it somebody has to say that the rise is meant, by storing.
pub const TOLERANCE: f64 = 0.05;
/// Instructions differ by less than this part from run to run: maps are keyed by chance.
const NOISE: f64 = 0.005;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            ensure!(known.insert((what, unit.to_string())), "twice: {unit} of {what:?}");
        }
        Ok(Stored { compiler: compiler.into(), counts })
    }
}

fn read_count(line: &str) -> Result<Count> {
    let mut words = line.trim_start().splitn(2, ' ');
    let (Some(value), Some(rest)) = (words.next(), words.next()) else { bail!("no count: {line:?}") };
    let (unit, what) = rest.split_once(' ').with_context(|| format!("no count: {line:?}"))?;
    let value: f64 = value.parse().with_context(|| format!("no number: {line:?}"))?;
    ensure!(value.is_finite() && value >= 0.0, "no count: {line:?}");
    Ok(Count { what: what.trim_start().into(), unit: unit.parse()?, value })
}

/// What became of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// By less than is allowed.
    Rose,
    /// By more.
    RoseTooFar,
    Fell,
    NotStored,
    NoLongerCounted,
    /// Stored with another compiler.
    Incomparable,
}

/// One count, before and now; only one of them where it is new or gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: String,
    pub unit: Unit,
    pub stored: Option<f64>,
    pub now: Option<f64>,
    pub verdict: Verdict,
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
        let of = |stored: &Stored, one: &Count| {
            stored.counts.iter().find(|other| other.what == one.what && other.unit == one.unit).map(|found| found.value)
        };
        let gone = self.counts.iter().filter(|count| of(now, count).is_none());
        let change = |count: &Count| {
            let (stored, now) = (of(self, count), of(now, count));
            let verdict = match (stored, now) {
                (Some(_), Some(_)) if count.unit == Unit::Instructions && !is_same => Verdict::Incomparable,
                (Some(stored), Some(now)) => judge(stored, now),
                (None, _) => Verdict::NotStored,
                (_, None) => Verdict::NoLongerCounted,
            };
            Change { what: count.what.clone(), unit: count.unit, stored, now, verdict }
        };
        let changes = now.counts.iter().chain(gone).map(change).collect();
        Comparison { compilers: [self.compiler.clone(), now.compiler.clone()], changes }
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
        let bad = [Verdict::RoseTooFar, Verdict::NotStored, Verdict::NoLongerCounted];
        bad.into_iter().all(|verdict| self.count(verdict) == 0)
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.changes.iter().filter(|change| change.verdict == verdict).count()
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
        let ill_formed = [
            "9 statements log in",
            "rustc 1.95.0\n  9 apples log in",
            "rustc 1.95.0\n  NaN rows log in",
            "rustc 1.95.0\n  inf rows log in",
            "rustc 1.95.0\n  -1 rows log in",
            "rustc 1.95.0\n  1 rows log in\n  2 rows log in",
        ];
        ill_formed.into_iter().for_each(|text| assert!(text.parse::<Stored>().is_err(), "{text}"));
    }

    #[test]
    fn rise_beyond_the_tolerance_fails_and_so_does_what_is_not_stored_or_not_counted() {
        let verdict = |before: f64, now: f64| {
            let of = |value| stored("1.95.0", &[("log in", Unit::Rows, value)]);
            let comparison = of(before).compare(&of(now));
            (comparison.changes[0].verdict, comparison.is_good())
        };
        assert_eq!(verdict(100.0, 106.0), (Verdict::RoseTooFar, false));
        assert_eq!(verdict(0.0, 1.0), (Verdict::RoseTooFar, false));
        assert_eq!(verdict(100.0, 105.0), (Verdict::Rose, true));
        assert_eq!(verdict(1_000.0, 1_001.0), (Verdict::Same, true));
        assert_eq!(verdict(1_000.0, 999.0), (Verdict::Same, true));
        assert_eq!(verdict(100.0, 50.0), (Verdict::Fell, true));

        let (none, one) = (stored("1.95.0", &[]), stored("1.95.0", &[("log in", Unit::Rows, 1.0)]));
        assert!(!none.compare(&one).is_good());
        assert!(!one.compare(&none).is_good());
    }

    #[test]
    fn only_instructions_depend_on_the_compiler() {
        let of = |compiler, value| {
            stored(compiler, &[("decode", Unit::Instructions, value), ("decode", Unit::Allocations, value)])
        };
        let verdicts = |comparison: Comparison| comparison.changes.into_iter().map(|change| change.verdict);

        let changed = verdicts(of("1.95.0", 1.0).compare(&of("1.96.0", 2.0)));
        assert_eq!(changed.collect::<Vec<_>>(), [Verdict::Incomparable, Verdict::RoseTooFar]);
        let unchanged = verdicts(of("1.95.0", 1.0).compare(&of("1.95.0", 2.0)));
        assert_eq!(unchanged.collect::<Vec<_>>(), [Verdict::RoseTooFar, Verdict::RoseTooFar]);
    }
}
