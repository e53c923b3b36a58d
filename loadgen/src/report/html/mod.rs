//! The outcome as one HTML page that needs nothing else: no network, no other file, light or dark as the reader has it.
//!
//! The plots are SVG made by [`plot`]; a small script shows the figures under the pointer, and without it nothing is
//! lost. Everything that came from outside (names, errors, the command) is escaped, and a policy in the page forbids
//! every request.

pub mod plot;
mod sections;

use super::{duration, rate};
use crate::measure::{LatencyKind, Outcome, Point, Second, spans};
use plot::{Axis, Plot, Scale, Series, Shade};
use std::fmt::Write;
use strum::IntoEnumIterator;

pub const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("pointer.js");
/// Nothing may be loaded from anywhere; only what stands in the page itself counts.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
    base-uri 'none'; form-action 'none'";
/// Seconds shorter than this many milliseconds, as the last one is, would show as peaks and pits.
const SHORTEST_SECOND_MS: u64 = 250;
/// Seconds further apart than this are not joined.
const GAP_S: f64 = 1.6;
/// Points of a curve per further nine.
const POINTS_PER_NINE: u32 = 8;

/// The outcome as a page.
pub fn html(outcome: &Outcome) -> String {
    let mut body = sections::head(outcome);
    body.push_str(&sections::tiles(outcome));
    body.push_str("<section class=\"plots\">");
    let shades = shades(outcome);
    for (title, drawn) in plots(outcome) {
        let shades = if drawn.to > 0.0 { &shades[..] } else { &[] };
        let _ = write!(body, "<article><h2>{title}</h2>{}</article>", plot::draw_shaded(&drawn, shades));
    }
    body.push_str("</section>");
    body.push_str(&sections::steered(outcome));
    body.push_str(&sections::paths(outcome));
    body.push_str(&sections::account(outcome));
    body.push_str(&sections::errors(outcome));
    body.push_str(&each_path(outcome));
    body.push_str(&sections::about(outcome));
    page(&format!("loadgen: {}", outcome.verdict.name()), &body)
}

/// A whole page around `body`, which is markup.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">\
         <title>{}</title><style>{STYLE}</style></head>\n<body><main>{body}</main><script>{SCRIPT}</script></body>\
         </html>\n",
        escape(title)
    )
}

/// Text from outside, for an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ if letter.is_control() && letter != '\n' && letter != '\t' => safe.push('\u{fffd}'),
            _ => safe.push(letter),
        }
    }
    safe
}

