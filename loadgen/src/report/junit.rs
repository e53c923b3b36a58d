//! JUnit XML, which every CI shows: the verdict and each assertion is a test case.

use crate::outcome::{Outcome, Verdict};
use std::fmt::Write;

/// One test suite named `loadgen`.
pub fn junit(outcome: &Outcome) -> String {
    let mut cases = vec![(
        "every message is accounted for".to_owned(),
        match outcome.verdict {
            Verdict::Valid => None,
            verdict => Some(format!("{}: {}", verdict.name(), outcome.reasons.join("; "))),
        },
    )];
    let found = |passed: bool, found: &str| (!passed).then(|| format!("found {found}"));
    cases.extend(
        outcome.assertions.iter().map(|checked| (checked.assertion.clone(), found(checked.passed, &checked.found))),
    );
    let failures = cases.iter().filter(|(_, failure)| failure.is_some()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to memory cannot fail.
    let _ = writeln!(
        text,
        "<testsuite name=\"loadgen\" tests=\"{}\" failures=\"{failures}\" time=\"{:.1}\">",
        cases.len(),
        outcome.measured_s
    );
    for (name, failure) in &cases {
        let _ = match failure {
            None => writeln!(text, "  <testcase classname=\"loadgen\" name=\"{}\"/>", escaped(name)),
            Some(failure) => writeln!(
                text,
                "  <testcase classname=\"loadgen\" name=\"{}\"><failure message=\"{}\"/></testcase>",
                escaped(name),
                escaped(failure)
            ),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no place for most control characters.
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn failures_are_escaped_and_counted() {
        let mut outcome = Outcome::failed(Plan::default(), "a < b & \"c\"".into());
        outcome.assert(&["lost == 0".parse().expect("lawful"), "p99(ack) < 1s".parse().expect("lawful")]);
        let text = junit(&outcome);
        assert!(text.contains("tests=\"3\" failures=\"2\""), "{text}");
        assert!(text.contains("invalid: a &lt; b &amp; &quot;c&quot;"), "{text}");
        assert!(text.contains("name=\"p99(ack) &lt; 1s\"><failure"), "{text}");
    }
}
