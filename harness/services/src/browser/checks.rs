//! What every page of ours is asked for.

use super::Page;
use serde_json::{Value, json};
use std::io::Write;

/// What every plot of a page is: how many lines and dots it has, how large they are on the screen, and how long.
pub const PLOTS: &str = r#"[...document.querySelectorAll("figure.plot svg")].map(svg => ({
    width: svg.getBoundingClientRect().width,
    labels: [...svg.querySelectorAll("text")].filter(text => text.getBoundingClientRect().width > 0).length,
    lines: [...svg.querySelectorAll("path")].map(path => path.getTotalLength()),
    strokes: [...svg.querySelectorAll("path")].map(path => getComputedStyle(path).stroke),
    dots: svg.querySelectorAll("circle").length,
}))"#;
const PHONE_WIDTH: u32 = 390;

pub fn click(page: &mut Page, button: &str) {
    page.until(&format!("document.querySelector('{button}').disabled === false"));
    page.evaluate(&format!("document.querySelector('{button}').click()"));
}

/// The page complained of nothing, and asked only for what is at its own address.
pub fn check_alone(page: &Page, address: &str) {
    assert_eq!(page.complaints(), Vec::<String>::new());
    let is_ours = |url: &String| url.starts_with(address) || url.starts_with("data:");
    let outside: Vec<String> = page.requests().into_iter().filter(|url| !is_ours(url)).collect();
    assert_eq!(outside, Vec::<String>::new(), "requests that leave the page");
}

pub fn check_drawn(plots: &Value, count: usize) {
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

pub fn check_dark(page: &mut Page) {
    let background = "getComputedStyle(document.body).backgroundColor";
    let mut in_scheme = |scheme: &str| {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        page.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
        page.evaluate(background)
    };
    assert_ne!(in_scheme("light"), in_scheme("dark"));
}

pub fn check_phone(page: &mut Page) {
    let phone = json!({ "width": PHONE_WIDTH, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    page.ask("Emulation.setDeviceMetricsOverride", phone);
    page.until(&format!("innerWidth === {PHONE_WIDTH} && document.documentElement.scrollWidth <= innerWidth"));
    let smallest =
        page.evaluate("Math.min(...[...document.querySelectorAll('button')].map(button => button.offsetHeight))");
    assert!(smallest.as_u64() >= Some(40), "a finger needs more than {smallest}");
}

pub fn say_that_there_is_no_browser() {
    // Past the capture of the test harness: a check that was not made is never kept quiet.
    let text = "NO BROWSER FOUND (chromium, google-chrome, or CHROME=path): \
                pages were judged by their text only, or not at all";
    let _ = writeln!(std::io::stderr(), "\n*** {text} ***\n");
}
