//! Promise: the HTML report and the live page draw their plots, complain of nothing and ask nobody else for anything.
//! They are opened in a browser; where none is installed that is said aloud, and the documents are judged by their text
//! alone.

mod live;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../support/running.rs"]
mod running;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../support/sse.rs"]
mod sse;

use loadgen::analyse::capacity::{Capacity, Probe, Purpose, Settings};
use loadgen::measure::{Latencies, LatencyKind, Machine, Outcome, Point, Second};
use loadgen::plan::Plan;
use serde_json::json;
use services::browser::checks::{PLOTS, check_alone, check_dark, check_drawn, say_that_there_is_no_browser};
use services::browser::{self, Page};
use strum::{EnumCount, IntoEnumIterator};

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

#[test]
fn the_report_draws_its_plots_and_asks_for_nothing() {
    let document = loadgen::report::html(&outcome());
    let plots = 4 + LatencyKind::COUNT;
    check_text(&document, plots);
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
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
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    let mut page = Page::start(&binary);

    let address = open(&mut page, &document);

    let drawn = page.evaluate(PLOTS);
    check_drawn(&drawn, 1);
    assert_eq!(drawn[0]["dots"], 4);
    check_alone(&page, &address);
}

#[test]
fn a_page_that_complains_and_asks_is_seen_to() {
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    let mut page = Page::start(&binary);
    open(&mut page, "<script>console.error('broken')</script><img src='http://127.0.0.1:9/outside.png'>");
    assert!(page.complaints().iter().any(|complaint| complaint.contains("broken")), "{:?}", page.complaints());
    assert!(page.requests().iter().any(|url| url.contains("outside.png")), "{:?}", page.requests());
}
