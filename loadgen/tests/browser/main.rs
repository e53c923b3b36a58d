//! Promise: the HTML report and the live page draw their plots, complain of nothing and ask nobody else for anything.
//! They are opened in a browser; where none is installed that is said aloud, and the documents are judged by their text
//! alone.

mod devtools;
mod live;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../support/running.rs"]
mod running;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../support/sse.rs"]
mod sse;

use devtools::Page;
use loadgen::analyse::capacity::{Capacity, Probe, Purpose, Settings};
use loadgen::measure::{Latencies, LatencyKind, Machine, Outcome, Point, Second};
use loadgen::plan::Plan;
use serde_json::{Value, json};
use std::io::Write;
use strum::{EnumCount, IntoEnumIterator};

/// What every plot of a page is: how many lines and dots it has, how large they are on the screen, and how long.
const PLOTS: &str = r#"[...document.querySelectorAll("figure.plot svg")].map(svg => ({
    width: svg.getBoundingClientRect().width,
    labels: [...svg.querySelectorAll("text")].filter(text => text.getBoundingClientRect().width > 0).length,
    lines: [...svg.querySelectorAll("path")].map(path => path.getTotalLength()),
    strokes: [...svg.querySelectorAll("path")].map(path => getComputedStyle(path).stroke),
    dots: svg.querySelectorAll("circle").length,
}))"#;
/// Stands wherever text from outside can stand, and would be seen as a request and on the console.
const HOSTILE: &str = "</script><img src='http://outside.example/x' onerror='console.error(1)'>";

fn outcome() -> Outcome {
    let mut outcome = Outcome::failed(Plan { targets: vec![HOSTILE.into()], ..Plan::default() }, String::new());
    outcome.command = HOSTILE.into();
    outcome.measured_s = 20.0;
    outcome.errors.insert(HOSTILE.into(), 3);
    let mut random = fastrand::Rng::with_seed(1);
    for path in LatencyKind::iter() {
        let mut latencies = Latencies::default();
        (0..5_000).for_each(|_| latencies.record(300 + (2_000.0 / (0.002 + random.f64())) as u64));
        outcome.latencies.insert(path, latencies);
    }
    outcome.seconds = (0..20)
        .map(|second| {
            let p50 = random.u64(500..900);
            let point = Point { count: 500, p50, p99: p50 * 9, max: p50 * 40 };
            let latencies = LatencyKind::iter().map(|kind| (kind, point)).collect();
            Second { at_ms: second * 1_000, length_ms: 1_000, latencies, sent: 990 + second, delivered: 1_500 + second }
        })
        .collect();
    outcome
}

fn capacity() -> Capacity {
    let probe = |rate: f64, passed: bool| Probe {
        rate,
        purpose: Purpose::Search,
        passed,
        reasons: if passed { Vec::new() } else { vec![HOSTILE.into()] },
        broke_promise: false,
        limited_by_generator: false,
        sent_per_second: rate,
        delivered_per_second: rate,
        carried_per_second: rate.min(5_000.0),
        p50: Some(500),
        p99: Some((1_000.0 + rate * rate / 1e4) as u64),
    };
    Capacity {
        rate: Some(4_000.0),
        limit: HOSTILE.into(),
        settings: Settings { from: 1_000.0, to: 100_000.0, precision: 0.05, confirmations: 2 },
        assertions: vec![HOSTILE.into()],
        probes: vec![probe(1_000.0, true), probe(2_000.0, true), probe(4_000.0, true), probe(8_000.0, false)],
        plan: Plan::default(),
        command: HOSTILE.into(),
        machine: Machine::this(),
        started_ms: 0,
    }
}

/// Opens a document from a file, as a reader would.
fn open(page: &mut Page, document: &str) -> String {
    let file = tempfile::Builder::new().suffix(".html").tempfile().expect("a file");
    std::fs::write(file.path(), document).expect("written");
    let address = format!("file://{}", file.path().display());
    page.open(&address);
    address
}

fn check_alone(page: &Page, address: &str) {
    assert_eq!(page.complaints(), Vec::<String>::new());
    let outside: Vec<String> =
        page.requests().into_iter().filter(|url| url != address && !url.starts_with("data:")).collect();
    assert_eq!(outside, Vec::<String>::new(), "requests that leave the page");
}

