//! A story as one HTML page: the verdict promise by promise, and throughput, latency and loss before, during and after
//! each fault, with the faults shaded. It needs nothing else: no network, no other file.

pub mod simulation;

mod junit;
mod phases;

pub use junit::{junit, junit_without_end};

use crate::users::Conclusion;
use judge::Facts;
use loadgen::report::plot::{Axis, Plot, Scale, Series, Shade, draw_shaded};
use loadgen::report::{duration, escape, page, rate};
use phases::{Message, Phase};
use std::fmt::Write;

/// Points further apart than this many seconds are not joined.
const GAP_S: f64 = 1.6;

/// The story as a page. `about` says what was told, and `command` how to tell it again.
pub fn html(conclusion: &Conclusion, about: &str, command: &str) -> String {
    let facts = Facts::new(conclusion.entries());
    let (messages, phases) = (phases::messages(&facts), phases::phases(&facts));
    let verdict = conclusion.verdict().name();
    let mut body = format!(
        "<header><h1><span class=\"badge {verdict}\">{verdict}</span>{}</h1><p class=\"mix\">{}</p>\
         <p class=\"mix\">{}</p></header><section class=\"plots\">",
        escape(about),
        escape(&conclusion.summary.to_string()),
        escape(command)
    );
    for (title, plot) in plots(&messages) {
        // Writing to memory cannot fail, here and below.
        let _ = write!(body, "<article><h2>{title}</h2>{}</article>", draw_shaded(&plot, &shades(&phases)));
    }
    body.push_str("</section>");
    body.push_str(&phase_table(&messages, &phases));
    body.push_str(&promises(conclusion));
    let _ = write!(
        body,
        "<section><details><summary>All of it in words</summary><pre>{}</pre></details></section>",
        escape(&conclusion.to_string())
    );
    page(&format!("harness: {verdict}"), &body)
}

fn shades(phases: &[Phase]) -> Vec<Shade> {
    let faults = phases.iter().filter(|phase| phase.is_fault);
    faults.map(|phase| Shade { from: seconds(phase.from), to: seconds(phase.to), name: phase.name.clone() }).collect()
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn plots(messages: &[Message]) -> Vec<(&'static str, Plot)> {
    let time = Axis { title: "seconds", scale: Scale::Linear, show: |value| format!("{value:.0}") };
    let per_second = Axis { title: "per second", scale: Scale::Linear, show: rate };
    let latency = Axis { title: "latency", scale: Scale::Logarithmic, show: |value| duration(value as u64) };
    let plot = |title: &str, y, series| Plot { title: title.into(), x: time, y, series, gap: GAP_S, to: 0.0 };
    let acked = by_second(messages.iter().map(|message| (message.acked, message.acked - message.sent)));
    let arrived =
        messages.iter().flat_map(|message| message.delivered.iter().map(|at| (*at, at.saturating_sub(message.sent))));
    let arrived = by_second(arrived);
    let both = vec![count("acknowledged", "sent", &acked), count("delivered", "delivered", &arrived)];
    vec![
        ("Throughput", plot("messages per second", per_second, both)),
        (
            "Until acknowledged <small>by second of the acknowledgement</small>",
            plot("until acknowledged", latency, levels(&acked)),
        ),
        (
            "Until delivered <small>by second of the delivery</small>",
            plot("until delivered", latency, levels(&arrived)),
        ),
    ]
}

/// Latencies by the second in which they ended, each sorted.
fn by_second(measured: impl Iterator<Item = (u64, u64)>) -> Vec<Vec<u64>> {
    let mut all: Vec<Vec<u64>> = Vec::new();
    for (at, latency) in measured {
        let second = (at / 1_000_000) as usize;
        all.resize_with(all.len().max(second + 1), Vec::new);
        all[second].push(latency);
    }
    all.iter_mut().for_each(|latencies| latencies.sort_unstable());
    all
}

fn count(name: &str, class: &str, by_second: &[Vec<u64>]) -> Series {
    let first = by_second.iter().position(|latencies| !latencies.is_empty()).unwrap_or_default();
    let points = by_second.iter().enumerate().skip(first);
    let points = points.map(|(second, latencies)| (second as f64 + 0.5, latencies.len() as f64)).collect();
    Series { name: name.into(), class: class.into(), points, dots: false }
}

fn levels(by_second: &[Vec<u64>]) -> Vec<Series> {
    let level = |name: &str, part: f64| {
        let points = by_second.iter().enumerate().filter(|(_, latencies)| !latencies.is_empty());
        let points = points.map(|(second, latencies)| (second as f64 + 0.5, percentile(latencies, part) as f64));
        Series { name: name.into(), class: format!("level-{name}"), points: points.collect(), dots: false }
    };
    vec![level("p50", 0.5), level("p99", 0.99), level("max", 1.0)]
}

/// Of sorted values; 0 if there are none.
fn percentile(sorted: &[u64], part: f64) -> u64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.max(1) - 1).copied().unwrap_or_default()
}

