//! The outcome on one screen.

use super::{duration, number};
use crate::measure::{LatencyKind, Outcome};
use judge::Verdict;
use owo_colors::{OwoColorize, Style};
use std::fmt::Write;
use strum::IntoEnumIterator;

/// Errors shown; the JSON has all.
const SHOWN_ERRORS: usize = 8;

/// The table; coloured where standard output is a terminal and `NO_COLOR` is not set.
pub fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to memory cannot fail.
    let _ = head(outcome, &mut text)
        .and_then(|()| latencies(outcome, &mut text))
        .and_then(|()| account(outcome, &mut text))
        .and_then(|()| foot(outcome, &mut text));
    text
}

fn coloured(text: &str, style: Style) -> String {
    if super::is_coloured() { text.style(style).to_string() } else { text.to_owned() }
}

fn head(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    writeln!(text, "{}", super::subject(outcome))?;
    writeln!(text, "mix: {}\n", outcome.plan.mix_in_words())
}

fn latencies(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let titles = ["path", "count", "rate/s", "p50", "p90", "p99", "p99.9", "max"];
    let mut line = format!("{:<26}", titles[0]);
    for title in &titles[1..] {
        write!(line, "{title:>11}")?;
    }
    writeln!(text, "{}", coloured(&line, Style::new().bold()))?;
    for kind in LatencyKind::iter() {
        let Some(latencies) = outcome.latencies.get(&kind) else { continue };
        let rate = latencies.count() as f64 / outcome.measured_s.max(f64::MIN_POSITIVE);
        write!(text, "{:<26}{:>11}{rate:>11.0}", kind.title(), number(latencies.count()))?;
        for percentile in [50.0, 90.0, 99.0, 99.9] {
            write!(text, "{:>11}", duration(latencies.percentile(percentile)))?;
        }
        writeln!(text, "{:>11}", duration(latencies.max()))?;
    }
    writeln!(text)
}

fn account(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let account = &outcome.account;
    writeln!(
        text,
        "{} sent ({:.0}/s), {}, {} of {} deliveries made ({:.0}/s)",
        number(account.sent),
        outcome.sent_per_second(),
        super::acknowledged(outcome),
        number(account.delivered),
        number(account.expected),
        outcome.delivered_per_second(),
    )?;
    let bad = ["lost", "duplicated", "reordered", "phantom", "misdelivered", "altered", "unknown"];
    let shown: Vec<String> = account
        .counts()
        .iter()
        .filter(|(name, _)| bad.contains(name))
        .map(|(name, count)| {
            let style = if *count == 0 { Style::new() } else { Style::new().red().bold() };
            coloured(&format!("{name} {}", number(*count)), style)
        })
        .collect();
    writeln!(text, "{}", shown.join("  "))?;
    let also: Vec<String> = account
        .counts()
        .iter()
        .filter(|(name, count)| ["refused", "resent", "redelivered", "foreign"].contains(name) && *count > 0)
        .map(|(name, count)| format!("{name} {}", number(*count)))
        .collect();
    if !also.is_empty() {
        writeln!(text, "{}", also.join("  "))?;
    }
    Ok(())
}

fn foot(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    for (kind, count) in outcome.errors.iter().take(SHOWN_ERRORS) {
        writeln!(text, "error: {} × {kind}", number(*count))?;
    }
    if outcome.errors.len() > SHOWN_ERRORS {
        writeln!(text, "error: {} further kinds, see the JSON", outcome.errors.len() - SHOWN_ERRORS)?;
    }
    if outcome.measured_s > 0.0 {
        writeln!(text, "{}; drained in {:.1} s", super::cpu(outcome), outcome.drained_s)?;
        writeln!(text, "memory: {}", super::memory(outcome))?;
    }
    if let Some(clocks) = super::clocks(outcome) {
        writeln!(text, "clocks: {clocks}")?;
    }
    for done in &outcome.interventions {
        writeln!(text, "done to this run {done}")?;
    }
    for warning in &outcome.warnings {
        writeln!(text, "note: {warning}")?;
    }
    for checked in &outcome.assertions {
        let style = if checked.holds { Style::new() } else { Style::new().red().bold() };
        writeln!(text, "{}", coloured(&checked.to_string(), style))?;
    }
    let style = match outcome.verdict {
        Verdict::Valid => Style::new().green().bold(),
        Verdict::Unknown => Style::new().yellow().bold(),
        Verdict::Invalid => Style::new().red().bold(),
    };
    let reasons = if outcome.reasons.is_empty() { String::new() } else { format!(": {}", outcome.reasons.join("; ")) };
    let failed = super::failed_assertions(outcome);
    let failed = failed.map_or(String::new(), |failed| coloured(&format!("; {failed}"), Style::new().red().bold()));
    writeln!(text, "{}{reasons}{failed}", coloured(outcome.verdict.name(), style))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::report::tests::outcome;
    use insta::assert_snapshot;

    #[test]
    fn an_outcome_is_told_in_full() {
        assert_snapshot!("table", table(&outcome()));
        let failed = Outcome::failed(Plan::default(), "nobody could log in".into());
        assert_snapshot!("table_of_a_failed_run", table(&failed));
    }
}