fn check_drawn(plots: &Value, count: usize) {
    let plots = plots.as_array().expect("a list of plots");
    assert_eq!(plots.len(), count);
    for plot in plots {
        assert!(plot["width"].as_f64() > Some(300.0) && plot["labels"].as_u64() >= Some(6), "{plot}");
        let lines = plot["lines"].as_array().expect("a list of lines");
        assert!(!lines.is_empty() && lines.iter().all(|length| length.as_f64() > Some(50.0)), "{plot}");
        let strokes = plot["strokes"].as_array().expect("a list of colours");
        assert!(strokes.iter().all(|stroke| stroke != "none"), "{plot}");
    }
}

fn check_pointer(page: &mut Page) {
    let middle = page.evaluate(
        r#"(() => { const box = document.querySelector("figure.plot svg").getBoundingClientRect();
            return [box.left + box.width / 2, box.top + box.height / 2]; })()"#,
    );
    page.ask("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": middle[0], "y": middle[1] }));
    let tip = page.evaluate(
        r#"(() => { const tip = document.querySelector("figure.plot .tip");
            return [tip.hidden, tip.textContent]; })()"#,
    );
    assert_eq!(tip[0], false, "the pointer shows figures");
    let text = tip[1].as_str().expect("a text");
    assert!(text.contains("time") && text.contains("delivered"), "{text}");
}

fn check_dark(page: &mut Page) {
    let background = "getComputedStyle(document.body).backgroundColor";
    let mut in_scheme = |scheme: &str| {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        page.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
        page.evaluate(background)
    };
    assert_ne!(in_scheme("light"), in_scheme("dark"));
}

/// What can be said without a browser.
fn check_text(document: &str, plots: usize) {
    assert_eq!(document.matches("<svg").count(), plots);
    assert_eq!(document.matches("<svg").count(), document.matches("</svg>").count());
    assert_eq!(document.matches("<script").count(), document.matches("</script>").count());
    assert!(document.contains("Content-Security-Policy") && document.contains("default-src 'none'"));
    for asking in
        ["<img", "<iframe", "<link rel=\"stylesheet\"", " src=\"", "@import", "url(", "fetch(", "XMLHttpRequest"]
    {
        assert!(!document.contains(asking), "{asking}");
    }
}

fn say_that_there_is_no_browser() {
    // Past the capture of the test harness: a check that was not made is never kept quiet.
    let text = "NO BROWSER FOUND (chromium, google-chrome, or CHROME=path): \
                pages were judged by their text only, or not at all";
    let _ = writeln!(std::io::stderr(), "\n*** {text} ***\n");
}

#[test]
fn the_report_draws_its_plots_and_asks_for_nothing() {
    let document = loadgen::report::html(&outcome());
    let plots = 4 + LatencyKind::COUNT;
    check_text(&document, plots);
    let Some(binary) = devtools::find() else { return say_that_there_is_no_browser() };
    let mut page = Page::start(&binary);

    let address = open(&mut page, &document);

    let drawn = page.evaluate(PLOTS);
    check_drawn(&drawn, plots);
    check_pointer(&mut page);
    check_dark(&mut page);
    check_alone(&page, &address);
    let stored = page.evaluate(r#"JSON.parse(document.getElementById("outcome").textContent).command"#);
    assert_eq!(stored, HOSTILE, "the page holds the whole result");
}

#[test]
fn the_curve_of_a_capacity_is_drawn() {
    let document = loadgen::report::capacity::html(&capacity());
    check_text(&document, 1);
    let Some(binary) = devtools::find() else { return say_that_there_is_no_browser() };
    let mut page = Page::start(&binary);

    let address = open(&mut page, &document);

    let drawn = page.evaluate(PLOTS);
    check_drawn(&drawn, 1);
    assert_eq!(drawn[0]["dots"], 4);
    check_alone(&page, &address);
}

#[test]
fn a_page_that_complains_and_asks_is_seen_to() {
    let Some(binary) = devtools::find() else { return say_that_there_is_no_browser() };
    let mut page = Page::start(&binary);
    open(&mut page, "<script>console.error('broken')</script><img src='http://127.0.0.1:9/outside.png'>");
    assert!(page.complaints().iter().any(|complaint| complaint.contains("broken")), "{:?}", page.complaints());
    assert!(page.requests().iter().any(|url| url.contains("outside.png")), "{:?}", page.requests());
}
