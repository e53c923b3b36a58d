use super::*;
use crate::measure::{Latencies, LatencyKind, Outcome};
use crate::plan::Plan;

fn outcome() -> Outcome {
    let mut outcome = Outcome::failed(Plan::default(), String::new());
    let mut cross = Latencies::default();
    (1..=1_000).for_each(|millis| cross.record(millis * 100));
    let mut ack = Latencies::default();
    ack.record(500_000);
    outcome.latencies.extend([(LatencyKind::Cross, cross), (LatencyKind::Ack, ack)]);
    outcome.measured_s = 10.0;
    outcome.drained_s = 1.5;
    outcome.account.sent = 5_000;
    outcome.account.expected = 1_000;
    outcome.account.delivered = 999;
    outcome.account.lost = 1;
    outcome.resources.memory_bytes = 250_000_000;
    outcome.resources.generator_cpu_s = 4.0;
    outcome.errors.insert("connect: refused".into(), 3);
    outcome.errors.insert("login: no answer".into(), 2);
    outcome
}

fn check(assertion: &str, holds: bool, figure: &str) {
    let checked = assertion.parse::<Assertion>().expect(assertion).check(&outcome());
    assert_eq!((checked.holds, checked.figure.as_str()), (holds, figure), "{assertion}");
}

#[test]
fn figures_are_compared_in_their_units() {
    check("p99(cross) < 99.5ms", true, "99.007 ms");
    check("p99(cross)<99ms", false, "99.007 ms");
    check("p99.9(cross) <= 1s", true, "100.031 ms");
    check("p50( cross ) > 49_000us", true, "50.015 ms");
    check("max(any) < 1 s", true, "500.223 ms");
    check("mean(cross) < 1min", true, "50.052 ms");
    check("count(cross) == 1000", true, "1,000");
    check("rate(cross) >= 100/s", true, "100/s");
    check("rate(cross) >= 0.2k", false, "100/s");
    check("lost == 0", false, "1");
    check("lost != 0", true, "1");
    check("violations < 2", true, "1");
    check("sent >= 5k", true, "5,000");
    check("sent_rate > 499.9", true, "500/s");
    check("delivery >= 99.9%", true, "99.900 %");
    check("cpu < 50%", true, "40.000 %");
    check("memory < 300MB", true, "250.0 MB");
    check("memory < 238MiB", false, "250.0 MB");
    check("drain <= 1500ms", true, "1.500 s");
    check("errors == 5", true, "5");
    check("errors(connect) == 3", true, "3");
    check("errors(no answer) < 1", false, "2");
    check("errors(a < b) == 0", true, "0");
}

#[test]
fn what_was_not_measured_satisfies_nothing() {
    check("p99(same) < 1s", false, "nothing was measured");
    check("max(login) >= 0", false, "nothing was measured");
    check("count(same) == 0", true, "0");
}

#[test]
fn errors_say_what_is_wrong_and_what_is_right() {
    for (text, expected) in [
        ("p99(cross)", "has no relation"),
        ("lost = 0", "has no relation"),
        ("", "has no relation"),
        ("losses == 0", "no metric \"losses\"; there are p50"),
        ("lost(cross) == 0", "no metric \"lost(cross)\""),
        ("p99(cross < 5ms", "no metric \"p99(cross\""),
        ("p99(crss) < 5ms", "no path \"crss\"; there are login"),
        ("p99 < 5ms", "of which path? write p99(cross)"),
        ("p101(cross) < 5ms", "\"p101\" is not a percentile"),
        ("p9x(cross) < 5ms", "\"p9x\" is not a percentile"),
        ("p99(cross) < 5", "give a duration with its unit"),
        ("p99(cross) < 5 kg", "give a duration with its unit"),
        ("p99(cross) <", "give a duration with its unit"),
        ("lost == 0ms", "give a number without a unit"),
        ("lost == -1", "give a number without a unit"),
        ("cpu < 50", "give per cent"),
        ("memory < 3ms", "give bytes"),
    ] {
        let error = text.parse::<Assertion>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_failure_is_told_with_its_figure() {
    let checked = "lost == 0".parse::<Assertion>().expect("lawful").check(&outcome());
    assert_eq!(checked.to_string(), "assertion failed: lost == 0 (it is 1)");
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC*") {
        let _ = text.parse::<Assertion>();
    }

    #[test]
    fn no_limit_is_too_strange(text in "(p99\\(cross\\)|lost|delivery) ?[<>=!]{1,2} ?\\PC{0,8}") {
        let _ = text.parse::<Assertion>();
    }
}
