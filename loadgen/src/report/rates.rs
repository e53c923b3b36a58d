//! What runs at one rate after another came to, in every form: the parts that a search for the capacity and a sweep
//! have in common.

use crate::analyse::capacity::{Probe, Purpose};
use crate::report::plot::{Axis, Mark, Plot, Scale, Series, draw_twofold};
use crate::report::{self, duration, escape, rate};
use owo_colors::{OwoColorize, Style};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Curves that have a colour of their own.
pub const MAX_CURVES: usize = 4;
/// What a reader of the plot has to know.
pub const LEGEND: &str = "carried: reached those it is for within the measured time, on the left axis; p99 of the \
    slowest path, dashed, on the right";

/// The columns of every table.
const COLUMNS: [&str; 6] = ["rate/s", "sent/s", "carried/s", "p50", "p99", "result"];

/// The runs of one subject, and its knee.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Empty where there is only one.
    pub name: &'a str,
    pub probes: &'a [Probe],
    /// What the knee is called, and at how many messages per second.
    pub knee: Option<(&'a str, f64)>,
}

/// One run, for a person who watches.
pub fn line(probe: &Probe) -> String {
    let p99 = probe.p99.map_or("-".into(), duration);
    format!("{:>10}/s  p99 {p99:>9}  {}", rate(probe.rate), result(probe))
}

/// A row for each run, by rate, for a terminal.
pub fn table(probes: &[Probe]) -> String {
    let [first, rest @ .., _] = COLUMNS;
    let mut text = format!("{first:>10}");
    rest.iter().for_each(|column| text.push_str(&format!("{column:>12}")));
    text.push_str("  \n");
    for probe in by_rate(probes) {
        let [first, rest @ .., result] = cells(probe);
        let style = if probe.passed { Style::new().green() } else { Style::new().red() };
        text.push_str(&format!("{first:>10}"));
        rest.iter().for_each(|cell| text.push_str(&format!("{cell:>12}")));
        // Writing to memory cannot fail, here and below.
        let _ = writeln!(text, "  {}", coloured(&result, style));
    }
    text
}

/// The same as Markdown.
pub fn markdown(probes: &[Probe]) -> String {
    let mut text = format!("| {} |\n|--:|--:|--:|--:|--:|:--|\n", COLUMNS.join(" | "));
    for probe in by_rate(probes) {
        let _ = writeln!(text, "| {} |", cells(probe).map(|cell| report::markdown_text(&cell)).join(" | "));
    }
    text
}

/// The same as markup.
pub fn html(probes: &[Probe]) -> String {
    let mut text = String::from("<div class=\"wide\"><table><thead><tr>");
    COLUMNS.iter().for_each(|column| text.push_str(&format!("<th>{column}")));
    text.push_str("</thead><tbody>");
    for probe in by_rate(probes) {
        let [first, rest @ ..] = cells(probe).map(|cell| escape(&cell));
        let class = if probe.passed { "passed" } else { "failed" };
        let _ = write!(text, "<tr><th><i class=\"{class}\"></i>{first}");
        rest.iter().for_each(|cell| text.push_str(&format!("<td>{cell}")));
    }
    text.push_str("</tbody></table></div>");
    text
}

/// The header of [`csv`].
pub const CSV_HEADER: &str = "rate_per_s,purpose,passed,sent_per_s,delivered_per_s,p50_us,p99_us,carried_per_s";

/// One run as a row, in the order made.
pub fn csv(probe: &Probe) -> String {
    let [p50, p99] = [probe.p50, probe.p99].map(|micros| micros.map_or(String::new(), |micros| micros.to_string()));
    let purpose = match probe.purpose {
        Purpose::Search => "search",
        Purpose::Confirm => "confirm",
        Purpose::Step => "step",
    };
    let Probe { rate, passed, sent_per_second, delivered_per_second, carried_per_second, .. } = probe;
    format!(
        "{rate:.1},{purpose},{passed},{sent_per_second:.1},{delivered_per_second:.1},{p50},{p99},\
         {carried_per_second:.1}"
    )
}

