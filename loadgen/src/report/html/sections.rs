//! The parts of the page that are not plots: the verdict, the chief figures, the tables, and how the run was made.

use super::{class, escape, script_json};
use crate::measure::{LatencyKind, Outcome};
use crate::plan::show_time;
use crate::report::{self, duration, number, rate, subject};
use judge::Verdict;
use std::fmt::Write;
use strum::IntoEnumIterator;

/// Counts that no server may cause.
const BAD: [&str; 7] = ["lost", "duplicated", "reordered", "phantom", "misdelivered", "altered", "unknown"];

/// Verdict, subject, reasons, notes and assertions.
pub fn head(outcome: &Outcome) -> String {
    let verdict = outcome.verdict.name();
    let failed = report::failed_assertions(outcome);
    let failed = failed.map_or(String::new(), |failed| format!("<span class=\"badge invalid\">{failed}</span>"));
    let mut text = format!(
        "<header><h1><span class=\"badge {verdict}\">{verdict}</span>{failed}{}</h1><p class=\"mix\">{}</p>",
        escape(&subject(outcome)),
        escape(&outcome.plan.mix_in_words())
    );
    // Writing to memory cannot fail, here and below.
    if outcome.started_ms > 0 {
        let _ = write!(text, "<p class=\"mix\">began {}</p>", show_time(outcome.started_ms));
    }
    text.push_str("<ul class=\"notes\">");
    let reason = if outcome.verdict == Verdict::Unknown { "unknown" } else { "bad" };
    outcome.reasons.iter().for_each(|text_of| note(&mut text, reason, text_of));
    for checked in &outcome.assertions {
        note(&mut text, if checked.holds { "good" } else { "bad" }, &checked.to_string());
    }
    outcome.warnings.iter().for_each(|warning| note(&mut text, "note", warning));
    text.push_str("</ul></header>");
    text
}

fn note(text: &mut String, class: &str, note: &str) {
    let _ = write!(text, "<li class=\"{class}\">{}</li>", escape(note));
}

/// The figures to look at first.
pub fn tiles(outcome: &Outcome) -> String {
    let slowest = [LatencyKind::Same, LatencyKind::Cross, LatencyKind::Direct, LatencyKind::GroupLast];
    let slowest =
        slowest.iter().filter_map(|kind| Some((outcome.latencies.get(kind)?.percentile(99.0), kind.title()))).max();
    let late = outcome.latencies.get(&LatencyKind::Lateness).map(|late| duration(late.percentile(99.0)));
    let account = &outcome.account;
    let bad = account.violations().saturating_add(account.unknown);
    let cpu = 100.0 * outcome.resources.generator_cpu_s / outcome.measured_s.max(f64::MIN_POSITIVE);
    let memory = format!("{} MB", outcome.resources.memory_bytes / 1_000_000);
    let mut text = String::from("<section class=\"tiles\">");
    tile(
        &mut text,
        "sent per second",
        &rate(outcome.sent_per_second()),
        &format!("{} in all", number(account.sent)),
        "",
    );
    let delivered = format!("{} of {}", number(account.delivered), number(account.expected));
    tile(&mut text, "delivered per second", &rate(outcome.delivered_per_second()), &delivered, "");
    if let Some((p99, title)) = slowest {
        tile(&mut text, "p99, slowest path", &duration(p99), title, "");
    }
    let (class, what) =
        if bad == 0 { ("good", "every message accounted for") } else { ("bad", "lost, doubled, out of place") };
    tile(&mut text, "violations", &number(bad), what, class);
    if let Some(late) = late {
        let class = if outcome.is_limited_by_generator() { "bad" } else { "" };
        tile(&mut text, "lateness p99", &late, "the generator's own", class);
    }
    tile(&mut text, "generator", &format!("{cpu:.0} %"), &format!("of one core, {memory}"), "");
    text.push_str("</section>");
    text
}

fn tile(text: &mut String, name: &str, figure: &str, detail: &str, class: &str) {
    let [name, figure, detail] = [name, figure, detail].map(escape);
    let _ = write!(text, "<div class=\"tile {class}\"><span>{name}</span><b>{figure}</b><small>{detail}</small></div>");
}

