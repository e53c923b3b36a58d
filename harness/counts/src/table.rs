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
    match (change.verdict, change.stored, change.now) {
        (Verdict::Same, ..) => String::new(),
        (Verdict::Incomparable, ..) => "not compared".into(),
        (Verdict::Unknown, Some(_), _) => "NO LONGER COUNTED".into(),
        (Verdict::Unknown, ..) => "NOT STORED".into(),
        (verdict, Some(stored), Some(now)) => {
            let percent = if stored > 0.0 { format!("{:+.1} %", (now / stored - 1.0) * 100.0) } else { "new".into() };
            percent + if verdict == Verdict::RoseTooFar { " ROSE TOO FAR" } else { "" }
        }
        (_, _, _) => String::new(),
    }
}