/// What was offered against what was carried, and how fast, of every subject; their knees are marked.
pub fn plot(subjects: &[Shown<'_>]) -> String {
    let title = "messages per second offered";
    let axis = |show| Axis { title, scale: Scale::Logarithmic, show };
    // The first lie on top.
    let (mut carried, mut latency, mut marks) = (Vec::new(), Vec::from(dots(subjects)), Vec::new());
    for (place, subject) in subjects.iter().enumerate() {
        let class = format!("subject-{}", 1 + place % MAX_CURVES);
        let name = |what: &str| match subject.name {
            "" => what.to_owned(),
            name => format!("{name}: {what}"),
        };
        carried.push(Series {
            name: name("carried"),
            class: class.clone(),
            points: medians(subject.probes, |probe| Some(probe.carried_per_second).filter(|carried| *carried > 0.0)),
            dots: false,
        });
        latency.push(Series {
            name: name("p99"),
            class: class.clone(),
            points: medians(subject.probes, |probe| probe.p99.map(|micros| micros as f64)),
            dots: false,
        });
        if let Some((what, at)) = subject.knee {
            marks.push(Mark { at, name: format!("{} {}/s", name(what), rate(at)), class });
        }
    }
    let offered = subjects.iter().flat_map(|subject| subject.probes).map(|probe| (probe.rate, probe.rate));
    let mut offered: Vec<(f64, f64)> = offered.collect();
    offered.sort_by(|one, other| one.0.total_cmp(&other.0));
    carried.push(Series { name: "offered".into(), class: "offered".into(), points: offered, dots: false });
    let plot = |title: &str, show, series| Plot {
        title: title.to_owned(),
        x: axis(rate),
        y: axis(show),
        series,
        gap: f64::INFINITY,
        to: 0.0,
    };
    let micros = |value: f64| duration(value.round() as u64);
    draw_twofold(&plot("carried by offered rate", rate, carried), &plot("p99 by offered rate", micros, latency), &marks)
}

/// Every run's latency, and whether it passed.
fn dots(subjects: &[Shown<'_>]) -> [Series; 2] {
    [("passed", true), ("failed", false)].map(|(name, passed)| {
        let probes = subjects.iter().flat_map(|subject| subject.probes).filter(|probe| probe.passed == passed);
        let points = probes.filter_map(|probe| Some((probe.rate, probe.p99? as f64))).collect();
        Series { name: name.into(), class: name.into(), points, dots: true }
    })
}

/// One point for each rate, of several runs the one in the middle.
fn medians(probes: &[Probe], value: impl Fn(&Probe) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for probe in probes {
        at.entry(probe.rate as u64).or_default().extend(value(probe));
    }
    let points = at.into_iter().filter_map(|(rate, mut values)| {
        values.sort_by(f64::total_cmp);
        Some((rate as f64, *values.get(values.len() / 2)?))
    });
    points.collect()
}

fn cells(probe: &Probe) -> [String; 6] {
    let [p50, p99] = [probe.p50, probe.p99].map(|micros| micros.map_or("-".into(), duration));
    [rate(probe.rate), rate(probe.sent_per_second), rate(probe.carried_per_second), p50, p99, result(probe)]
}

fn result(probe: &Probe) -> String {
    let confirming = if probe.purpose == Purpose::Confirm { "confirming: " } else { "" };
    if probe.passed {
        format!("{confirming}passed")
    } else {
        format!("{confirming}failed, {}", probe.reasons.join("; "))
    }
}

fn by_rate(probes: &[Probe]) -> Vec<&Probe> {
    let mut probes: Vec<&Probe> = probes.iter().collect();
    probes.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    probes
}

/// In this style, where standard output takes colours.
pub fn coloured(text: &str, style: Style) -> String {
    if report::is_coloured() { text.style(style).to_string() } else { text.to_owned() }
}
