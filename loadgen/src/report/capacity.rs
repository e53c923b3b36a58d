//! What a search found: as a table, JSON, CSV, Markdown, and a page with the curve of rate against latency.

use crate::analyse::capacity::{Capacity, Probe, Purpose};
use crate::plan::show_time;
use crate::report::plot::{self, Axis, Plot, Scale, Series};
use crate::report::{self, duration, escape, rate};
use owo_colors::{OwoColorize, Style};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The curve and the capacity, on one screen.
pub fn table(capacity: &Capacity) -> String {
    let mut text = format!("{:>10}{:>12}{:>12}{:>12}{:>12}  \n", "rate/s", "sent/s", "delivered/s", "p50", "p99");
    for probe in by_rate(capacity) {
        let [p50, p99] = [probe.p50, probe.p99].map(|micros| micros.map_or("-".into(), duration));
        // Writing to memory cannot fail, here and below.
        let _ = writeln!(
            text,
            "{:>10}{:>12}{:>12}{p50:>12}{p99:>12}  {}",
            rate(probe.rate),
            rate(probe.sent_per_second),
            rate(probe.delivered_per_second),
            coloured(&outcome(probe), if probe.passed { Style::new().green() } else { Style::new().red() }),
        );
    }
    let _ = writeln!(text, "\n{}\nlimit: {}", coloured(&headline(capacity), Style::new().bold()), capacity.limit);
    text
}

/// One run, for a person who watches.
pub fn line(probe: &Probe) -> String {
    let p99 = probe.p99.map_or("-".into(), duration);
    format!("{:>10}/s  p99 {p99:>9}  {}", rate(probe.rate), outcome(probe))
}

/// Everything, as JSON.
pub fn json(capacity: &Capacity) -> String {
    let mut text = serde_json::to_string_pretty(capacity).expect("a capacity has text keys");
    text.push('\n');
    text
}

/// One row per run.
pub fn csv(capacity: &Capacity) -> String {
    let mut text = String::from("rate_per_s,purpose,passed,sent_per_s,delivered_per_s,p50_us,p99_us\n");
    for probe in &capacity.probes {
        let [p50, p99] = [probe.p50, probe.p99].map(|micros| micros.map_or(String::new(), |micros| micros.to_string()));
        let purpose = if probe.purpose == Purpose::Search { "search" } else { "confirm" };
        let (sent, delivered) = (probe.sent_per_second, probe.delivered_per_second);
        let _ = writeln!(text, "{:.1},{purpose},{},{sent:.1},{delivered:.1},{p50},{p99}", probe.rate, probe.passed);
    }
    text
}

/// The curve and the capacity, as Markdown.
pub fn markdown(capacity: &Capacity) -> String {
    let mut text = format!("**{}**  \nlimit: {}\n\n", headline(capacity), report::markdown_text(&capacity.limit));
    text.push_str("| rate/s | sent/s | delivered/s | p50 | p99 | |\n|--:|--:|--:|--:|--:|:--|\n");
    for probe in by_rate(capacity) {
        let [p50, p99] = [probe.p50, probe.p99].map(|micros| micros.map_or("-".into(), duration));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {p50} | {p99} | {} |",
            rate(probe.rate),
            rate(probe.sent_per_second),
            rate(probe.delivered_per_second),
            report::markdown_text(&outcome(probe))
        );
    }
    text
}