/// JSON within a `script`: nothing in it can end the element.
fn script_json(data: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The parts of the measured time in which somebody paused the run, or made a storm.
fn shades(outcome: &Outcome) -> Vec<Shade> {
    let spans = spans(&outcome.interventions).into_iter();
    spans.map(|span| Shade { from: span.from, to: span.to.unwrap_or(outcome.measured_s), name: span.name }).collect()
}

fn seconds_axis() -> Axis {
    Axis { title: "time", scale: Scale::Linear, show: seconds }
}

fn seconds(value: f64) -> String {
    format!("{value:.1} s").replace(".0 s", " s")
}

/// Microseconds on an axis and under the pointer.
pub(crate) fn micros(value: f64) -> String {
    duration(value.round() as u64)
}

/// A logarithmic axis of latencies, where a figure needs no more digits than it has.
pub(crate) fn latency_axis() -> Axis {
    Axis { title: "latency", scale: Scale::Logarithmic, show: micros }
}

/// The class of the colour of a path: the same in every plot.
pub fn class(kind: LatencyKind) -> String {
    format!("path-{}", kind.to_string().replace('_', "-"))
}

fn plots(outcome: &Outcome) -> Vec<(&'static str, Plot)> {
    let per_second = Axis { title: "per second", scale: Scale::Linear, show: rate };
    let nines = Axis { title: "percentile", scale: Scale::Nines, show: percent };
    let each = |value: OfPath| {
        shown_kinds(outcome).map(|kind| over_time(outcome, kind, kind.title(), class(kind), value)).collect::<Vec<_>>()
    };
    let timed = |title: &str, y, series| Plot {
        title: title.to_owned(),
        x: seconds_axis(),
        y,
        series,
        gap: GAP_S,
        to: outcome.measured_s,
    };
    let arrived = each(|second, point| point.count as f64 * 1e3 / second.length_ms as f64);
    let p99 = each(|_, point| point.p99 as f64);
    let curves = shown_kinds(outcome).map(|kind| curve(outcome, kind)).collect();
    let title = "latency by percentile".to_owned();
    let by_percentile = Plot { title, x: nines, y: latency_axis(), series: curves, gap: f64::INFINITY, to: 0.0 };
    vec![
        (
            "Throughput over time <small>messages per second</small>",
            timed("messages per second over time", per_second, throughput(outcome)),
        ),
        ("Latency over time <small>p99 of each second</small>", timed("p99 latency over time", latency_axis(), p99)),
        ("Latency by percentile", by_percentile),
        (
            "Each path's throughput over time <small>measured per second</small>",
            timed("measured per second over time", per_second, arrived),
        ),
    ]
}

fn percent(value: f64) -> String {
    let digits = format!("{value:.6}");
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn shown_kinds(outcome: &Outcome) -> impl Iterator<Item = LatencyKind> + '_ {
    LatencyKind::iter().filter(|kind| outcome.latencies.contains_key(kind))
}

fn throughput(outcome: &Outcome) -> Vec<Series> {
    let series = |name: &str, class: &str, count: fn(&Second) -> u64| {
        let points =
            seconds_of(outcome).map(|second| (end_s(second), count(second) as f64 * 1e3 / second.length_ms as f64));
        Series { name: name.into(), class: class.into(), points: points.collect(), dots: false }
    };
    vec![series("sent", "sent", |second| second.sent), series("delivered", "delivered", |second| second.delivered)]
}

/// The seconds that are long enough to show.
fn seconds_of(outcome: &Outcome) -> impl Iterator<Item = &Second> {
    outcome.seconds.iter().filter(|second| second.length_ms >= SHORTEST_SECOND_MS)
}

fn end_s(second: &Second) -> f64 {
    second.at_ms.saturating_add(second.length_ms) as f64 / 1e3
}

/// Takes a value of a path out of a second.
type OfPath = fn(&Second, &Point) -> f64;

fn over_time(outcome: &Outcome, kind: LatencyKind, name: &str, class: String, value: OfPath) -> Series {
    let points = seconds_of(outcome).filter_map(|second| {
        let point = second.latencies.get(&kind)?;
        Some((end_s(second), value(second, point)))
    });
    Series { name: name.into(), class, points: points.collect(), dots: false }
}

/// Latency by percentile, as far as there are values to tell percentiles apart; the last point is the highest value.
fn curve(outcome: &Outcome, kind: LatencyKind) -> Series {
    let latencies = &outcome.latencies[&kind];
    let last = (latencies.count().max(1) as f64).log10();
    let steps = (last * f64::from(POINTS_PER_NINE)) as u32;
    let percentiles = (0..=steps).map(|step| 100.0 - 100.0 * 10f64.powf(-f64::from(step) / f64::from(POINTS_PER_NINE)));
    let mut points: Vec<_> =
        percentiles.map(|percentile| (percentile, latencies.percentile(percentile) as f64)).collect();
    points.push((100.0 - 100.0 * 10f64.powf(-last), latencies.max() as f64));
    Series { name: kind.title().into(), class: class(kind), points, dots: false }
}

fn each_path(outcome: &Outcome) -> String {
    let mut text = String::from("<section><h2>Each path over time</h2><div class=\"plots\">");
    let shades = shades(outcome);
    for kind in shown_kinds(outcome) {
        let series = |name: &str, value| over_time(outcome, kind, name, format!("level-{name}"), value);
        let plot = Plot {
            title: format!("{} over time", kind.title()),
            x: seconds_axis(),
            y: latency_axis(),
            series: vec![
                series("p50", |_, point| point.p50 as f64),
                series("p99", |_, point| point.p99 as f64),
                series("max", |_, point| point.max as f64),
            ],
            gap: GAP_S,
            to: outcome.measured_s,
        };
        let swatch = format!("<i class=\"{}\"></i>", class(kind));
        let _ = write!(
            text,
            "<article><h3>{swatch}{}</h3>{}</article>",
            escape(kind.title()),
            plot::draw_shaded(&plot, &shades)
        );
    }
    text.push_str("</div></section>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;

    /// Stands wherever text from outside can stand.
    const HOSTILE: &str = "</script><img src=//outside.example/x onerror=alert(1)>\"'&";

    #[test]
    fn text_from_outside_stays_text() {
        let mut outcome = outcome();
        outcome.command = HOSTILE.into();
        outcome.nodes = vec![HOSTILE.into()];
        outcome.plan.targets = vec![HOSTILE.into()];
        outcome.plan.prefix = HOSTILE.into();
        outcome.errors.insert(HOSTILE.into(), 1);
        outcome.reasons.push(HOSTILE.into());
        outcome.warnings.push(HOSTILE.into());
        outcome.assertions[0].assertion = HOSTILE.into();
        outcome.machines[0].processor = HOSTILE.into();
        let page = html(&outcome);
        assert!(!page.contains("<img"), "markup from outside");
        assert_eq!(page.matches("<script").count(), page.matches("</script>").count());
    }

    #[test]
    fn a_page_has_its_plots_and_asks_for_nothing() {
        let page = html(&outcome());
        assert_eq!(page.matches("<svg").count(), 4 + outcome().latencies.len());
        for asking in ["http://", "https://", "url(", "@import", "src=", "fetch("] {
            assert!(!page.contains(asking), "{asking}");
        }
    }

    #[test]
    fn an_outcome_that_measured_nothing_makes_a_page() {
        let failed = Outcome::failed(crate::plan::Plan::default(), "nobody could log in".into());
        let page = html(&failed);
        assert!(page.contains("nobody could log in") && page.contains("Nothing was measured"));
    }

    #[test]
    fn percentiles_have_as_many_nines_as_they_need() {
        for (value, text) in [(0.0, "0 %"), (90.0, "90 %"), (99.9, "99.9 %"), (99.999, "99.999 %")] {
            assert_eq!(percent(value), text);
        }
    }
}
