//! Promise: what was acknowledged is durable (G1) and delivered once and in order (G2, G3), nobody has two sessions
//! (G6), and service resumes by itself; meanwhile senders are told errno 11.
//! Fault: the database is killed, paused for less and for more than a lease (8 s), or out of connections.

use crate::suite::{
    Asking, four_chat, heal, inflict, new_messages_are_acknowledged, sender_is_told, stories, three_chat_and_one_asks,
};
use harness::cluster::{Kind, Running, Setup};
use services::{eventually, within};
use std::time::Duration;
use tokio::time::Instant;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Until a node has given up on its database: its own limit for a call is 5 s.
const NOTICED: Duration = Duration::from_secs(15);
/// More than a renewal of the lease takes.
const LESS_THAN_A_LEASE: Duration = Duration::from_secs(4);
/// The database's recovery, the lease, and a look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(40);

stories![
    senders_are_told_while_the_database_is_dead,
    database_paused_for_less_than_a_lease_keeps_every_session,
    database_paused_for_more_than_a_lease_suspends_sessions_and_resumes_them,
    nobody_gets_a_connection_of_an_exhausted_database,
];

async fn cluster(kind: &dyn Kind) -> Running {
    kind.start(Setup::nodes(2).own_database()).await.expect("a cluster of two nodes")
}

async fn senders_are_told_while_the_database_is_dead(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let Asking { record, online: _online, chat, probe, group } = three_chat_and_one_asks(&*cluster).await;
    new_messages_are_acknowledged(&record, SOON).await;

    let killed = inflict(&*cluster, "kill database").await;
    sender_is_told(&probe, group, NOTICED).await;
    heal(killed).await;

    new_messages_are_acknowledged(&record, RECOVERED).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn database_paused_for_less_than_a_lease_keeps_every_session(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let (record, online, chat) = four_chat(&*cluster).await;
    new_messages_are_acknowledged(&record, SOON).await;

    let paused = inflict(&*cluster, "pause database").await;
    let start = Instant::now();
    let acked = async || (record.acked_since(start) > 0).then_some(());
    let acked = within(LESS_THAN_A_LEASE, "a message is acknowledged", acked).await;
    assert!(acked.is_err(), "acknowledged without a database");
    heal(paused).await;

    assert!(start.elapsed() < Duration::from_secs(6), "the machine is too busy to pause for less than a lease");
    new_messages_are_acknowledged(&record, SOON).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
    assert!(online.iter().all(|user| user.logins() == 1), "nobody had to log in again");
}

async fn database_paused_for_more_than_a_lease_suspends_sessions_and_resumes_them(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let Asking { record, online, chat, probe, group } = three_chat_and_one_asks(&*cluster).await;
    new_messages_are_acknowledged(&record, SOON).await;

    let paused = inflict(&*cluster, "pause database").await;
    for node in 0..2 {
        let claim = format!("node-{} has no lease", node + 1);
        eventually(NOTICED, &claim, async || cluster.lacks(node, "lease").await.ok()?.then_some(())).await;
    }
    sender_is_told(&probe, group, NOTICED).await;
    heal(paused).await;

    new_messages_are_acknowledged(&record, RECOVERED).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
    assert!(online.iter().all(|user| user.logins() == 1), "nobody had to log in again");
}

async fn nobody_gets_a_connection_of_an_exhausted_database(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let _exhausted = inflict(&*cluster, "exhaust database").await;
    let refused = cluster.query("SELECT 1").await.expect_err("no connection is left");
    assert!(format!("{refused:#}").contains("Too many connections"), "{refused:#}");
}
