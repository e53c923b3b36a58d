//! Promise: Redis only speeds things up and holds nothing (G7): without it, acknowledged messages still arrive, in
//! order and once, logins and takeovers work, and what crosses nodes is quick again once it is back.
//! Fault: Redis is down from the start, killed and restarted empty, paused.

use chat::protocol::conversation::Target;
use harness::processes::Cluster;
use harness::users::{Chat, Record, everybody_logs_in, meet};
use services::eventually;
use std::time::{Duration, Instant};

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Without Redis: one look into the log (every 10 s) and its work, but not two.
const REPAIRED: Duration = Duration::from_secs(15);
/// Far less than until the next look into the log: only Redis is this quick.
const OVER_REDIS: Duration = Duration::from_secs(3);

async fn chat_goes_on(record: &Record, more: usize) {
    let goal = record.acked() + more;
    eventually(SOON, "the chat goes on", async || (record.acked() >= goal).then_some(())).await;
}

/// Both nodes are subscribed again, and what is said on one is soon heard on the other.
async fn delivery_is_quick_again(cluster: &Cluster, record: &Record) {
    for node in cluster.nodes() {
        let claim = format!("{} is subscribed", node.id());
        let connected = async || (!node.lacks("bus").await.ok()?).then_some(());
        eventually(SOON, &claim, connected).await;
    }
    let start = Instant::now();
    let quick = async || (record.delivered_since(start) >= 50).then_some(());
    eventually(OVER_REDIS, "messages cross nodes quickly", quick).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_cross_nodes_although_redis_was_never_there() {
    let cluster = Cluster::builder().nodes(2).redis_down().start().await.expect("nodes start without redis");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[cluster.from_node(0), cluster.from_node(1)]).await;

    let chat = Chat::start(&online, group);
    chat_goes_on(&record, 200).await;
    chat.stop().await;

    cluster.settle(&record, REPAIRED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takeover_works_without_redis() {
    let cluster = Cluster::builder().nodes(2).redis_down().start().await.expect("nodes start without redis");
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 2).await;
    let mut here = users[0].log_in(&cluster.from_node(0)).await.expect("nobody is online yet");
    let friend = users[1].log_in(&cluster.from_node(0)).await.expect("nobody is online yet");

    let started = Instant::now();
    let there = users[0].take_over(&[cluster.node(1).address()]).await.expect("a takeover succeeds");
    eprintln!("the takeover took {:?}", started.elapsed());

    here.replaced().await;
    assert_eq!(there.node().as_deref(), Some("node-2"));
    friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, REPAIRED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_and_restarted_empty_loses_no_message() {
    let mut cluster = Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[cluster.from_node(0), cluster.from_node(1)]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, 100).await;

    cluster.kill_redis();
    chat_goes_on(&record, 100).await;
    cluster.restart_redis_empty().await;

    delivery_is_quick_again(&cluster, &record).await;
    chat.stop().await;
    let summary = cluster.settle(&record, REPAIRED).await;
    assert_eq!(summary.unknown, 0, "acks do not need redis");
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_redis_loses_no_message() {
    let cluster = Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[cluster.from_node(0), cluster.from_node(1)]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, 100).await;

    // Connections stay open: only the nodes' own time-outs tell.
    let paused = cluster.pause_redis();
    for node in cluster.nodes() {
        let claim = format!("{} notices", node.id());
        let noticed = async || node.lacks("bus").await.ok()?.then_some(());
        eventually(REPAIRED, &claim, noticed).await;
    }
    chat_goes_on(&record, 50).await;
    paused.resume();

    delivery_is_quick_again(&cluster, &record).await;
    chat.stop().await;
    let summary = cluster.settle(&record, REPAIRED).await;
    assert_eq!(summary.unknown, 0, "acks do not need redis");
}
