//! The outcome as a table for pull requests and wikis.

use super::{duration, number};
use crate::outcome::Outcome;
use crate::recorder::Path;
use std::fmt::Write;

/// Latencies, the account, the verdict.
pub fn markdown(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to memory cannot fail.
    let _ = write_all(outcome, &mut text);
    text
}

fn write_all(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "**{}**: {} users, {:.0} messages/s sent, {:.0}/s delivered, qos {}, {:.1} s\n",
        outcome.verdict.name(),
        outcome.plan.users,
        outcome.sent_per_second(),
        outcome.delivered_per_second(),
        outcome.plan.qos,
        outcome.measured_s
    )?;
    writeln!(text, "| path | count | p50 | p90 | p99 | p99.9 | max |\n|---|---:|---:|---:|---:|---:|---:|")?;
    for path in Path::ALL {
        let Some(latencies) = outcome.paths.get(&path) else { continue };
        let values = [50.0, 90.0, 99.0, 99.9].map(|percentile| duration(latencies.percentile(percentile))).join(" | ");
        let (count, max) = (number(latencies.count()), duration(latencies.max()));
        writeln!(text, "| {} | {count} | {values} | {max} |", path.title())?;
    }
    let counts = outcome.account.counts().map(|(name, count)| format!("{name} {}", number(count)));
    writeln!(text, "\n{}", counts.join(", "))?;
    for checked in &outcome.assertions {
        let word = if checked.passed { "holds" } else { "**failed**" };
        writeln!(text, "- `{}` {word}: {}", checked.assertion, checked.found)?;
    }
    let mut remarks = outcome.reasons.iter().chain(&outcome.warnings);
    remarks.try_for_each(|remark| writeln!(text, "- {remark}"))
}
