//! Promise: without a single acknowledgement, what a classic server does wrong is found, and counted exactly; what it
//! does slowly shows.
//!
//! Each server here has one fault, and says how often it did it. (`honesty` proves the same of servers that
//! acknowledge.)

mod support;

use judge::Verdict;
use loadgen::measure::{LatencyKind, Outcome};
use loadgen::plan::Plan;
use loadgen::scenario::Kind;
use std::collections::BTreeMap;
use std::time::Duration;
use support::fault::Fault;
use support::server::Server;
use support::tongue::Tongue;
use support::{classic, friends, run, told};

/// Runs against a server with this fault; returns what came of it, and how often the fault was done. The history that
/// is kept shows the fault as well.
async fn with_fault(fault: Fault, plan: Plan) -> (Outcome, u64) {
    let server = Server::start(Tongue::course(), fault).await;
    let directory = tempfile::tempdir().expect("a directory");
    let plan = Plan { keep: Some(directory.path().to_owned()), ..plan };
    let outcome = run(classic("course", plan), &server.targets()).await;
    // Where nobody is there at the end, nobody can say that what is missing would not have come.
    let expected = if matches!(fault, Fault::Die(_)) { Verdict::Unknown } else { Verdict::Invalid };
    assert_eq!(verdict_on_history(directory.path()), expected, "{fault:?}");
    let done = server.faults_done().await;
    assert!(done > 0, "{fault:?} happened: {}", told(&outcome));
    assert_eq!(outcome.verdict, Verdict::Invalid, "{fault:?}: {}", told(&outcome));
    (outcome, done)
}

