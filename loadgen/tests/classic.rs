//! Promise: a classic server is measured by what arrives, exactly, whatever of the family's forms it has.
//!
//! Our own node speaks both classic dialects and must lose nothing in either; a server written for each profile proves
//! that the profile describes what it says it does; and one that breaks connections is measured to the end.

mod support;

use judge::Verdict;
use loadgen::cluster::{Cluster, Nodes};
use loadgen::measure::{LatencyKind, Outcome};
use loadgen::plan::{DialectName, Plan};
use loadgen::scenario::Kind;
use std::collections::BTreeMap;
use support::fault::Fault;
use support::server::Server;
use support::tongue::Tongue;
use support::{assert_nothing_lost, classic, friends, run, told};

/// Everything that the default mix does, in short.
fn everything(dialect: DialectName) -> Plan {
    let mix = [(Kind::FriendChat, 3.0), (Kind::GroupChat, 2.0), (Kind::Offline, 2.0), (Kind::ReconnectStorm, 2.0)];
    let mix = BTreeMap::from(mix);
    Plan { dialect, mix, group_size: 5, away_s: 0.7, drain_s: 20.0, ..friends(36, 200.0, 3.0) }
}

/// Against nodes of our own, which need threads of their own.
fn against_our_nodes(nodes: u32, plan: Plan) -> Outcome {
    let cluster = Cluster::start(nodes).expect("nodes start");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(plan, &cluster.targets()))
}

#[test]
fn our_node_loses_nothing_to_bare_users() {
    let outcome = against_our_nodes(1, everything(DialectName::Bare));
    assert_nothing_lost(&outcome);
    assert!(outcome.latencies.contains_key(&LatencyKind::Drained), "{}", told(&outcome));
    assert!(outcome.latencies.contains_key(&LatencyKind::GroupLast), "{}", told(&outcome));
    let table = loadgen::report::table(&outcome);
    assert_eq!(table.matches("nothing acknowledged").count(), 2, "{table}");
    assert!(!table.contains("qos"), "{table}");
}

#[test]
fn our_node_loses_nothing_to_checked_users() {
    let outcome = against_our_nodes(1, everything(DialectName::Checked));
    assert_nothing_lost(&outcome);
    assert!(outcome.latencies.contains_key(&LatencyKind::Drained), "{}", told(&outcome));
    // To friends only, and the answers say no more than that there was a message.
    let (acknowledged, sent) = (outcome.account.acknowledged, outcome.account.sent);
    assert!(0 < acknowledged && acknowledged < sent, "{}", told(&outcome));
    let table = loadgen::report::table(&outcome);
    assert!(table.contains("messages to friends acknowledged, to groups not"), "{table}");
    assert!(!table.contains("qos"), "{table}");
}

#[test]
fn two_nodes_lose_nothing_to_bare_users_and_both_ways_are_told_apart() {
    let outcome = against_our_nodes(2, everything(DialectName::Bare));
    assert_nothing_lost(&outcome);
    let (same, cross) = (outcome.latencies.get(&LatencyKind::Same), outcome.latencies.get(&LatencyKind::Cross));
    assert!(same.is_some() && cross.is_some(), "{}", told(&outcome));
}

