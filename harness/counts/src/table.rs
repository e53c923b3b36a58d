//! A comparison as a table for people.

use crate::stored::{Comparison, Fate, TOLERANCE, Verdict};
use std::fmt::Write;

pub fn of(comparison: &Comparison) -> String {
    let mut text = format!("{:<54} {:<12} {:>9} {:>9}  change\n", "what", "unit", "stored", "now");
    for change in &comparison.changes {
        let [stored, now, became] = columns(change.fate);
        let line = format!("{:<54} {:<12} {stored:>9} {now:>9}  {became}", change.what, change.unit);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let [stored, now] = &comparison.compilers;
    if comparison.has(Verdict::Incomparable) {
        let _ = writeln!(text, "\ninstructions are not compared: stored with rustc {stored}, and this is {now}");
    }
    if comparison.has(Verdict::Fell) {
        text += "\nsome fell: ci/counts --store keeps what was won\n";
    }
    if !comparison.is_good() {
        let percent = TOLERANCE * 100.0;
        let _ = writeln!(text, "\nFAILED: see above. If a rise of more than {percent} % is meant: ci/counts --store");
    }
    text
}

/// What is stored, what it is now, and what became of it in words.
fn columns(fate: Fate) -> [String; 3] {
    match fate {
        Fate::Compared { stored, now, verdict } => [stored.to_string(), now.to_string(), words(stored, now, verdict)],
        Fate::NotStored { now } => ["-".into(), now.to_string(), "NOT STORED".into()],
        Fate::NoLongerCounted { stored } => [stored.to_string(), "-".into(), "NO LONGER COUNTED".into()],
    }
}

fn words(stored: f64, now: f64, verdict: Verdict) -> String {
    match verdict {
        Verdict::Same => String::new(),
        Verdict::Incomparable => "not compared".into(),
        Verdict::RoseTooFar => percent(stored, now) + " ROSE TOO FAR",
        Verdict::Rose | Verdict::Fell => percent(stored, now),
    }
}

/// From nothing there is no percentage.
fn percent(stored: f64, now: f64) -> String {
    if stored > 0.0 { format!("{:+.1} %", (now / stored - 1.0) * 100.0) } else { "new".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::{Unit, samples::stored};

    #[test]
    fn each_change_is_told() {
        let common = [("decode", Unit::Instructions, 1_000.0), ("relay", Unit::Statements, 0.0)];
        let before = [("join", Unit::Rows, 4.0), ("log in", Unit::Rows, 100.0), ("log out", Unit::Rows, 5.0)];
        let now = [("join", Unit::Rows, 3.0), ("log in", Unit::Rows, 104.0), ("register", Unit::Rows, 1.0)];
        let rose = |value| [("encode", Unit::Allocations, value)];
        let before = stored("1.95.0", &[&common[..], &before, &rose(2.0)].concat());
        let now = stored("1.96.0", &[&common[..], &now, &rose(3.0)].concat());
        insta::assert_snapshot!(of(&before.compare(&now)));
    }
}
