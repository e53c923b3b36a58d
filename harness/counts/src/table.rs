//! A comparison as a table for people.

use crate::stored::{Change, Comparison, TOLERANCE, Verdict};
use std::fmt::Write;

pub fn of(comparison: &Comparison) -> String {
    let mut text = format!("{:<54} {:<12} {:>9} {:>9}  change\n", "what", "unit", "stored", "now");
    for change in &comparison.changes {
        let [stored, now] =
            [change.stored, change.now].map(|value| value.map_or("-".into(), |value| value.to_string()));
        let line = format!("{:<54} {:<12} {stored:>9} {now:>9}  {}", change.what, change.unit, words(change));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let [stored, now] = &comparison.compilers;
    if comparison.count(Verdict::Incomparable) > 0 {
        let _ = writeln!(text, "\ninstructions are not compared: stored with rustc {stored}, and this is {now}");
    }
    if comparison.count(Verdict::Fell) > 0 {
        text += "\nsome fell: ci/counts --store keeps what was won\n";
    }
    if !comparison.is_good() {
        let percent = TOLERANCE * 100.0;
        let _ = writeln!(text, "\nFAILED: see above. If a rise of more than {percent} % is meant: ci/counts --store");
    }
    text
}

fn words(change: &Change) -> String {
    match change.verdict {
        Verdict::Same => String::new(),
        Verdict::Incomparable => "not compared".into(),
        Verdict::NoLongerCounted => "NO LONGER COUNTED".into(),
        Verdict::NotStored => "NOT STORED".into(),
        Verdict::RoseTooFar => percent(change) + " ROSE TOO FAR",
        Verdict::Rose | Verdict::Fell => percent(change),
    }
}

/// From nothing there is no percentage.
fn percent(change: &Change) -> String {
    match (change.stored, change.now) {
        (Some(stored), Some(now)) if stored > 0.0 => format!("{:+.1} %", (now / stored - 1.0) * 100.0),
        _ => "new".into(),
    }
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
