use super::*;
use crate::measure::ledger::Account;
use crate::measure::{Act, ClockOffset, Latencies, LatencyKind};
use crate::plan::Plan;
use crate::plan::Shard;

const EPOCH: i64 = 1_700_000_000_000;

fn part(index: u32, latencies: impl Iterator<Item = u64>) -> Outcome {
    let plan = Plan { users: 21, rate: 100.0, ..Plan::default() }.part(Shard { index, count: 2 });
    let mut outcome = Outcome::failed(plan, String::new());
    let mut cross = Latencies::default();
    latencies.for_each(|micros| cross.record(micros));
    let count = cross.count();
    outcome.account.sent = count;
    outcome.account.acknowledged = count;
    outcome.account.expected = count;
    outcome.account.delivered = count;
    outcome.latencies.insert(LatencyKind::Cross, cross);
    outcome.measured_from_ms = EPOCH + i64::from(index) * 20;
    outcome.measured_s = 2.0;
    outcome.logins = u64::from(outcome.plan.users);
    outcome.online = (outcome.plan.users, outcome.plan.users);
    let point = Point { count, p50: u64::from(index), p99: 10 * u64::from(index), max: 20 };
    let second = |at_ms| Second {
        at_ms,
        length_ms: 1_000,
        latencies: [(LatencyKind::Cross, point)].into(),
        sent: 5,
        delivered: 4,
    };
    outcome.seconds = vec![second(0), second(1_001)];
    outcome.errors.insert("connect".into(), 2);
    outcome.judge();
    outcome
}

fn merged(parts: Vec<Outcome>) -> Result<Outcome, Error> {
    let named: Vec<_> = parts.into_iter().enumerate().map(|(place, part)| (format!("{place}.json"), part)).collect();
    merge(&named)
}

#[test]
fn the_sum_is_what_one_process_would_have_found() {
    let values: Vec<u64> = (1..2_000).map(|value| value * 37).collect();
    let (odd, even) = (values.iter().copied().step_by(2), values.iter().copied().skip(1).step_by(2));
    let sum = merged(vec![part(1, odd), part(2, even)]).expect("two parts of one plan");
    let mut whole = Latencies::default();
    values.iter().for_each(|value| whole.record(*value));
    assert_eq!(sum.latencies[&LatencyKind::Cross], whole);
    assert_eq!((sum.account.sent, sum.account.delivered, sum.logins), (1_999, 1_999, 21));
    assert_eq!((sum.plan.users, sum.plan.rate, sum.plan.prefix.as_str()), (21, 100.0, "lg"));
    assert_eq!((sum.verdict, sum.shards, sum.errors["connect"]), (Verdict::Valid, 2, 4));
    assert_eq!(sum.measured_s, 2.02);
}

#[test]
fn seconds_add_up_row_by_row_with_the_worst_percentile() {
    let sum = merged(vec![part(1, 1..10), part(2, 1..10)]).expect("two parts of one plan");
    let rows: Vec<_> = sum.seconds.iter().map(|row| (row.at_ms, row.sent, row.delivered)).collect();
    assert_eq!(rows, [(0, 10, 8), (1_000, 10, 8)]);
    assert_eq!(sum.seconds[0].latencies[&LatencyKind::Cross], Point { count: 18, p50: 2, p99: 20, max: 20 });
}

#[test]
fn a_sum_can_be_merged_and_stored_again() {
    let sum = merged(vec![part(1, 1..10), part(2, 1..10)]).expect("two parts of one plan");
    let stored: Outcome = serde_json::from_str(&crate::report::json(&sum)).expect("read back");
    assert_eq!(stored, sum);
}

#[test]
fn a_missing_shard_leaves_the_verdict_unknown() {
    let sum = merged(vec![part(2, 1..10)]).expect("one part");
    assert_eq!(sum.verdict, Verdict::Unknown);
    assert!(sum.reasons.contains(&"shard 1 is missing".to_owned()), "{:?}", sum.reasons);
}

#[test]
fn a_shard_that_measured_nothing_makes_the_sum_invalid() {
    let mut failed = Outcome::failed(part(2, 1..2).plan, "nobody could log in".into());
    failed.errors.insert("connect".into(), 9);
    let sum = merged(vec![part(1, 1..10), failed]).expect("two parts of one plan");
    assert_eq!((sum.verdict, sum.errors["connect"]), (Verdict::Invalid, 11));
    assert!(sum.reasons[0].contains("1.json measured nothing: nobody could log in"), "{:?}", sum.reasons);
}

#[test]
fn one_bad_shard_makes_the_sum_bad() {
    let mut bad = part(2, 1..10);
    bad.account.lost = 1;
    assert_eq!(merged(vec![part(1, 1..10), bad]).expect("two parts").verdict, Verdict::Invalid);
}

