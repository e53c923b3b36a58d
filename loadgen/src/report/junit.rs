//! JUnit XML, as continuous integration reads it: the verdict is a test, and each assertion is one.

use super::subject;
use crate::measure::outcome::Outcome;
use crate::plan::shard::show_time;
use judge::Verdict;
use std::fmt::Write;

/// One test.
pub struct Case {
    pub name: String,
    pub seconds: f64,
    /// Why it failed, where it did.
    pub failure: Option<String>,
}

/// The outcome as one test suite.
pub fn junit(outcome: &Outcome) -> String {
    let reasons = match outcome.verdict {
        Verdict::Valid => None,
        verdict => Some(format!("{}: {}", verdict.name(), outcome.reasons.join("; "))),
    };
    let seconds = outcome.measured_s + outcome.drained_s;
    let mut cases = vec![Case { name: "valid".into(), seconds, failure: reasons }];
    cases.extend(outcome.assertions.iter().map(|checked| Case {
        name: checked.assertion.clone(),
        seconds: 0.0,
        failure: (!checked.holds).then(|| format!("it is {}", checked.figure)),
    }));
    let notes: Vec<String> = outcome.warnings.iter().map(|warning| format!("note: {warning}")).collect();
    let about = [subject(outcome), format!("began {}", show_time(outcome.started_ms)), outcome.command.clone()];
    let about: Vec<String> = about.into_iter().chain(notes).collect();
    suite("loadgen", &cases, &about.join("\n"))
}

/// Tests as one suite, with what else there is to say.
pub fn suite(name: &str, cases: &[Case], about: &str) -> String {
    let (tests, failed) = (cases.len(), cases.iter().filter(|case| case.failure.is_some()).count());
    let time: f64 = cases.iter().map(|case| case.seconds).sum();
    let name = escape(name);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to memory cannot fail.
    let _ = writeln!(text, "<testsuites tests=\"{tests}\" failures=\"{failed}\" time=\"{time:.3}\">");
    let _ = writeln!(
        text,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" time=\"{time:.3}\">"
    );
    cases.iter().for_each(|case| write_case(&mut text, &name, case));
    let _ = writeln!(text, "    <system-out>{}</system-out>\n  </testsuite>\n</testsuites>", escape(about));
    text
}

fn write_case(text: &mut String, suite: &str, case: &Case) {
    let (name, time) = (escape(&case.name), case.seconds);
    let _ = write!(text, "    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{time:.3}\"");
    let _ = match &case.failure {
        None => writeln!(text, "/>"),
        Some(message) => {
            let message = escape(message);
            writeln!(text, ">\n      <failure message=\"{message}\">{name}: {message}</failure>\n    </testcase>")
        }
    };
}

/// Text for XML; characters that XML cannot hold at all become the replacement character.
fn escape(text: &str) -> String {
    let mut safe = String::new();
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\t' | '\n' => safe.push(letter),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            _ if letter.is_control() => safe.push('\u{fffd}'),
            _ => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;

    #[test]
    fn verdict_and_assertions_are_tests() {
        let text = junit(&outcome());
        assert!(text.contains("tests=\"3\" failures=\"2\""), "{text}");
        assert!(text.contains("<failure message=\"invalid: 1 messages lost\">"), "{text}");
        assert!(text.contains("name=\"p99(cross) &lt; 1s\" time=\"0.000\"/>"), "{text}");
        assert!(text.contains("<failure message=\"it is 1\">lost == 0: it is 1</failure>"), "{text}");
    }

    #[test]
    fn xml_holds_what_it_can() {
        assert_eq!(escape("<a b=\"c\">\u{1}&'"), "&lt;a b=&quot;c&quot;&gt;\u{fffd}&amp;&apos;");
    }
}
