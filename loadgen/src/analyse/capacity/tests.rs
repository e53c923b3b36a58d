use super::*;
use std::convert::Infallible;

const SETTINGS: Settings = Settings { from: 1_000.0, to: 100_000.0, precision: 0.05, confirmations: 2 };

fn probe(rate: f64, purpose: Purpose, passed: bool, broke_promise: bool) -> Probe {
    let reasons = if passed { Vec::new() } else { vec!["too slow".to_owned()] };
    Probe {
        rate,
        purpose,
        passed,
        reasons,
        broke_promise,
        limited_by_generator: false,
        sent_per_second: rate,
        delivered_per_second: rate,
        carried_per_second: rate,
        p50: Some(500),
        p99: Some(1_000 + rate as u64),
    }
}

/// Searches a server that bears `bears` of a probe, and `confirms` of a confirmation.
fn found(settings: Settings, bears: impl Fn(f64) -> bool, confirms: impl Fn(f64) -> bool) -> Found {
    let run = |rate, purpose| {
        let passed = if purpose == Purpose::Search { bears(rate) } else { confirms(rate) };
        Ok::<_, Infallible>(probe(rate, purpose, passed, false))
    };
    search(settings, run).expect("no probe fails to run")
}

#[test]
fn the_highest_rate_is_found_within_the_precision() {
    for capacity in [3.0, 80.0, 999.0, 1_000.0, 1_001.0, 7_777.0, 43_210.0] {
        let bears = |rate| rate <= capacity;
        let rate = found(SETTINGS, bears, bears).rate.expect("there is one");
        assert!(rate <= capacity && rate >= capacity / 1.12 - 1.0, "{capacity}: {rate}");
    }
}

#[test]
fn what_is_not_confirmed_is_lowered() {
    let found = found(SETTINGS, |rate| rate <= 10_000.0, |rate| rate <= 8_000.0);
    let rate = found.rate.expect("there is one");
    assert!((7_000.0..=8_000.0).contains(&rate), "{rate}");
    let confirming = found.probes.iter().filter(|probe| probe.purpose == Purpose::Confirm && probe.rate == rate);
    assert_eq!(confirming.count(), 2);
    assert!(found.limit.contains("too slow"), "{}", found.limit);
}

#[test]
fn a_server_that_bears_all_or_nothing_ends_the_search() {
    let all = found(SETTINGS, |_| true, |_| true);
    assert_eq!(all.rate, Some(100_000.0));
    assert!(all.limit.contains("no higher rate than 100000/s"), "{}", all.limit);
    let none = found(SETTINGS, |_| false, |_| false);
    assert_eq!(none.rate, None);
    assert!(none.limit.contains("too slow") && none.probes.len() < 40, "{}", none.limit);
    let never_confirmed = found(SETTINGS, |_| true, |_| false);
    assert_eq!(never_confirmed.rate, None);
}

#[test]
fn one_hiccup_is_forgiven_and_one_loss_is_not() {
    for (broke_promise, expected) in [(false, true), (true, false)] {
        let mut runs = 0;
        let run = |rate, purpose| {
            runs += 1;
            Ok::<_, Infallible>(probe(rate, purpose, runs != 1 && rate <= 2_000.0, broke_promise))
        };
        let found = search(SETTINGS, run).expect("no probe fails to run");
        assert_eq!(found.rate.expect("there is one") > 1_000.0, expected, "{broke_promise}");
    }
}

#[test]
fn an_error_ends_the_search() {
    assert_eq!(search(SETTINGS, |_, _| Err::<Probe, _>("interrupted")), Err("interrupted"));
}
