//! Judges a history: one pure function per promise, the same for load runs and for the test harness. The contract's G1
//! to G8, and three more that only a harness can put to the test: presence, recovery, and what the database holds.
//!
//! A finding is `valid` only where there was something to judge and nothing was left open. Whatever violates a promise
//! is shown by the few events that prove it.

mod delivered;
mod durable;
mod facts;
mod identity;
mod one_session;
mod ordered;
mod phantoms;
mod presence;
pub mod recovery;
mod redis;
mod resend;
mod rows;
mod unacknowledged;

pub use facts::Facts;

use crate::history::{Entry, Event};
use crate::outcome::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Violations of one promise that are shown; all are counted.
const SHOWN: usize = 3;

/// Entries among which a history says what kind it is.
const BEGINNING: usize = 2;

/// What a client may rely on, in the contract's own numbers, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Guarantee {
    G1,
    G2,
    G3,
    G4,
    G5,
    G6,
    G7,
    G8,
    Presence,
    Recovery,
    Rows,
}

impl Guarantee {
    pub const ALL: [Guarantee; 11] = [
        Guarantee::G1,
        Guarantee::G2,
        Guarantee::G3,
        Guarantee::G4,
        Guarantee::G5,
        Guarantee::G6,
        Guarantee::G7,
        Guarantee::G8,
        Guarantee::Presence,
        Guarantee::Recovery,
        Guarantee::Rows,
    ];

    /// The promise in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Guarantee::G1 => "acknowledged is durable",
            Guarantee::G2 => "delivered, once",
            Guarantee::G3 => "in order",
            Guarantee::G4 => "a resend is harmless",
            Guarantee::G5 => "no phantoms",
            Guarantee::G6 => "one session a user",
            Guarantee::G7 => "redis only speeds things up",
            Guarantee::G8 => "who you are is your session",
            Guarantee::Presence => "what friends see converges",
            Guarantee::Recovery => "served again after a fault",
            Guarantee::Rows => "the database has what was acked",
        }
    }
}

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
    fn new(guarantee: Guarantee) -> Self {
        Finding { guarantee, judged: 0, open: 0, violated: 0, violations: Vec::new() }
    }

    /// One more thing was judged; `violation` if it is wrong.
    fn judge(&mut self, violation: Option<Violation>) {
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
        } else if any(|finding| finding.open > 0 || (finding.guarantee == Guarantee::G2 && finding.judged == 0)) {
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
    Judgement { findings: Guarantee::ALL.map(|guarantee| check_one(guarantee, &facts)).into() }
}

/// Judges by one promise.
pub fn check_one(guarantee: Guarantee, facts: &Facts<'_>) -> Finding {
    let mut finding = Finding::new(guarantee);
    match guarantee {
        Guarantee::G1 => durable::check(facts, &mut finding),
        Guarantee::G2 => delivered::check(facts, &mut finding),
        Guarantee::G3 => ordered::check(facts, &mut finding),
        Guarantee::G4 => resend::check(facts, &mut finding),
        Guarantee::G5 => phantoms::check(facts, &mut finding),
        Guarantee::G6 => one_session::check(facts, &mut finding),
        Guarantee::G7 => redis::check(facts, &mut finding),
        Guarantee::G8 => identity::check(facts, &mut finding),
        Guarantee::Presence => presence::check(facts, &mut finding),
        Guarantee::Recovery => recovery::check(facts, &mut finding),
        Guarantee::Rows => rows::check(facts, &mut finding),
    }
    finding
}

/// A judgement for people, with the events that show each violation.
pub struct Told<'a> {
    pub judgement: &'a Judgement,
    pub entries: &'a [Entry],
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.iter().take(BEGINNING).any(|entry| entry.event == Event::Unacknowledged) {
            writeln!(f, "{}", unacknowledged::NOTICE)?;
        }
        for finding in &self.judgement.findings {
            let Finding { guarantee, judged, open, violated, violations } = finding;
            let (title, verdict) = (guarantee.title(), finding.verdict().name());
            let verdict = if *judged == 0 && *open == 0 { "not tested" } else { verdict };
            write!(f, "{:<8} {title:<31} {verdict:<10} {judged} judged", format!("{guarantee:?}"))?;
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

#[cfg(test)]
mod tests;
