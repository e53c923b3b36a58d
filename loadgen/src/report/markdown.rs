//! The outcome as Markdown, for a pull request or a log book.

use super::{duration, number, rate, subject};
use crate::measure::{LatencyKind, Outcome};
use std::fmt::Write;
use strum::IntoEnumIterator;

/// The outcome as Markdown.
pub fn markdown(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to memory cannot fail.
    let _ =
        head(outcome, &mut text).and_then(|()| latencies(outcome, &mut text)).and_then(|()| rest(outcome, &mut text));
    text
}

fn head(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let reasons = if outcome.reasons.is_empty() { String::new() } else { format!(": {}", outcome.reasons.join("; ")) };
    let failed = super::failed_assertions(outcome).map_or(String::new(), |failed| format!("; **{failed}**"));
    writeln!(text, "**{}**{}{failed}\n", outcome.verdict.name(), escape(&reasons))?;
    writeln!(text, "{}  \nmix: {}\n", escape(&subject(outcome)), escape(&outcome.plan.mix_in_words()))
}

fn latencies(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    writeln!(text, "| path | count | rate/s | p50 | p90 | p99 | p99.9 | max |")?;
    writeln!(text, "|:--|--:|--:|--:|--:|--:|--:|--:|")?;
    for kind in LatencyKind::iter() {
        let Some(latencies) = outcome.latencies.get(&kind) else { continue };
        let per_second = latencies.count() as f64 / outcome.measured_s.max(f64::MIN_POSITIVE);
        write!(text, "| {} | {} | {} |", kind.title(), number(latencies.count()), rate(per_second))?;
        for percentile in [50.0, 90.0, 99.0, 99.9] {
            write!(text, " {} |", duration(latencies.percentile(percentile)))?;
        }
        writeln!(text, " {} |", duration(latencies.max()))?;
    }
    writeln!(text)
}

fn rest(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let counts = outcome.account.counts();
    let names: Vec<&str> = counts.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = counts.iter().map(|(_, count)| number(*count)).collect();
    writeln!(text, "| {} |\n|{}\n| {} |\n", names.join(" | "), "--:|".repeat(names.len()), values.join(" | "))?;
    for checked in &outcome.assertions {
        let sign = if checked.holds { "holds" } else { "**failed**" };
        writeln!(text, "- {sign}: `{}` (it is {})", checked.assertion.replace('`', "'"), checked.figure)?;
    }
    for done in &outcome.interventions {
        writeln!(text, "- done to this run {done}")?;
    }
    for (kind, count) in &outcome.errors {
        writeln!(text, "- error: {} × {}", number(*count), escape(kind))?;
    }
    for warning in &outcome.warnings {
        writeln!(text, "- note: {}", escape(warning))?;
    }
    if let Some(clocks) = super::clocks(outcome) {
        writeln!(text, "- clocks: {}", escape(&clocks))?;
    }
    for machine in &outcome.machines {
        writeln!(text, "- machine: {}", escape(&machine.describe()))?;
    }
    Ok(())
}

/// Text from outside as text: it makes no table cell, no markup and no line.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::new();
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => safe.push(' '),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' => safe.extend(['\\', letter]),
            '&' => safe.push_str("&amp;"),
            _ => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;

    #[test]
    fn an_outcome_is_told_in_full() {
        insta::assert_snapshot!(markdown(&outcome()));
    }

    #[test]
    fn text_from_outside_is_text() {
        assert_eq!(escape("a|b\n<script>*"), "a\\|b \\<script\\>\\*");
    }
}
