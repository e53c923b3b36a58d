//! The generator tells the truth about a server: each fault of a server made for it shows, counted exactly.

mod server;

use judge::Verdict;
use loadgen::cluster::Nodes;
use loadgen::measure::{LatencyKind, Outcome};
use loadgen::plan::{Arrivals, Plan};
use loadgen::run::Silent;
use loadgen::run::execute;
use loadgen::scenario::Kind;
use server::{Fault, Server};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// More than any run here takes; the bound that is tested is that it ends at all.
const BOUND: Duration = Duration::from_secs(60);

fn plan() -> Plan {
    Plan {
        users: 16,
        rate: 2_000.0,
        duration_s: 2.0,
        ramp_s: 0.0,
        drain_s: 1.0,
        mix: BTreeMap::from([(Kind::FriendChat, 1.0)]),
        ..Plan::default()
    }
}

async fn run(plan: Plan, targets: &[String]) -> Outcome {
    let running = execute(plan, targets, Nodes::Elsewhere, &Silent, CancellationToken::new());
    tokio::time::timeout(BOUND, running).await.expect("a run ends in time").expect("nothing is wrong on this side")
}

/// Runs against a server with this fault; returns what came of it and how often the server did it.
async fn run_with(fault: Fault, plan: Plan) -> (Outcome, u64) {
    let server = Server::start(fault).await;
    let outcome = run(plan, &[server.address()]).await;
    (outcome, server.done())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lawful_server_is_valid_to_the_last_message() {
    let (outcome, _) = run_with(Fault::None, plan()).await;
    assert_eq!(outcome.verdict, Verdict::Valid, "{:?}", outcome.reasons);
    assert!(outcome.account.sent > 1_000);
    assert_eq!(outcome.account.delivered, outcome.account.sent);
    assert_eq!(outcome.account.acknowledged, outcome.account.sent);
    assert_eq!(outcome.latencies[&LatencyKind::Same].count(), outcome.account.sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dropped_message_is_lost() {
    let (outcome, dropped) = run_with(Fault::Drop { every: 1_000 }, plan()).await;
    assert!(dropped > 0);
    assert_eq!(outcome.account.lost, dropped);
    assert_eq!(outcome.account.violations(), dropped);
    assert_eq!(outcome.verdict, Verdict::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_only_with_a_last_login_was_stored_and_is_not_lost() {
    // Of 4,000 messages none of the last, after which nothing is sent that could come before them.
    let (outcome, stored) = run_with(Fault::StoreOnly { every: 900 }, plan()).await;
    assert!(stored > 0);
    assert_eq!((outcome.account.lost, outcome.stored), (0, stored), "{:?}", outcome.reasons);
    assert_eq!(outcome.account.delivered, outcome.account.sent);
    // It comes after messages that were sent later.
    assert_eq!(outcome.account.reordered, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_that_is_refused_for_now_is_sent_again_in_its_time() {
    let (outcome, refused) = run_with(Fault::Refuse { every: 50 }, Plan { drain_s: 20.0, ..plan() }).await;
    assert!(refused > 0);
    assert_eq!((outcome.account.resent, outcome.account.acknowledged), (refused, outcome.account.sent));
    assert_eq!(outcome.verdict, Verdict::Valid, "{:?}", outcome.reasons);
}

/// A closed model against a server that refuses everything; returns how many messages came in the place of one that was
/// refused, and how many had the time to, where each waits `back_off_s`.
async fn refused_in_the_closed_model(fault: Fault, qos: u8, back_off_s: f64) -> (u64, u64) {
    const WINDOW: u32 = 8;
    let plan = Plan { users: 4, window: Some(WINDOW), qos, duration_s: 1.5, drain_s: 0.1, ..plan() };
    let (outcome, refused) = run_with(fault, plan).await;
    let places = 4 * u64::from(WINDOW);
    assert!(refused >= places, "{:?}", outcome.errors);
    let turns = (outcome.measured_s / back_off_s).ceil() as u64 + 1;
    (refused - places, places * turns)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_closed_model_a_refusal_waits_as_long_as_the_server_says() {
    for (errno, qos) in [(7, 1), (11, 1), (11, 0)] {
        let fault = Fault::RefuseAll { errno, retry_ms: Some(700), times: 1 };
        let (further, in_time) = refused_in_the_closed_model(fault, qos, 0.7).await;
        assert!((1..=in_time).contains(&further), "errno {errno}, qos {qos}: {further} {in_time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_closed_model_a_refusal_waits_where_the_server_says_nothing() {
    for (errno, qos) in [(7, 1), (11, 1), (11, 0)] {
        let fault = Fault::RefuseAll { errno, retry_ms: None, times: 1 };
        let (further, in_time) = refused_in_the_closed_model(fault, qos, 0.2).await;
        assert!((1..=in_time).contains(&further), "errno {errno}, qos {qos}: {further} {in_time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_said_many_times_makes_room_once() {
    for (errno, qos) in [(7, 1), (11, 1), (11, 0)] {
        let fault = Fault::RefuseAll { errno, retry_ms: None, times: 10 };
        let (further, in_time) = refused_in_the_closed_model(fault, qos, 0.2).await;
        assert!((1..=in_time).contains(&further), "errno {errno}, qos {qos}: {further} {in_time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_second_copy_is_a_duplicate() {
    let (outcome, doubled) = run_with(Fault::Twice { every: 500 }, plan()).await;
    assert!(doubled > 0);
    assert_eq!((outcome.account.duplicated, outcome.account.violations()), (doubled, doubled));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_swap_is_one_reordering() {
    let server = Server::start(Fault::Swap { every: 500 }).await;
    let account = run(plan(), &[server.address()]).await.account;
    let (swapped, held) = (server.done(), server.held().await);
    assert!(swapped > 0);
    // What no later message came to be swapped with never arrived.
    assert_eq!((account.reordered, account.lost, account.violations()), (swapped, held, swapped + held));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_the_wrong_user_is_misdelivered_and_lost() {
    let (outcome, astray) = run_with(Fault::WrongUser { every: 500 }, plan()).await;
    assert!(astray > 0);
    assert_eq!((outcome.account.misdelivered, outcome.account.lost), (astray, astray));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_text_is_altered_and_lost() {
    let (outcome, altered) = run_with(Fault::Alter { every: 500 }, plan()).await;
    assert!(altered > 0);
    assert_eq!((outcome.account.altered, outcome.account.lost), (altered, altered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_shows_in_every_message_that_was_due_meanwhile() {
    let plan = Plan { arrivals: Arrivals::Constant, rate: 1_000.0, duration_s: 3.0, drain_s: 5.0, ..plan() };
    let (outcome, stalls) = run_with(Fault::Stall { at: 1_000, pause: Duration::from_secs(1) }, plan).await;
    assert_eq!((stalls, outcome.verdict), (1, Verdict::Valid), "{:?}", outcome.reasons);
    let acks = &outcome.latencies[&LatencyKind::Ack];
    assert!(acks.max() > 900_000, "{}", acks.max());
    assert!(acks.percentile(99.9) > 900_000, "{}", acks.percentile(99.9));
    // A closed model would have one slow message; a thousand were due within the second, evenly spread.
    let slow: u64 = acks.values().filter(|(micros, _)| *micros > 500_000).map(|(_, count)| count).sum();
    assert!(slow > 400, "{slow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_invalid_in_time() {
    let plan = || Plan { connect_timeout_s: 0.5, users: 4, ..plan() };
    let (outcome, _) = run_with(Fault::Silent, plan()).await;
    assert_eq!(outcome.verdict, Verdict::Invalid, "{outcome:?}");
    let (outcome, _) = run_with(Fault::NoDelivery, plan()).await;
    assert_eq!(outcome.verdict, Verdict::Invalid);
    assert!(outcome.reasons.contains(&"nothing was received".to_owned()), "{:?}", outcome.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_and_not_delivered_is_unknown() {
    let (outcome, swallowed) = run_with(Fault::Swallow { every: 500 }, plan()).await;
    assert!(swallowed > 0);
    assert_eq!((outcome.account.unknown, outcome.account.violations()), (swallowed, 0));
    assert_eq!(outcome.verdict, Verdict::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_none_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let outcome = run(plan(), &[closed]).await;
    assert_eq!(outcome.verdict, Verdict::Invalid);
    assert!(outcome.reasons[0].contains("refused"), "{:?}", outcome.reasons);
    let (outcome, _) = run_with(Fault::OtherProtocol, plan()).await;
    assert!(outcome.reasons[0].contains("not this dialect"), "{:?}", outcome.reasons);
    let outcome = run(plan(), &["no.such.host.invalid:1".to_owned()]).await;
    assert!(outcome.reasons[0].contains("no.such.host.invalid"), "{:?}", outcome.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_midway_ends_in_a_full_result() {
    let (outcome, _) = run_with(Fault::Die { at: 500 }, plan()).await;
    assert!(outcome.account.delivered > 0);
    assert_ne!(outcome.verdict, Verdict::Valid);
    assert!(outcome.reasons.iter().any(|reason| reason.contains("could not come back")), "{:?}", outcome.reasons);
    assert!(outcome.errors.keys().any(|kind| kind.starts_with("connection")), "{:?}", outcome.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_reports_what_ran() {
    let server = Server::start(Fault::None).await;
    let interrupt = CancellationToken::new();
    let plan = Plan { duration_s: 600.0, ..plan() };
    let targets = [server.address()];
    let running = execute(plan, &targets, Nodes::Elsewhere, &Silent, interrupt.clone());
    let interrupting = async {
        while server.chats() < 100 {
            tokio::task::yield_now().await;
        }
        interrupt.cancel();
    };
    let (outcome, ()) = tokio::join!(running, interrupting);
    let outcome = outcome.expect("nothing is wrong on this side");
    assert!(outcome.interrupted && outcome.account.delivered >= 100);
    assert_eq!(outcome.verdict, Verdict::Valid, "{:?}", outcome.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_history_is_judged_as_the_run_was() {
    for (fault, expected) in [(Fault::None, Verdict::Valid), (Fault::Drop { every: 500 }, Verdict::Invalid)] {
        let directory = tempfile::tempdir().expect("a directory");
        let plan = Plan { keep: Some(directory.path().to_owned()), ..plan() };
        let (outcome, _) = run_with(fault, plan).await;
        let history = judge::history::read(&directory.path().join("history.jsonl.zst")).expect("a history");
        let entries: Vec<_> = history.map(|entry| entry.expect("a line")).collect();
        let judgement = judge::check(&entries);
        assert_eq!((outcome.verdict, judgement.verdict()), (expected, expected), "{fault:?}");
    }
}
