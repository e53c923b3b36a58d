//! A story as JUnit XML.

use crate::users::Conclusion;
use judge::Verdict;
use loadgen::report::{Case, suite};

/// The story as JUnit XML: each promise that was put to the test is a test.
pub fn junit(conclusion: &Conclusion, about: &str) -> String {
    let verdict = conclusion.verdict();
    let failure = (verdict != Verdict::Valid).then(|| format!("the verdict is {}", verdict.name()));
    let all = Case { name: "valid".into(), seconds: 0.0, failure };
    let judged = conclusion.judgement.findings.iter().filter(|finding| finding.judged + finding.open > 0);
    let cases = judged.map(|finding| Case {
        name: format!("{} {}", finding.guarantee, finding.guarantee.title()),
        seconds: 0.0,
        failure: (finding.violated + finding.open > 0).then(|| {
            let told: Vec<&str> = finding.violations.iter().map(|violation| violation.what.as_str()).collect();
            format!(
                "{}: {} violated, {} open; {}",
                finding.verdict().name(),
                finding.violated,
                finding.open,
                told.join("; ")
            )
        }),
    });
    let cases: Vec<Case> = [all].into_iter().chain(cases).collect();
    suite("harness", &cases, &format!("{about}\n{conclusion}"))
}

/// The same for a story that came to no end.
pub fn junit_without_end(error: &anyhow::Error, about: &str) -> String {
    let case = Case { name: "valid".into(), seconds: 0.0, failure: Some(format!("no end: {error:#}")) };
    suite("harness", &[case], about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::sample;

    #[test]
    fn each_promise_put_to_the_test_is_a_test() {
        insta::assert_snapshot!(junit(&sample(), "story chat, 50 users, kill <node-1>, 5 s"));
    }

    #[test]
    fn story_without_an_end_is_a_failure() {
        insta::assert_snapshot!(junit_without_end(&anyhow::anyhow!("the chat does not go on"), "story chat"));
    }
}