/// Count, rate and percentiles of each path.
pub fn paths(outcome: &Outcome) -> String {
    let mut text = String::from(
        "<section><h2>Latency of each path</h2><div class=\"wide\"><table><thead><tr>\
         <th>path<th>count<th>rate/s<th>mean<th>p50<th>p90<th>p99<th>p99.9<th>max</thead><tbody>",
    );
    for kind in LatencyKind::iter() {
        let Some(latencies) = outcome.latencies.get(&kind) else { continue };
        let per_second = latencies.count() as f64 / outcome.measured_s.max(f64::MIN_POSITIVE);
        let _ = write!(text, "<tr><th><i class=\"{}\"></i>{}", class(kind), escape(kind.title()));
        let _ = write!(
            text,
            "<td>{}<td>{}<td>{}",
            number(latencies.count()),
            rate(per_second),
            duration(latencies.mean() as u64)
        );
        for percentile in [50.0, 90.0, 99.0, 99.9] {
            let _ = write!(text, "<td>{}", duration(latencies.percentile(percentile)));
        }
        let _ = write!(text, "<td>{}", duration(latencies.max()));
    }
    text.push_str("</tbody></table></div></section>");
    text
}

/// What became of every message.
pub fn account(outcome: &Outcome) -> String {
    let mut text = String::from("<section><h2>What became of every message</h2><dl class=\"account\">");
    for (name, count) in outcome.account.counts().into_iter().chain([("unsent", outcome.unsent)]) {
        let class = match (BAD.contains(&name), count) {
            (true, 0) => "good",
            (true, _) => "bad",
            (false, _) => "",
        };
        let _ = write!(text, "<div class=\"{class}\"><dt>{name}<dd>{}</div>", number(count));
    }
    text.push_str("</dl></section>");
    text
}

/// What somebody did to the run, where anybody did.
pub fn steered(outcome: &Outcome) -> String {
    if outcome.interventions.is_empty() {
        return String::new();
    }
    let mut text = String::from("<section><h2>What was done to this run</h2><ul class=\"notes\">");
    outcome.interventions.iter().for_each(|done| note(&mut text, "note", &done.to_string()));
    text.push_str("</ul></section>");
    text
}

/// Errors by kind, where there were any.
pub fn errors(outcome: &Outcome) -> String {
    if outcome.errors.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("<section><h2>Errors</h2><div class=\"wide\"><table><thead><tr><th>kind<th>count</thead><tbody>");
    for (kind, count) in &outcome.errors {
        let _ = write!(text, "<tr><th>{}<td>{}", escape(kind), number(*count));
    }
    text.push_str("</tbody></table></div></section>");
    text
}

/// How the run was made, and the whole result for whoever wants to look closer.
pub fn about(outcome: &Outcome) -> String {
    let mut text = String::from("<section><h2>How it was made</h2><dl class=\"about\">");
    let plan = serde_json::to_string_pretty(&outcome.plan).unwrap_or_default();
    let machines: Vec<String> = outcome.machines.iter().map(crate::measure::Machine::describe).collect();
    let online = format!(
        "{} at the start, {} at the end; {} logins",
        outcome.online.0,
        outcome.online.1,
        number(outcome.logins)
    );
    let rows = [
        ("command", outcome.command.clone()),
        ("machine", machines.join("\n")),
        ("clocks", report::clocks(outcome).unwrap_or_default()),
        ("nodes", outcome.nodes.join(", ")),
        ("users online", online),
        ("CPU", report::cpu(outcome)),
        ("memory", report::memory(outcome)),
        ("drained in", format!("{:.1} s", outcome.drained_s)),
        ("seed", outcome.plan.seed.to_string()),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(text, "<dt>{name}<dd>{}", escape(value));
    }
    let _ =
        write!(text, "</dl><details><summary>The whole plan</summary><pre>{}</pre></details></section>", escape(&plan));
    let _ = write!(text, "<script type=\"application/json\" id=\"outcome\">{}</script>", script_json(outcome));
    text
}
