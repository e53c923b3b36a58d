//! JUnit XML, as continuous integration reads it: the verdict is a test, and each assertion is one.

use super::subject;
use crate::measure::Outcome;
use crate::plan::show_time;
use judge::Verdict;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

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
    let time = Duration::from_secs_f64(cases.iter().map(|case| case.seconds).sum());
    let mut suite = TestSuite::new(name);
    suite.set_time(time);
    suite.set_system_out(about);
    suite.add_test_cases(cases.iter().map(|case| test_case(name, case)));
    let mut report = Report::new(name);
    report.set_time(time).add_test_suite(suite);
    report.to_string().unwrap_or_else(|error| error.to_string())
}

fn test_case(suite: &str, case: &Case) -> TestCase {
    let status = match &case.failure {
        None => TestCaseStatus::success(),
        Some(message) => {
            let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failed.set_message(message.as_str()).set_description(format!("{}: {message}", case.name));
            failed
        }
    };
    let mut test = TestCase::new(case.name.as_str(), status);
    test.set_classname(suite).set_time(Duration::from_secs_f64(case.seconds));
    test
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;
    use insta::assert_snapshot;

    #[test]
    fn verdict_and_assertions_are_tests() {
        assert_snapshot!(junit(&outcome()));
    }

    #[test]
    fn xml_holds_what_it_can() {
        let failure = Some("<a b=\"c\">\u{1}&'\nd".to_owned());
        assert_snapshot!(suite("a & b", &[Case { name: "<c>".into(), seconds: 0.5, failure }], "]]>\u{1b}[1m"));
    }
}
