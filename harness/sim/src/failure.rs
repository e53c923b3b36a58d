//! How a schedule failed, such that two failures can be compared: a smaller schedule counts only if it fails the same
//! way.

use crate::workers::{LIMIT, Lived};
use judge::{Guarantee, Judgement, Verdict};
use std::fmt;

/// What is wrong with what became of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Promises that were broken, the contract's first.
    Broken(Vec<Guarantee>),
    /// Something beside the history: a node that ended by itself, somebody who could not log in.
    Problem(String),
    /// Nothing is known to be wrong, and not everything is known.
    Open,
    Died(String),
    Hung,
    /// It went another way the second time.
    Strayed,
}

impl Failure {
    /// How it failed; `None` if it did not.
    pub fn of(lived: &Lived) -> Option<Failure> {
        let report = match lived {
            Lived::Told(report) if report.verdict == Verdict::Valid => return None,
            Lived::Told(report) => report,
            Lived::Died(words) => return Some(Failure::Died(words.clone())),
            Lived::Hung => return Some(Failure::Hung),
        };
        let broken = broken(&judge::check(&report.entries));
        Some(match report.problems.first() {
            _ if !broken.is_empty() => Failure::Broken(broken),
            Some(problem) => Failure::Problem(problem.clone()),
            None => Failure::Open,
        })
    }

    /// Whether `other` is the same failure: it breaks the first promise that this one breaks.
    pub fn is_same(&self, other: &Failure) -> bool {
        match (self, other) {
            (Failure::Broken(ours), Failure::Broken(theirs)) => {
                ours.first().is_some_and(|first| theirs.contains(first))
            }
            (Failure::Problem(ours), Failure::Problem(theirs)) => without_digits(ours) == without_digits(theirs),
            (Failure::Died(ours), Failure::Died(theirs)) => place(ours) == place(theirs),
            (ours, theirs) => ours == theirs,
        }
    }

    /// What the whole run comes to, if this is the worst in it.
    pub fn verdict(&self) -> Verdict {
        if *self == Failure::Open { Verdict::Unknown } else { Verdict::Invalid }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broken(promises) => {
                let told: Vec<String> = promises.iter().map(|one| format!("{one} ({})", one.title())).collect();
                write!(f, "breaks {}", told.join(", "))
            }
            Failure::Problem(problem) => write!(f, "ends badly: {problem}"),
            Failure::Open => f.write_str("leaves open what became of some messages"),
            Failure::Died(words) => write!(f, "ends its process: {}", place(words)),
            Failure::Hung => write!(f, "hangs: it has no end after {} s", LIMIT.as_secs()),
            Failure::Strayed => f.write_str("goes another way the second time"),
        }
    }
}

fn broken(judgement: &Judgement) -> Vec<Guarantee> {
    let broken = judgement.findings.iter().filter(|finding| finding.violated > 0);
    broken.map(|finding| finding.guarantee).collect()
}

fn without_digits(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Where it panicked, or else the first of its last words.
fn place(words: &str) -> &str {
    let panicked = words.lines().find(|line| line.contains(" panicked at "));
    panicked.and_then(|line| line.split(" panicked at ").nth(1)).or(words.lines().next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Guarantee::{DeliveredOnce, Durable, InOrder};

    #[test]
    fn failures_are_the_same_where_the_first_promise_broken_is() {
        let broken = |promises: &[Guarantee]| Failure::Broken(promises.to_vec());
        let problem = |text: &str| Failure::Problem(text.into());
        let died = |text: &str| Failure::Died(text.into());
        for (one, other, same) in [
            (broken(&[Durable, InOrder]), broken(&[Durable]), true),
            (broken(&[InOrder]), broken(&[Durable, InOrder]), true),
            (broken(&[Durable]), broken(&[InOrder]), false),
            (broken(&[DeliveredOnce]), Failure::Hung, false),
            (problem("user 3 cannot log in"), problem("user 14 cannot log in"), true),
            (problem("user 3 cannot log in"), problem("node-1 ended"), false),
            (died("thread 'main' panicked at a.rs:1:2:\nten"), died("thread 'x' panicked at a.rs:1:2:\nfour"), true),
            (died("thread 'main' panicked at a.rs:1:2:\nten"), died("thread 'main' panicked at b.rs:1:2:\nten"), false),
            (Failure::Hung, Failure::Hung, true),
        ] {
            assert_eq!(one.is_same(&other), same, "{one:?} {other:?}");
        }
    }
}