/// A page with the curve.
pub fn html(capacity: &Capacity) -> String {
    let class = if capacity.rate.is_some() { "valid" } else { "invalid" };
    let badge = if capacity.rate.is_some() { "found" } else { "none" };
    let mut body =
        format!("<header><h1><span class=\"badge {class}\">{badge}</span>{}</h1>", escape(&headline(capacity)));
    let _ = write!(body, "<p class=\"mix\">limit: {}</p><ul class=\"notes\">", escape(&capacity.limit));
    for assertion in &capacity.assertions {
        let _ = write!(body, "<li class=\"good\">required: {}</li>", escape(assertion));
    }
    let drawn = plot::draw(&curve(capacity));
    let _ = write!(
        body,
        "</ul></header><section class=\"narrow\"><article><h2>Latency by rate <small>slowest path</small>\
         </h2>{drawn}</article></section>"
    );
    body.push_str(
        "<section><h2>Every run, by rate</h2><div class=\"wide\"><table><thead><tr>\
        <th>rate/s<th>sent/s<th>delivered/s<th>p50<th>p99<th>result</thead><tbody>",
    );
    for probe in by_rate(capacity) {
        let [p50, p99] = [probe.p50, probe.p99].map(|micros| micros.map_or("-".into(), duration));
        let class = if probe.passed { "passed" } else { "failed" };
        let _ = write!(body, "<tr><th><i class=\"{class}\"></i>{}", rate(probe.rate));
        let _ = write!(body, "<td>{}<td>{}", rate(probe.sent_per_second), rate(probe.delivered_per_second));
        let _ = write!(body, "<td>{p50}<td>{p99}<td>{}", escape(&outcome(probe)));
    }
    let plan = serde_json::to_string_pretty(&capacity.plan).unwrap_or_default();
    let _ = write!(
        body,
        "</tbody></table></div></section><section><h2>How it was made</h2><dl class=\"about\">\
         <dt>command<dd>{}<dt>machine<dd>{}<dt>began<dd>{}</dl><details><summary>The whole plan</summary>\
         <pre>{}</pre></details></section>",
        escape(&capacity.command),
        escape(&capacity.machine.describe()),
        show_time(capacity.started_ms),
        escape(&plan)
    );
    report::page("loadgen: capacity", &body)
}

fn curve(capacity: &Capacity) -> Plot {
    let micros = |value: f64| duration(value.round() as u64);
    let of = |name: &str, class: &str, dots: bool, shown: &dyn Fn(&Probe) -> bool| {
        let probes = by_rate(capacity).into_iter().filter(|probe| shown(probe));
        let points = probes.filter_map(|probe| Some((probe.rate, probe.p99? as f64))).collect();
        Series { name: name.into(), class: class.into(), points, dots }
    };
    let mut medians: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for probe in &capacity.probes {
        medians.entry(probe.rate as u64).or_default().extend(probe.p99);
    }
    let points = medians.into_iter().filter_map(|(rate, mut p99)| {
        p99.sort_unstable();
        Some((rate as f64, *p99.get(p99.len() / 2)? as f64))
    });
    let line = Series { name: "p99, median".into(), class: "curve".into(), points: points.collect(), dots: false };
    Plot {
        title: "p99 latency by rate".into(),
        x: Axis { title: "messages per second", scale: Scale::Logarithmic, show: rate },
        y: Axis { title: "p99", scale: Scale::Logarithmic, show: micros },
        series: vec![
            of("passed", "passed", true, &|probe| probe.passed),
            of("failed", "failed", true, &|probe| !probe.passed),
            line,
        ],
        gap: f64::INFINITY,
        to: 0.0,
    }
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

fn outcome(probe: &Probe) -> String {
    let confirming = if probe.purpose == Purpose::Confirm { "confirming: " } else { "" };
    if probe.passed {
        format!("{confirming}passed")
    } else {
        format!("{confirming}failed, {}", probe.reasons.join("; "))
    }
}

fn by_rate(capacity: &Capacity) -> Vec<&Probe> {
    let mut probes: Vec<&Probe> = capacity.probes.iter().collect();
    probes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    probes
}

fn coloured(text: &str, style: Style) -> String {
    if report::is_coloured() { text.style(style).to_string() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::capacity::Settings;
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
        assert_snapshot!("capacity_line", line(&capacity.probes[3]));
        assert_snapshot!("capacity_table_none", table(&Capacity { rate: None, ..capacity.clone() }));
        assert_eq!(serde_json::from_str::<Capacity>(&json(&capacity)).expect("read back"), capacity);
    }

    #[test]
    fn a_page_has_the_curve_and_nothing_from_outside() {
        let page = html(&capacity());
        assert!(page.contains("<circle") && page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    }
}
