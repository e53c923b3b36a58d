//! A sweep: as a table, JSON, CSV, Markdown, and a page that has all subjects on one plot.

use super::rates::{self, Shown, coloured};
use crate::analyse::sweep::{Curve, Sweep};
use crate::plan::show_time;
use crate::report::{self, escape, rate};
use owo_colors::Style;
use std::fmt::Write;

/// All curves and their knees, one below the other.
pub fn table(sweep: &Sweep) -> String {
    let mut text = String::new();
    for curve in &sweep.curves {
        let headline = coloured(&headline(curve), Style::new().bold());
        // Writing to memory cannot fail, here and below.
        let _ = write!(text, "{}\n{}\n{headline}\nlimit: {}\n\n", curve.name, rates::table(&curve.probes), curve.limit);
    }
    text.pop();
    text
}

/// Everything, as JSON.
pub fn json(sweep: &Sweep) -> String {
    let mut text = serde_json::to_string_pretty(sweep).expect("a sweep has text keys");
    text.push('\n');
    text
}

/// One row per run.
pub fn csv(sweep: &Sweep) -> String {
    let mut text = format!("subject,{}\n", rates::CSV_HEADER);
    for curve in &sweep.curves {
        // A name is nobody's to fill with commas: they would be columns.
        let name = curve.name.replace([',', '"', '\n'], " ");
        curve.probes.iter().for_each(|probe| text.push_str(&format!("{name},{}\n", rates::csv(probe))));
    }
    text
}

/// All curves and their knees, as Markdown.
pub fn markdown(sweep: &Sweep) -> String {
    let mut text = String::new();
    for curve in &sweep.curves {
        let [headline, limit] = [headline(curve), curve.limit.clone()].map(|text| report::markdown_text(&text));
        let _ = write!(text, "**{headline}**  \nlimit: {limit}\n\n{}\n", rates::markdown(&curve.probes));
    }
    text
}

/// A page with all subjects side by side.
pub fn html(sweep: &Sweep) -> String {
    let is_whole = !sweep.interrupted && sweep.curves.iter().all(|curve| curve.knee.is_some());
    let (class, badge) = if is_whole { ("valid", "found") } else { ("unknown", "incomplete") };
    let headlines: Vec<String> = sweep.curves.iter().map(headline).collect();
    let mut body =
        format!("<header><h1><span class=\"badge {class}\">{badge}</span>{}</h1>", escape(&headlines.join("; ")));
    body.push_str("<ul class=\"notes\">");
    for assertion in &sweep.assertions {
        let _ = write!(body, "<li class=\"good\">required: {}</li>", escape(assertion));
    }
    for curve in &sweep.curves {
        let _ = write!(body, "<li class=\"note\">{}: {}</li>", escape(&curve.name), escape(&curve.limit));
    }
    if sweep.interrupted {
        body.push_str("<li class=\"unknown\">interrupted before all rates were tried</li>");
    }
    let shown: Vec<Shown<'_>> = sweep.curves.iter().map(shown).collect();
    let _ = write!(
        body,
        "</ul></header><section><article><h2>Offered and carried, and how fast</h2>{}<p class=\"mix\">{}</p></article>\
         </section>",
        rates::plot(&shown),
        rates::LEGEND
    );
    for (place, curve) in sweep.curves.iter().enumerate() {
        let swatch = format!("<i class=\"subject-{}\"></i>", 1 + place % rates::MAX_CURVES);
        let _ =
            write!(body, "<section><h2>{swatch}{}</h2>{}</section>", escape(&curve.name), rates::html(&curve.probes));
    }
    let _ = write!(
        body,
        "<section><h2>How it was made</h2><dl class=\"about\"><dt>command<dd>{}<dt>machine<dd>{}<dt>began<dd>{}</dl>",
        escape(&sweep.command),
        escape(&sweep.machine.describe()),
        show_time(sweep.started_ms)
    );
    for curve in &sweep.curves {
        let plan = serde_json::to_string_pretty(&curve.plan).unwrap_or_default();
        let name = escape(&curve.name);
        let _ = write!(body, "<details><summary>The plan of {name}</summary><pre>{}</pre></details>", escape(&plan));
    }
    body.push_str("</section>");
    report::page("loadgen: sweep", &body)
}

fn shown(curve: &Curve) -> Shown<'_> {
    Shown { name: &curve.name, probes: &curve.probes, knee: curve.knee.map(|rate| ("knee", rate)) }
}

fn headline(curve: &Curve) -> String {
    match curve.knee {
        Some(knee) => format!("{}: the knee is at {} messages/s", curve.name, rate(knee)),
        None => format!("{}: no rate passed", curve.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::capacity::{Probe, Purpose};
    use crate::measure::Machine;
    use crate::plan::Plan;
    use insta::assert_snapshot;

    fn curve(name: &str, bears: f64) -> Curve {
        let probe = |rate: f64| Probe {
            rate,
            purpose: Purpose::Step,
            passed: rate <= bears,
            reasons: if rate <= bears { Vec::new() } else { vec!["p99 | too slow".into()] },
            broke_promise: false,
            limited_by_generator: false,
            sent_per_second: rate,
            delivered_per_second: rate,
            carried_per_second: rate.min(bears),
            p50: Some(400),
            p99: Some(if rate <= bears { 2_000 } else { 900_000 }),
        };
        Curve::of(name.into(), [1_000.0, 2_000.0, 4_000.0].map(probe).into(), Plan::default())
    }

    fn sweep() -> Sweep {
        Sweep {
            curves: vec![curve("ours", 9_000.0), curve("<classic>, old", 1_500.0)],
            assertions: vec!["p99(any) < 100ms".into()],
            command: "<b>".into(),
            machine: Machine::default(),
            started_ms: 0,
            interrupted: false,
        }
    }

    #[test]
    fn every_form_shows_the_curves_and_their_knees() {
        let sweep = sweep();
        assert_snapshot!("sweep_table", table(&sweep));
        assert_snapshot!("sweep_csv", csv(&sweep));
        assert_snapshot!("sweep_markdown", markdown(&sweep));
        assert_eq!(serde_json::from_str::<Sweep>(&json(&sweep)).expect("read back"), sweep);
    }

    #[test]
    fn the_page_has_all_subjects_on_one_plot_and_nothing_from_outside() {
        let page = html(&sweep());
        assert_eq!(page.matches("<svg").count(), 1);
        for part in
            ["ours: knee 4,000/s", "&lt;classic&gt;, old: knee 1,000/s", "ours: carried", "class=\"mark subject-2\""]
        {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<classic>") && !page.contains("<b>"));
    }
}