/// Messages are counted where they were sent.
fn phase_table(messages: &[Message], phases: &[Phase]) -> String {
    let mut text = String::from(
        "<section><h2>Before, during and after each fault <small>messages by when they were sent</small></h2>\
         <div class=\"wide\"><table><thead><tr><th></th><th>from</th><th>for</th><th>sent</th><th>ack p50</th>\
         <th>p99</th><th>delivery p50</th><th>p99</th><th>lost</th></tr></thead><tbody>",
    );
    for phase in phases {
        let sent: Vec<&Message> =
            messages.iter().filter(|message| (phase.from..phase.to).contains(&message.sent)).collect();
        let mut acks: Vec<u64> = sent.iter().map(|message| message.acked - message.sent).collect();
        let delays = sent.iter().flat_map(|message| message.delivered.iter().map(|at| at.saturating_sub(message.sent)));
        let mut delays: Vec<u64> = delays.collect();
        acks.sort_unstable();
        delays.sort_unstable();
        let lost: usize = sent.iter().map(|message| message.lost).sum();
        let level =
            |sorted: &[u64], part| if sorted.is_empty() { "–".into() } else { duration(percentile(sorted, part)) };
        let _ = write!(
            text,
            "<tr><th>{}</th><td>{:.1} s</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{lost}</td></tr>",
            escape(&phase.name),
            seconds(phase.from),
            duration(phase.to - phase.from),
            sent.len(),
            level(&acks, 0.5),
            level(&acks, 0.99),
            level(&delays, 0.5),
            level(&delays, 0.99)
        );
    }
    text.push_str("</tbody></table></div></section>");
    text
}

fn promises(conclusion: &Conclusion) -> String {
    let mut text = String::from(
        "<section><h2>Promise by promise</h2><div class=\"wide\"><table><thead><tr><th></th><th>verdict</th>\
         <th>judged</th><th>violated</th><th>open</th></tr></thead><tbody>",
    );
    for finding in &conclusion.judgement.findings {
        let verdict = if finding.judged + finding.open == 0 { "not tested" } else { finding.verdict().name() };
        let _ = write!(
            text,
            "<tr><th>{:?} {}</th><td>{verdict}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            finding.guarantee,
            escape(finding.guarantee.title()),
            finding.judged,
            finding.violated,
            finding.open
        );
    }
    text.push_str("</tbody></table></div></section>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::sample;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<u64> = (1..=100).collect();
        for (part, expected) in [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)] {
            assert_eq!(percentile(&sorted, part), expected);
        }
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn page_shows_every_phase_and_promise_and_escapes_what_it_shows() {
        let page = html(&sample(), "story chat <b>", "harness story chat --fault 'kill node-1'");
        for words in ["story chat &lt;b&gt;", "invalid", "kill node-1", "all well", "Until delivered"] {
            assert!(page.contains(words), "{words:?} is not in: {page}");
        }
        assert!(!page.contains("<b>"));
    }
}
