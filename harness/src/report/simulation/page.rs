//! A failure as one HTML page: the promise, a timeline with a lane a node and a lane a user, what is left of the
//! schedule, and the lines of the history that prove it. It needs nothing else: no network, no other file.

use super::screen::seconds;
use super::{Found, timeline};
use judge::history::Entry;
use loadgen::report::escape;
use sim::{Lived, told};
use std::fmt::Write;

const STYLE: &str = include_str!("timeline.css");

pub fn page(found: &Found) -> String {
    let verdict = found.failure.verdict().name();
    let mut body = format!(
        "<style>{STYLE}</style><header><h1><span class=\"badge {verdict}\">{verdict}</span>seed {} {}</h1>\
         <p class=\"mix\">{}</p><p class=\"mix\">{}</p></header>",
        found.whole.seed,
        escape(&found.failure.to_string()),
        escape(&found.size()),
        escape(&found.again)
    );
    body.push_str(&violations(found));
    // Writing to memory cannot fail, here and below.
    let _ = write!(
        body,
        "<section><h2>What happened <small>pointed at, a sign says what it stands for</small></h2>\
         <article class=\"timeline\">{}</article></section>",
        timeline::draw(found)
    );
    body.push_str(&steps(found));
    body.push_str(&history(found.entries()));
    loadgen::report::page(&format!("harness sim: {verdict}"), &body)
}

fn violations(found: &Found) -> String {
    let mut text = String::from("<section><ul class=\"notes\">");
    match &found.lived {
        Lived::Died(words) => {
            let _ = write!(text, "<li class=\"bad\"><pre>{}</pre></li>", escape(words));
        }
        Lived::Hung => text.push_str("<li class=\"bad\">it has no end</li>"),
        Lived::Told(report) => {
            for problem in &report.problems {
                let _ = write!(text, "<li class=\"bad\">{}</li>", escape(problem));
            }
        }
    }
    let entries = found.entries();
    for finding in judge::check(entries).findings.iter().filter(|finding| finding.violated > 0) {
        for violation in &finding.violations {
            let (promise, what) = (escape(finding.guarantee.title()), escape(&violation.what));
            let _ = write!(text, "<li class=\"bad\"><b>{} {promise}</b>: {what}", finding.guarantee);
            let lines: Vec<String> = violation.events.iter().map(|event| line(entries, *event)).collect();
            let _ = write!(text, "<pre>{}</pre></li>", lines.join("\n"));
        }
    }
    text.push_str("</ul></section>");
    text
}

fn steps(found: &Found) -> String {
    let mut text = String::from(
        "<section><h2>The schedule</h2><div class=\"wide\"><table class=\"steps\"><thead><tr><th>at</th><th>who</th>\
         <th>what</th><th>for</th></tr></thead><tbody>",
    );
    for line in told::lines(&found.left) {
        let who = line.user.map_or("fault".to_owned(), |user| format!("user {user}"));
        let lasting = if line.length_ms == 0 { String::new() } else { seconds(line.length_ms) };
        let _ = write!(
            text,
            "<tr><td>{}</td><td>{who}</td><td>{}</td><td>{lasting}</td></tr>",
            seconds(line.at_ms),
            escape(&line.what)
        );
    }
    text.push_str("</tbody></table></div></section>");
    text
}

fn history(entries: &[Entry]) -> String {
    let lines: Vec<String> = (0..entries.len()).map(|event| line(entries, event)).collect();
    format!(
        "<section><details><summary>The whole history, {} lines</summary><pre>{}</pre></details></section>",
        entries.len(),
        lines.join("\n")
    )
}

fn line(entries: &[Entry], event: usize) -> String {
    let text = serde_json::to_string(&entries[event]).unwrap_or_default();
    format!("{:>6}: {}", event + 1, escape(&text))
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn page_shows_promise_lanes_and_steps_and_asks_for_nothing() {
        let page = page(&samples::found());
        for words in ["G2 (delivered, once)", "pushed twice", "node-1", "user 1", "pause node 1", "--replay"] {
            assert!(page.contains(words), "{words:?} is not in: {page}");
        }
        for asking in ["http://", "https://", "url(", "@import", "src=", "fetch("] {
            assert!(!page.contains(asking), "{asking}");
        }
    }

    #[test]
    fn text_from_a_worker_stays_text() {
        let words = "<img src=x> panicked".to_owned();
        let (failure, lived) = (sim::Failure::Died(words.clone()), Lived::Died(words));
        let page = page(&Found { failure, lived, ..samples::found() });
        assert!(page.contains("&lt;img") && !page.contains("<img"), "{page}");
    }
}
