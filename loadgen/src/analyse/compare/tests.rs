use super::*;
use crate::measure::Latencies;
use crate::plan::Plan;

/// A run whose latencies lie about `micros`, by chance that `seed` decides.
fn run(micros: f64, seed: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut outcome = Outcome::failed(Plan::default(), String::new());
    let mut cross = Latencies::default();
    outcome.measured_s = 30.0;
    outcome.seconds = (0..30u64)
        .map(|second| {
            let p99 = (micros * (0.8 + 0.4 * random.f64())) as u64;
            cross.record(p99);
            let point = Point { count: 100, p50: p99 / 2, p99, max: 2 * p99 };
            let sent = random.u64(990..1_010);
            Second {
                at_ms: second * 1_000,
                length_ms: 1_000,
                latencies: [(LatencyKind::Cross, point)].into(),
                sent,
                delivered: sent,
            }
        })
        .collect();
    outcome.latencies.insert(LatencyKind::Cross, cross);
    let sent: u64 = outcome.seconds.iter().map(|second| second.sent).sum();
    (outcome.account.sent, outcome.account.delivered) = (sent, sent);
    outcome
}

fn finding(comparison: &Comparison, metric: &str) -> Finding {
    comparison.rows.iter().find(|row| row.metric == metric).expect(metric).finding
}

#[test]
fn the_same_again_is_noise_and_slower_is_worse() {
    let comparison = compare(&[run(1_000.0, 1)], &[run(1_000.0, 2)], CONFIDENCE).expect("two runs");
    for metric in ["p50(cross)", "p99(cross)", "sent_rate", "delivered_rate"] {
        assert_eq!(finding(&comparison, metric), Finding::Noise, "{metric}");
    }
    assert!(comparison.failures(0.0).is_empty());
    let comparison = compare(&[run(1_000.0, 1)], &[run(1_500.0, 2)], CONFIDENCE).expect("two runs");
    assert_eq!(finding(&comparison, "p99(cross)"), Finding::Worse);
    assert_eq!(comparison.failures(0.1).len(), 2);
    assert!(comparison.failures(0.8).is_empty());
    let comparison = compare(&[run(1_500.0, 1)], &[run(1_000.0, 2)], CONFIDENCE).expect("two runs");
    assert_eq!(finding(&comparison, "p99(cross)"), Finding::Better);
}

#[test]
fn one_highest_latency_is_not_judged_and_several_are() {
    let comparison = compare(&[run(1_000.0, 1)], &[run(9_000.0, 2)], CONFIDENCE).expect("two runs");
    assert_eq!(finding(&comparison, "max(cross)"), Finding::Unknown);
    let several = |micros| (0..4).map(|seed| run(micros, seed)).collect::<Vec<_>>();
    let comparison = compare(&several(1_000.0), &several(9_000.0), CONFIDENCE).expect("eight runs");
    assert_eq!(finding(&comparison, "max(cross)"), Finding::Worse);
    assert!(comparison.by_runs);
}

#[test]
fn one_message_lost_is_never_noise() {
    let mut lossy = run(1_000.0, 2);
    lossy.account.lost = 1;
    let comparison = compare(&[run(1_000.0, 1)], &[lossy], CONFIDENCE).expect("two runs");
    let failures: Vec<_> = comparison.failures(10.0).iter().map(|row| row.metric.clone()).collect();
    assert_eq!(failures, ["lost"]);
}

#[test]
fn a_lower_rate_is_worse() {
    let mut slow = run(1_000.0, 2);
    slow.seconds.iter_mut().for_each(|second| second.delivered /= 2);
    let comparison = compare(&[run(1_000.0, 1)], &[slow], CONFIDENCE).expect("two runs");
    assert_eq!(finding(&comparison, "delivered_rate"), Finding::Worse);
    assert_eq!(comparison.failures(0.4).len(), 1);
    assert!(comparison.failures(0.6).is_empty());
}

#[test]
fn unlike_sides_are_told_apart_and_empty_ones_refused() {
    let mut other = run(1_000.0, 2);
    other.plan.rate *= 2.0;
    other.plan.qos = 0;
    let notes = compare(&[run(1_000.0, 1)], &[other], CONFIDENCE).expect("two runs").notes.join("\n");
    assert!(notes.contains("qos: 1 and 0") && notes.contains("rate: 1000 and 2000"), "{notes}");
    assert_eq!(compare(&[], &[run(1_000.0, 1)], CONFIDENCE), Err(Error::Nothing));
    let failed = Outcome::failed(Plan::default(), String::new());
    assert_eq!(compare(&[failed], &[run(1_000.0, 1)], CONFIDENCE), Err(Error::NotMeasured));
}