#[test]
fn no_sum_overflows() {
    let most = |index| {
        let mut part = part(index, 1..10);
        part.account = Account { sent: u64::MAX, lost: u64::MAX, duplicated: u64::MAX, ..part.account };
        (part.logins, part.unsent, part.stored, part.online) = (u64::MAX, u64::MAX, u64::MAX, (u32::MAX, u32::MAX));
        part.errors.insert("connect".into(), u64::MAX);
        part.shards = u32::MAX;
        let resources = Resources { cores: u32::MAX, memory_bytes: u64::MAX, ..Resources::default() };
        (part.resources, part.machines) = (resources, Vec::new());
        (part.plan.start_at_ms, part.measured_from_ms) = (Some(i64::MAX), if index == 1 { i64::MIN } else { i64::MAX });
        let (at_ms, sent, delivered) = (u64::MAX, u64::MAX, u64::MAX);
        let second = Second { at_ms, length_ms: at_ms, sent, delivered, ..part.seconds[0].clone() };
        part.seconds = vec![second.clone(), second];
        part.interventions = vec![Intervention { at_ms: u64::MAX, act: Act::Pause }];
        part
    };
    let sum = merged(vec![most(1), most(2)]).expect("two parts of one plan");
    assert_eq!((sum.account.sent, sum.account.violations(), sum.logins), (u64::MAX, u64::MAX, u64::MAX));
    assert_eq!((sum.online.0, sum.shards, sum.errors["connect"]), (u32::MAX, u32::MAX, u64::MAX));
    assert_eq!((sum.resources.memory_bytes, sum.seconds[0].sent), (u64::MAX, u64::MAX));
    assert!(sum.carried_per_second() > 0.0 && !crate::report::html(&sum).is_empty());
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let text = |parts| merged(parts).expect_err("must be refused").to_string();
    assert_eq!(text(vec![]), "nothing to merge");
    assert_eq!(text(vec![part(1, 1..10), part(1, 1..11)]), "0.json and 1.json are both shard 1/2");
    let mut other = part(2, 1..10);
    other.plan.qos = 0;
    assert_eq!(text(vec![part(1, 1..10), other]), "0.json and 1.json did not carry out the same plan: qos differs");
    let mut other = part(2, 1..10);
    other.plan.shard = Some(Shard { index: 2, count: 3 });
    assert_eq!(text(vec![part(1, 1..10), other]), "0.json is a shard of 2, 1.json of 3");
    let mut alone = part(1, 1..10);
    alone.plan.shard = None;
    assert_eq!(text(vec![alone.clone(), alone]), "0.json and 1.json are the same result");
}

#[test]
fn parts_that_did_not_run_together_say_so() {
    let mut late = part(2, 1..10);
    late.measured_from_ms += 5_000;
    let sum = merged(vec![part(1, 1..10), late]).expect("two parts");
    let is_told = |sum: &Outcome, end: &str| {
        let mut told = sum.warnings.iter().filter(|warning| warning.contains("5.0 s apart"));
        assert!(told.any(|warning| warning.ends_with(end)), "{:?}", sum.warnings);
    };
    is_told(&sum, "from the first to the last; use --start-at");

    // In a swarm there is no such flag.
    let mut sum = [part(1, 1..10), part(2, 1..10)];
    sum[1].measured_from_ms += 5_000;
    sum.iter_mut().zip(1..).for_each(|(part, shard)| {
        part.go_by(ClockOffset { shard, behind_micros: 0, within_micros: 1 });
    });
    is_told(&merged(sum.to_vec()).expect("two parts"), "from the first to the last");
}

#[test]
fn seconds_go_by_the_common_clock_and_a_clock_that_is_not_known_well_is_told() {
    let ahead = |index, behind_micros, within_micros| {
        let mut outcome = part(index, 1..10);
        // Its own clock is off by as much, and it measured when the other did.
        outcome.measured_from_ms -= behind_micros / 1_000;
        outcome.go_by(ClockOffset { shard: index, behind_micros, within_micros });
        outcome
    };
    let sum = merged(vec![ahead(1, -90_000_000, 200), ahead(2, 3_000_000, 400_000)]).expect("two parts of one plan");
    let rows: Vec<_> = sum.seconds.iter().map(|row| (row.at_ms, row.sent)).collect();
    assert_eq!(rows, [(0, 10), (1_000, 10)]);
    assert_eq!((sum.measured_from_ms, sum.measured_s), (EPOCH + 20, 2.02));
    assert_eq!(sum.clocks.len(), 2);
    assert!(sum.warnings.iter().any(|warning| warning.starts_with("the clock of shard 2 is known within 400 ms only")));
    assert!(!sum.warnings.iter().any(|warning| warning.contains("shard 1") || warning.contains("apart")));
}