#[test]
fn a_closed_window_runs_on_what_arrives() {
    let closed = Plan { dialect: DialectName::Bare, window: Some(4), outstanding: None, ..friends(8, 0.0, 1.0) };
    let outcome = against_our_nodes(1, closed);
    assert_nothing_lost(&outcome);
    // Eight streams of four, again and again.
    assert!(outcome.account.sent > 64, "{}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_describe_the_servers_they_are_named_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let far = directory.path().join("far.toml");
    std::fs::write(&far, Tongue::FAR).expect("written");
    let variants = [
        ("course", Tongue::course()),
        ("logout_last", Tongue::logout_last()),
        ("register_second", Tongue::register_second()),
        ("course_to", Tongue::course().with_to()),
        ("logout_last_to", Tongue::logout_last().with_to()),
        ("register_second_to", Tongue::register_second().with_to()),
        ("camel", Tongue::camel()),
        ("camel_logout_last", Tongue::camel_logout_last()),
        (far.to_str().expect("a plain path"), Tongue::far()),
    ];
    for (profile, tongue) in variants {
        let server = Server::start(tongue, Fault::None).await;
        let mix = BTreeMap::from([(Kind::FriendChat, 1.0), (Kind::GroupChat, 1.0), (Kind::Offline, 1.0)]);
        let plan = Plan { mix, group_size: 4, away_s: 0.4, ..friends(24, 200.0, 1.0) };
        let outcome = run(classic(profile, plan), &server.targets()).await;
        assert_nothing_lost(&outcome);
        assert!(server.friends().await > 0, "{profile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_is_what_the_course_profile_keeps_to() {
    let server = Server::start(Tongue::course(), Fault::None).await;
    let plan = Plan { outstanding: None, lost_after_s: 60.0, drain_s: 60.0, ..friends(8, 4_000.0, 1.0) };
    let outcome = run(classic("course", plan), &server.targets()).await;
    assert_nothing_lost(&outcome);
    assert_eq!((server.crowded().await, outcome.unsent), (0, 0), "{}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_does_not_wait_for_those_who_are_away() {
    let server = Server::start(Tongue::course(), Fault::None).await;
    let mix = BTreeMap::from([(Kind::Offline, 1.0)]);
    let plan = Plan { mix, outstanding: Some(1), lost_after_s: 60.0, away_s: 0.5, ..friends(8, 40.0, 3.0) };
    let outcome = run(classic("course", plan), &server.targets()).await;
    assert_nothing_lost(&outcome);
    assert_eq!(outcome.unsent, 0, "{}", told(&outcome));
    assert!(outcome.latencies.contains_key(&LatencyKind::Drained), "messages waited at the server: {}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_once_where_a_file_keeps_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(Tongue::course(), Fault::None).await;
    let accounts = Some(directory.path().join("accounts.json"));
    let plan = classic("course", Plan { accounts, ..friends(8, 100.0, 0.5) });
    assert_nothing_lost(&run(plan.clone(), &server.targets()).await);
    let friends = server.friends().await;
    assert_nothing_lost(&run(plan, &server.targets()).await);
    assert_eq!(server.friends().await, friends, "friends are made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_are_measured_and_no_reason_to_stop() {
    let server = Server::start(Tongue::course(), Fault::Break(100)).await;
    let outcome = run(classic("course", friends(8, 400.0, 2.0)), &server.targets()).await;
    let broken = server.faults_done().await;
    assert!(broken > 0 && outcome.account.lost >= broken, "{broken} {}", told(&outcome));
    assert!(outcome.account.delivered > 0 && outcome.logins > 8, "{}", told(&outcome));
    assert!(outcome.errors.keys().any(|kind| kind.starts_with("connection: ")), "{}", told(&outcome));
    assert_eq!(outcome.verdict, Verdict::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_moves_on_past_what_is_lost() {
    let server = Server::start(Tongue::course(), Fault::Drop(10)).await;
    let plan = Plan { outstanding: Some(1), lost_after_s: 0.05, drain_s: 8.0, ..friends(4, 20.0, 2.0) };
    let outcome = run(classic("course", plan), &server.targets()).await;
    let dropped = server.faults_done().await;
    assert!(dropped > 1, "{}", told(&outcome));
    assert_eq!((outcome.account.lost, outcome.unsent), (dropped, 0), "{}", told(&outcome));
    let given_up = outcome.errors.get("send: not received within the time allowed, went on").copied();
    assert!(given_up.is_some_and(|given_up| given_up >= dropped), "{}", told(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_history_names_the_messages_that_the_server_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(Tongue::course(), Fault::None).await;
    let keep = Some(directory.path().to_owned());
    let outcome = run(classic("course", Plan { keep, ..friends(4, 100.0, 0.5) }), &server.targets()).await;
    assert_nothing_lost(&outcome);
    let path = directory.path().join("history.jsonl.zst");
    let history = judge::history::read(&path).expect("kept");
    let entries: Vec<_> = history.map(|entry| entry.expect("lawful").event).collect();
    let named =
        entries.iter().filter(|event| matches!(event, judge::history::Event::Push { mid: Some(_), .. })).count();
    assert_eq!(named as u64, outcome.account.delivered);
}

#[tokio::test]
async fn a_profile_and_a_dialect_that_contradict_each_other_are_refused() {
    let plan = Plan { dialect: DialectName::Checked, ..classic("course", friends(4, 10.0, 0.5)) };
    let cancel = tokio_util::sync::CancellationToken::new();
    let refused =
        loadgen::run::execute(plan, &["127.0.0.1:1".to_owned()], Nodes::Elsewhere, &loadgen::run::Silent, cancel).await;
    let error = refused.expect_err("nothing was run").to_string();
    assert!(error.contains("course") && error.contains("dialect"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_profile_is_told_and_not_endured() {
    let server = Server::start(Tongue::course(), Fault::None).await;
    let wrong = Plan { connect_timeout_s: 1.0, ..friends(4, 10.0, 0.5) };
    let outcome = run(classic("logout_last", wrong), &server.targets()).await;
    assert_eq!(outcome.verdict, Verdict::Invalid);
    assert!(outcome.reasons[0].starts_with("register: "), "{}", told(&outcome));
}