fn verdict_on_history(directory: &std::path::Path) -> Verdict {
    let history = judge::history::read(&directory.join("history.jsonl.zst")).expect("a history");
    let entries: Vec<_> = history.map(|entry| entry.expect("a line")).collect();
    judge::check(&entries).verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_without_acknowledgements_can_be_valid() {
    let server = Server::start(Tongue::course(), Fault::None).await;
    let directory = tempfile::tempdir().expect("a directory");
    let plan = Plan { keep: Some(directory.path().to_owned()), ..friends(8, 500.0, 1.0) };
    support::assert_nothing_lost(&run(classic("course", plan), &server.targets()).await);
    assert_eq!(verdict_on_history(directory.path()), Verdict::Valid);
}

/// All but these counts are as they should be.
#[track_caller]
fn assert_counts(outcome: &Outcome, lost: u64, duplicated: u64, reordered: u64, misdelivered: u64) {
    let account = &outcome.account;
    let found = (account.lost, account.duplicated, account.reordered, account.misdelivered);
    assert_eq!(found, (lost, duplicated, reordered, misdelivered), "{}", told(outcome));
    assert_eq!(account.delivered + account.lost, account.expected, "{}", told(outcome));
    assert_eq!(account.phantom + account.altered + account.unknown, 0, "{}", told(outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_in_a_thousand_is_found() {
    let (outcome, done) = with_fault(Fault::Drop(1_000), friends(8, 1_500.0, 3.0)).await;
    assert_counts(&outcome, done, 0, 0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_twice_is_found() {
    let (outcome, done) = with_fault(Fault::Double(50), friends(8, 500.0, 1.0)).await;
    assert_counts(&outcome, 0, done, 0, 0);
}

/// Friends who write to users who come and go, one message at a time.
fn comers_and_goers() -> Plan {
    let mix = BTreeMap::from([(Kind::Offline, 1.0)]);
    Plan { mix, away_s: 0.5, outstanding: Some(1), lost_after_s: 60.0, ..friends(8, 60.0, 2.5) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_logins_answer_lists_again_is_duplicated() {
    let (outcome, done) = with_fault(Fault::StoreAll, comers_and_goers()).await;
    assert_counts(&outcome, 0, done, 0, 0);
    assert_eq!(outcome.account.redelivered, 0, "{}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_again_after_a_later_login_is_duplicated() {
    let (outcome, done) = with_fault(Fault::StoreAllAndPush, comers_and_goers()).await;
    assert_counts(&outcome, 0, done, 0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_and_comes_with_every_login_is_duplicated() {
    let (outcome, done) = with_fault(Fault::Keep, comers_and_goers()).await;
    assert_counts(&outcome, 0, done, 0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_also_stored_is_found_where_nobody_leaves() {
    let (outcome, done) = with_fault(Fault::StoreAll, friends(8, 200.0, 1.0)).await;
    assert_eq!(done, outcome.account.sent, "everything came again at a last login: {}", told(&outcome));
    assert_counts(&outcome, 0, done, 0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_stored_is_not_lost() {
    let server = Server::start(Tongue::course(), Fault::StoreOnly(50)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let plan = Plan { keep: Some(directory.path().to_owned()), drain_s: 2.0, ..friends(8, 500.0, 1.0) };
    let outcome = run(classic("course", plan), &server.targets()).await;
    let done = server.faults_done().await;
    assert!(done > 0, "{}", told(&outcome));
    assert_eq!((outcome.account.lost, outcome.stored), (0, done), "{}", told(&outcome));
    assert!(outcome.warnings.iter().any(|warning| warning.contains("only with a last login")), "{}", told(&outcome));
    assert_eq!(outcome.account.delivered, outcome.account.expected, "{}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_swapped_is_found() {
    let (outcome, done) = with_fault(Fault::Swap(7), friends(8, 500.0, 2.0)).await;
    assert_counts(&outcome, 0, 0, done, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_the_wrong_user_is_found_there_and_missed_here() {
    let (outcome, done) = with_fault(Fault::Misdeliver(50), friends(8, 500.0, 1.0)).await;
    assert_counts(&outcome, done, 0, 0, done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_a_second_is_felt_by_all_that_was_due_in_it() {
    const RATE: f64 = 400.0;
    const HALF: u64 = 500_000;
    let stall = Fault::Stall { at: 500, lasting: Duration::from_secs(1) };
    let server = Server::start(Tongue::course(), stall).await;
    // The narrowest window: what waits for it was due all the same.
    let plan = Plan { outstanding: Some(1), lost_after_s: 30.0, drain_s: 30.0, ..friends(8, RATE, 3.0) };
    let outcome = run(classic("course", plan), &server.targets()).await;
    let path = &outcome.latencies[&LatencyKind::Direct];
    assert!(path.max() >= 999_000, "{} {}", path.max(), told(&outcome));
    assert!(path.percentile(99.9) >= 900_000, "{} {}", path.percentile(99.9), told(&outcome));
    // Whatever was due in its first half waited for its second half at least.
    let waited: u64 = path.values().filter(|(micros, _)| *micros >= HALF - 1_000).map(|(_, count)| count).sum();
    assert!(waited as f64 >= RATE / 2.0 - 1.0, "{waited} {}", told(&outcome));
    support::assert_nothing_lost(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_received_is_never_valid() {
    let (outcome, done) = with_fault(Fault::Swallow, friends(4, 100.0, 0.5)).await;
    assert_eq!((outcome.account.delivered, outcome.account.lost), (0, done), "{}", told(&outcome));
    assert!(outcome.reasons.iter().any(|reason| reason == "nothing was received"), "{}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_midway_is_clear_in_the_result() {
    let (outcome, _) = with_fault(Fault::Die(300), friends(8, 400.0, 2.0)).await;
    let account = &outcome.account;
    assert!(account.delivered > 0 && outcome.unsent > 0, "{}", told(&outcome));
    // Nothing was acknowledged: all that was sent is owed.
    assert!(account.lost > 0 && account.unknown == 0, "{}", told(&outcome));
    let kinds: Vec<&String> = outcome.errors.keys().collect();
    assert!(kinds.iter().any(|kind| kind.starts_with("connection: ")), "{}", told(&outcome));
    assert!(kinds.iter().any(|kind| kind.starts_with("connect: ")), "{}", told(&outcome));
    assert_eq!(outcome.online.1, 0, "{}", told(&outcome));
}
