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

#[cfg(test)]
mod tests {
    use super::super::{Found, Step, Try};
    use super::*;
    use insta::assert_snapshot;

    fn found() -> Found {
        let step = |what, seen, detail: &str| Step { what, seen, detail: detail.into() };
        Found {
            dialect: "bare",
            profile: Some("course"),
            sureness: Sureness::Sure,
            steps: vec![step("framing", true, "bare"), step("logout", false, "not answered")],
            differs: vec!["type_key is \"type\"".into()],
            file: Some("type_key = \"type\"\n".into()),
            command: "loadgen run --profile FILE".into(),
        }
    }

    #[test]
    fn what_was_found_is_told_with_the_command_that_measures_it() {
        let report = Report {
            target: "127.0.0.1:6000".into(),
            found: Some(found()),
            users: vec!["lgprobe-1".into(), "lgprobe-2".into()],
            ..Report::default()
        };
        assert_snapshot!("probe_found", text(&report));
    }

    #[test]
    fn what_was_not_found_is_told_with_every_try() {
        let tried = Try { what: "bare".into(), result: "no answer".into(), milliseconds: 5 };
        let report = Report {
            target: "127.0.0.1:6000".into(),
            failure: Some("nothing was answered".into()),
            advice: Some("try --tls".into()),
            tries: vec![tried],
            ..Report::default()
        };
        assert_snapshot!("probe_failed", text(&report));
        assert_snapshot!("probe_json", json(&report));
    }
}
