//! A probe's report for people, and for programs.

use super::{Report, Sureness};
use std::fmt::Write;

/// The report as JSON.
pub fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report has text keys");
    text.push('\n');
    text
}

/// The report for a person.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to memory cannot fail.
    let _ = write_all(report, &mut text);
    text
}

fn write_all(report: &Report, text: &mut String) -> std::fmt::Result {
    let target = &report.target;
    if let Some(found) = &report.found {
        let name = found.profile.map_or("framed, no profile needed".to_owned(), |name| format!("profile {name}"));
        let nearly = if found.differs.is_empty() { "" } else { "nearly " };
        writeln!(text, "{target}: {nearly}{name}, {}", sureness(found.sureness))?;
        for step in &found.steps {
            let sign = if step.seen { "yes" } else { "no " };
            writeln!(text, "  {sign} {:<24} {}", step.what, step.detail)?;
        }
        for difference in &found.differs {
            writeln!(text, "  differs: {difference}")?;
        }
        writeln!(text, "measure it: {}", found.command)?;
        if let Some(file) = &found.file {
            writeln!(text, "where FILE holds:\n\n{file}")?;
        }
    }
    if let Some(failure) = &report.failure {
        writeln!(text, "{target}: {failure}")?;
        for tried in &report.tries {
            writeln!(text, "  {}: {}", tried.what, tried.result)?;
        }
    }
    if let Some(advice) = &report.advice {
        writeln!(text, "{advice}")?;
    }
    if !report.users.is_empty() {
        writeln!(text, "users made, and left there: {}", report.users.join(", "))?;
    }
    Ok(())
}

fn sureness(sureness: Sureness) -> &'static str {
    match sureness {
        Sureness::Sure => "sure: a message arrived",
        Sureness::Likely => "likely",
        Sureness::Guess => "a guess",
    }
}
