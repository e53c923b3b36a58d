//! What the checkers found in a history, and how it reads.
//!
//! A finding is `valid` only where there was something to judge and nothing was left open. Whatever violates a promise
//! is shown by the few events that prove it.

use crate::facts::Facts;
use crate::guarantee::{Guarantee, NOTICE};
use crate::history::{Entry, Event};
use crate::verdict::Verdict;
use std::fmt;

/// Violations of one promise that are shown; all are counted.
const SHOWN: usize = 3;

/// Entries among which a history says what kind it is.
const BEGINNING: usize = 2;

/// A violation: what is wrong, and the events that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub what: String,
    /// Places in the history, ascending.
    pub events: Vec<usize>,
}

/// What one checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub guarantee: Guarantee,
    /// Things that were judged.
    pub judged: u64,
    /// Things that the history leaves open.
    pub open: u64,
    pub violated: u64,
    /// The first few.
    pub violations: Vec<Violation>,
}

impl Finding {
    pub(crate) fn new(guarantee: Guarantee) -> Self {
        Finding { guarantee, judged: 0, open: 0, violated: 0, violations: Vec::new() }
    }

    /// One more thing was judged; `violation` if it is wrong.
    pub(crate) fn judge(&mut self, violation: Option<Violation>) {
        self.judged += 1;
        if let Some(mut violation) = violation {
            self.violated += 1;
            if self.violations.len() < SHOWN {
                violation.events.sort_unstable();
                violation.events.dedup();
                self.violations.push(violation);
            }
        }
    }

    /// `unknown` also where the history holds nothing to judge.
    pub fn verdict(&self) -> Verdict {
        match (self.violated, self.judged, self.open) {
            (1.., _, _) => Verdict::Invalid,
            (0, 1.., 0) => Verdict::Valid,
            _ => Verdict::Unknown,
        }
    }
}

/// What all checkers found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// `invalid` if any promise was broken; `unknown` if anything was left open, or no delivery could be judged. A
    /// promise that the history never put to the test (no resend, no fault of Redis) does not count.
    pub fn verdict(&self) -> Verdict {
        let any = |test: fn(&Finding) -> bool| self.findings.iter().any(test);
        if any(|finding| finding.violated > 0) {
            Verdict::Invalid
        } else if any(|finding| {
            finding.open > 0 || (finding.guarantee == Guarantee::DeliveredOnce && finding.judged == 0)
        }) {
            Verdict::Unknown
        } else {
            Verdict::Valid
        }
    }

    pub fn of(&self, guarantee: Guarantee) -> &Finding {
        &self.findings[guarantee as usize]
    }
}

/// Judges a whole history.
pub fn check(entries: &[Entry]) -> Judgement {
    let facts = Facts::new(entries);
    Judgement { findings: Guarantee::ALL.iter().map(|guarantee| guarantee.check(&facts)).collect() }
}

/// A judgement for people, with the events that show each violation.
pub struct Told<'a> {
    pub judgement: &'a Judgement,
    pub entries: &'a [Entry],
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.iter().take(BEGINNING).any(|entry| entry.event == Event::Unacknowledged) {
            writeln!(f, "{}", NOTICE)?;
        }
        for finding in &self.judgement.findings {
            let Finding { guarantee, judged, open, violated, violations } = finding;
            let (title, verdict) = (guarantee.title(), finding.verdict().name());
            let verdict = if *judged == 0 && *open == 0 { "not tested" } else { verdict };
            write!(f, "{guarantee:<8} {title:<31} {verdict:<10} {judged} judged")?;
            if *open > 0 {
                write!(f, ", {open} open")?;
            }
            if *violated > 0 {
                write!(f, ", {violated} violated")?;
            }
            writeln!(f)?;
            for violation in violations {
                writeln!(f, "   {}", violation.what)?;
                for event in &violation.events {
                    let line = serde_json::to_string(&self.entries[*event]).map_err(|_| fmt::Error)?;
                    writeln!(f, "   {:>8}: {line}", event + 1)?;
                }
            }
        }
        writeln!(f, "{}", self.judgement.verdict().name())
    }
}
