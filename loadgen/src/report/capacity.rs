//! What a search found: as a table, JSON, CSV, Markdown, and a page with the curve of rate against latency.

use super::rates::{self, Shown, coloured};
use crate::analyse::capacity::Capacity;
use crate::plan::show_time;
use crate::report::{self, escape, rate};
use owo_colors::Style;
use std::fmt::Write;

/// The curve and the capacity, on one screen.
pub fn table(capacity: &Capacity) -> String {
    let headline = coloured(&headline(capacity), Style::new().bold());
    format!("{}\n{headline}\nlimit: {}\n", rates::table(&capacity.probes), capacity.limit)
}

/// Everything, as JSON.
pub fn json(capacity: &Capacity) -> String {
    let mut text = serde_json::to_string_pretty(capacity).expect("a capacity has text keys");
    text.push('\n');
    text
}

/// One row per run.
pub fn csv(capacity: &Capacity) -> String {
    let rows: Vec<String> = capacity.probes.iter().map(rates::csv).collect();
    format!("{}\n{}\n", rates::CSV_HEADER, rows.join("\n"))
}

/// The curve and the capacity, as Markdown.
pub fn markdown(capacity: &Capacity) -> String {
    let limit = report::markdown_text(&capacity.limit);
    format!("**{}**  \nlimit: {limit}\n\n{}", headline(capacity), rates::markdown(&capacity.probes))
}

/// A page with the curve.
pub fn html(capacity: &Capacity) -> String {
    let class = if capacity.rate.is_some() { "valid" } else { "invalid" };
    let badge = if capacity.rate.is_some() { "found" } else { "none" };
    let mut body =
        format!("<header><h1><span class=\"badge {class}\">{badge}</span>{}</h1>", escape(&headline(capacity)));
    // Writing to memory cannot fail, here and below.
    let _ = write!(body, "<p class=\"mix\">limit: {}</p><ul class=\"notes\">", escape(&capacity.limit));
    for assertion in &capacity.assertions {
        let _ = write!(body, "<li class=\"good\">required: {}</li>", escape(assertion));
    }
    let knee = capacity.rate.map(|rate| ("capacity", rate));
    let drawn = rates::plot(&[Shown { name: "", probes: &capacity.probes, knee }]);
    let _ = write!(
        body,
        "</ul></header><section class=\"narrow\"><article><h2>Offered and carried, and how fast</h2>{drawn}\
         <p class=\"mix\">{}</p></article></section>",
        rates::LEGEND
    );
    let _ = write!(body, "<section><h2>Every run, by rate</h2>{}</section>", rates::html(&capacity.probes));
    let plan = serde_json::to_string_pretty(&capacity.plan).unwrap_or_default();
    let _ = write!(
        body,
        "<section><h2>How it was made</h2><dl class=\"about\">\
         <dt>command<dd>{}<dt>machine<dd>{}<dt>began<dd>{}</dl><details><summary>The whole plan</summary>\
         <pre>{}</pre></details></section>",
        escape(&capacity.command),
        escape(&capacity.machine.describe()),
        show_time(capacity.started_ms),
        escape(&plan)
    );
    report::page("loadgen: capacity", &body)
}

fn headline(capacity: &Capacity) -> String {
    match capacity.rate {
        Some(found) => format!("capacity: {} messages/s, {}", rate(found), confirmed(capacity.settings.confirmations)),
        None => "no capacity was found".into(),
    }
}

fn confirmed(runs: u32) -> String {
    match runs {
        0 => "not confirmed".into(),
        1 => "confirmed by 1 run".into(),
        runs => format!("confirmed by {runs} runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::capacity::{Probe, Purpose, Settings};
    use crate::measure::Machine;
    use crate::plan::Plan;
    use insta::assert_snapshot;

    fn probe(rate: f64, purpose: Purpose, reasons: &[&str]) -> Probe {
        Probe {
            rate,
            purpose,
            passed: reasons.is_empty(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
            broke_promise: false,
            limited_by_generator: false,
            sent_per_second: rate - 0.5,
            delivered_per_second: 1.2 * rate,
            carried_per_second: (rate - 1.0).min(6_000.0),
            p50: Some(500),
            p99: (rate < 9_000.0).then_some(1_000 + rate as u64),
        }
    }

    fn capacity() -> Capacity {
        Capacity {
            rate: Some(4_760.0),
            limit: "at 5000/s: too slow".into(),
            settings: Settings { from: 1_000.0, to: 100_000.0, precision: 0.05, confirmations: 2 },
            assertions: vec!["p99(any) < 50ms".into()],
            probes: vec![
                probe(1_000.0, Purpose::Search, &[]),
                probe(10_000.0, Purpose::Search, &["nothing was received", "a | b"]),
                probe(4_760.0, Purpose::Search, &[]),
                probe(5_000.0, Purpose::Search, &["too slow"]),
                probe(4_760.0, Purpose::Confirm, &[]),
                probe(4_760.0, Purpose::Confirm, &[]),
            ],
            plan: Plan::default(),
            command: "<b>".into(),
            machine: Machine::default(),
            started_ms: 0,
        }
    }

    #[test]
    fn every_form_shows_the_curve_and_the_capacity() {
        let capacity = capacity();
        assert_snapshot!("capacity_table", table(&capacity));
        assert_snapshot!("capacity_csv", csv(&capacity));
        assert_snapshot!("capacity_markdown", markdown(&capacity));
        assert_snapshot!("capacity_line", rates::line(&capacity.probes[3]));
        assert_snapshot!("capacity_table_none", table(&Capacity { rate: None, ..capacity.clone() }));
        assert_eq!(serde_json::from_str::<Capacity>(&json(&capacity)).expect("read back"), capacity);
    }

    #[test]
    fn a_page_has_the_curve_and_nothing_from_outside() {
        let page = html(&capacity());
        assert!(page.contains("<circle") && page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    }
}
