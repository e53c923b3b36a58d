//! A comparison for a person: a table, or Markdown.

use crate::analyse::compare::{Comparison, Finding, Row, Unit};
use crate::report;
use owo_colors::{OwoColorize, Style};
use std::fmt::Write;

/// The titles of the columns.
const TITLES: [&str; 5] = ["metric", "before", "after", "change", "interval"];

/// What the comparison comes to, in one line.
pub fn summary(comparison: &Comparison) -> String {
    let judged = || comparison.rows.iter().filter(|row| row.is_of_the_server());
    let of = |finding: Finding| {
        let rows = judged().filter(|row| row.finding == finding);
        let told = rows.map(|row| match &row.change {
            Some(change) => format!("{} {}", row.metric, percent(change.estimate)),
            None => row.metric.clone(),
        });
        told.collect::<Vec<_>>().join(", ")
    };
    let parts = [("worse", of(Finding::Worse)), ("better", of(Finding::Better))];
    let parts: Vec<String> =
        parts.into_iter().filter(|(_, rows)| !rows.is_empty()).map(|(what, rows)| format!("{what}: {rows}")).collect();
    if !parts.is_empty() {
        parts.join("; ")
    } else if judged().any(|row| row.finding == Finding::Noise) {
        "unchanged within noise".into()
    } else {
        "too little was measured to tell".into()
    }
}

/// The comparison on one screen; coloured where standard output is a terminal and `NO_COLOR` is not set.
pub fn table(comparison: &Comparison) -> String {
    let coloured = report::is_coloured();
    let mut text = String::new();
    let [metric, before, after, change, interval] = TITLES;
    // Writing to memory cannot fail.
    let _ = writeln!(text, "{metric:<20}{before:>12}{after:>12}{change:>10}{interval:>22}  finding");
    for row in &comparison.rows {
        let [before, after, change, interval] = cells(row);
        let finding = if coloured { finding(row).style(style(row)).to_string() } else { finding(row).to_owned() };
        let _ = writeln!(text, "{:<20}{before:>12}{after:>12}{change:>10}{interval:>22}  {finding}", row.metric);
    }
    let _ = writeln!(text, "\n{}", ground(comparison));
    for note in &comparison.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// The comparison as Markdown.
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!("| {} | finding |\n|:--|--:|--:|--:|--:|:--|\n", TITLES.join(" | "));
    for row in &comparison.rows {
        let finding = if row.finding == Finding::Worse { "**worse**" } else { finding(row) };
        let _ = writeln!(text, "| {} | {} | {finding} |", row.metric, cells(row).join(" | "));
    }
    let _ = writeln!(text, "\n{}\n", ground(comparison));
    for note in &comparison.notes {
        let _ = writeln!(text, "- {}", note.replace('|', "\\|").replace('<', "&lt;"));
    }
    text
}

fn ground(comparison: &Comparison) -> String {
    let samples = if comparison.by_runs { "run to run" } else { "second to second" };
    format!("change: of the typical sample, {samples}; interval: {} % confidence", 100.0 * comparison.confidence)
}

fn cells(row: &Row) -> [String; 4] {
    let figure = |value: f64| match row.unit {
        Unit::Micros => report::duration(value.round() as u64),
        Unit::PerSecond => format!("{}/s", report::rate(value)),
        Unit::Violations => report::rate(value),
    };
    let (change, interval) = match &row.change {
        Some(change) => (percent(change.estimate), format!("{} to {}", percent(change.low), percent(change.high))),
        None => ("-".to_owned(), "-".to_owned()),
    };
    [figure(row.base), figure(row.new), change, interval]
}

/// A factor less 1, in per cent; past tenfold as a factor.
fn percent(change: f64) -> String {
    if change >= 9.0 { format!("×{:.0}", change + 1.0) } else { format!("{:+.1} %", 100.0 * change) }
}

fn finding(row: &Row) -> &'static str {
    match row.finding {
        Finding::Better => "better",
        Finding::Worse => "worse",
        Finding::Noise => "noise",
        Finding::Unknown => "not judged",
    }
}

fn style(row: &Row) -> Style {
    match row.finding {
        Finding::Better => Style::new().green(),
        Finding::Worse => Style::new().red().bold(),
        Finding::Noise | Finding::Unknown => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::compare::Change;
    use insta::assert_snapshot;

    fn row(metric: &str, unit: Unit, sides: [f64; 2], change: Option<[f64; 3]>, finding: Finding) -> Row {
        let change = change.map(|[estimate, low, high]| Change { estimate, low, high });
        Row { metric: metric.into(), unit, base: sides[0], new: sides[1], change, finding }
    }

    #[test]
    fn what_is_shown_says_figures_change_and_finding() {
        let comparison = Comparison {
            rows: vec![
                row("sent_rate", Unit::PerSecond, [1_000.0, 1_001.0], Some([0.001, -0.02, 0.021]), Finding::Noise),
                row("p50(cross)", Unit::Micros, [900.0, 450.0], Some([-0.5, -0.52, -0.48]), Finding::Better),
                row("p99(cross)", Unit::Micros, [1_000.0, 12_000.0], Some([11.0, 10.5, 11.5]), Finding::Worse),
                row("max(cross)", Unit::Micros, [9_000.0, 2_500_000.0], None, Finding::Unknown),
                row("lost", Unit::Violations, [0.0, 1.0], None, Finding::Worse),
            ],
            notes: vec!["the two sides differ in rate: 1 | 2 and <3>".into()],
            confidence: 0.99,
            by_runs: false,
        };
        assert_snapshot!("compare_table", table(&comparison));
        assert_snapshot!("compare_markdown", markdown(&comparison));
        assert_eq!(summary(&comparison), "worse: p99(cross) ×12, lost; better: p50(cross) -50.0 %");
    }

    #[test]
    fn what_did_not_change_is_said_to_be_unchanged_within_noise() {
        let told = |findings: &[(&str, Finding)]| {
            let rows = findings.iter().map(|(metric, finding)| row(metric, Unit::Micros, [1.0, 1.0], None, *finding));
            summary(&Comparison { rows: rows.collect(), notes: Vec::new(), confidence: 0.99, by_runs: true })
        };
        let lateness = ("p99(lateness)", Finding::Worse);
        assert_eq!(
            told(&[("p50(ack)", Finding::Noise), ("max(ack)", Finding::Unknown), lateness]),
            "unchanged within noise"
        );
        assert_eq!(told(&[("p50(ack)", Finding::Unknown)]), "too little was measured to tell");
    }
}
