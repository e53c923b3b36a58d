//! What all checkers found in a history, and how it reads: whatever violates a promise is shown by the few events that
//! prove it.

use crate::facts::Facts;
use crate::guarantee::{Finding, Guarantee, NOTICE};
use crate::history::{Entry, Event};
use crate::verdict::Verdict;
use std::fmt;

/// Entries among which a history says what kind it is.
const BEGINNING: usize = 2;

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
