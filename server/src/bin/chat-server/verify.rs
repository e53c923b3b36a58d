//! `chat-server verify`: whether the database is as it must be.

use anyhow::Context;
use chat::config::{self, Config};
use chat::storage;
use chat::storage::verify::{Finding, Part, Wrong, verify_all};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Findings that are listed; beyond it they are only counted.
const MOST_LISTED: usize = 1_000;
/// The longest that one page may take, of a log with many millions of messages.
const PAGE_TIMEOUT_MS: u64 = 600_000;
/// Pages come one after the other; none is needed beside.
const CONNECTIONS: u32 = 1;
/// Something is wrong that may break a promise.
const DAMAGED: u8 = 1;
/// It could not be found out.
const UNKNOWN: u8 = 2;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each log has all its messages, cursors lie within their logs, groups and their members agree, \
friendship is mutual, sessions are somebody's. It reads page by page, and can be run beside nodes on MySQL; a SQLite \
file must not be in use.\n\nExit code 0: all is well, or only untidy; 1: something is damaged; 2: it could not be \
found out."
)]
pub struct Arguments {
    /// Repair what can only get better by it: cursors and logs that end where they should not
    #[arg(long)]
    repair: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Configuration file (TOML) whose database.url to verify [default: the SQLite file chat.db]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    is_sound: bool,
    /// Rows, by part.
    checked: BTreeMap<Part, u64>,
    counts: BTreeMap<Wrong, u64>,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        *self.counts.entry(finding.wrong).or_default() += 1;
        if self.findings.len() < MOST_LISTED {
            self.findings.push(finding);
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { wrong, what, is_repaired } in &self.findings {
            let weight = if wrong.is_damage() { "damaged" } else { "untidy" };
            let repaired = if *is_repaired { " (repaired)" } else { "" };
            text.push_str(&format!("{weight}: {}: {what}{repaired}\n", name(wrong)));
        }
        let found: u64 = self.counts.values().sum();
        if found > self.findings.len() as u64 {
            text.push_str(&format!("… and {} more\n", found - self.findings.len() as u64));
        }
        let checked: Vec<String> =
            self.checked.iter().map(|(part, rows)| format!("{rows} {}", name(part).replace('_', " "))).collect();
        let verdict = match (self.is_sound, found) {
            (true, 0) => "all is well",
            (true, _) => "nothing is damaged",
            (false, _) => "the database is damaged",
        };
        text.push_str(&format!("{verdict}: {}, {found} findings", checked.join(", ")));
        text
    }
}

/// As JSON has it.
fn name(of: &impl Serialize) -> String {
    let name = serde_json::to_value(of).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}

pub async fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    match verify(arguments, config).await {
        Ok(report) => {
            match arguments.json {
                true => println!("{}", serde_json::json!(report)),
                false => println!("{}", report.text()),
            }
            if report.is_sound { ExitCode::SUCCESS } else { DAMAGED.into() }
        }
        Err(error) => {
            eprintln!("chat-server: {error:#}");
            UNKNOWN.into()
        }
    }
}

async fn verify(arguments: &Arguments, config: &Config) -> anyhow::Result<Report> {
    let database = config::Database {
        timeout_ms: config.database.timeout_ms.max(PAGE_TIMEOUT_MS),
        connections: CONNECTIONS,
        ..config.database.clone()
    };
    let storage = storage::open_existing(&database).await.context("cannot verify the database")?;
    let mut report = Report::default();
    let checked = verify_all(&*storage, arguments.repair, |finding| report.add(finding)).await;
    report.checked = checked.context("cannot verify the database")?.into_iter().collect();
    report.is_sound = !report.counts.keys().any(|wrong| wrong.is_damage());
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(wrong: Wrong, what: &str, is_repaired: bool) -> Finding {
        Finding { wrong, what: what.into(), is_repaired }
    }

    #[test]
    fn report_tells_what_is_damaged_and_what_is_untidy() {
        let mut report = Report { checked: Part::ALL.map(|part| (part, 3)).into(), ..Report::default() };
        report.add(finding(Wrong::MessagesMissing, "d3-17: 43 to 44", false));
        report.add(finding(Wrong::CursorPastEnd, "user 3 of g5: has received 9, and the log ends at 7", true));
        report.add(finding(Wrong::UserGone, "user 4, in group 5", false));

        assert_eq!(
            report.text(),
            "damaged: messages_missing: d3-17: 43 to 44\n\
             damaged: cursor_past_end: user 3 of g5: has received 9, and the log ends at 7 (repaired)\n\
             untidy: user_gone: user 4, in group 5\n\
             the database is damaged: 3 logs, 3 members, 3 group users, 3 friends, 3 sessions, 3 findings"
        );
    }

    #[test]
    fn more_findings_than_are_listed_are_counted() {
        let mut report = Report { is_sound: true, ..Report::default() };
        (0..MOST_LISTED + 2).for_each(|_| report.add(finding(Wrong::UserGone, "user 4", false)));

        let text = report.text();

        assert!(text.ends_with("… and 2 more\nnothing is damaged: , 1002 findings"), "{text}");
        assert_eq!(serde_json::json!(report)["counts"]["user_gone"], 1_002);
    }
}
