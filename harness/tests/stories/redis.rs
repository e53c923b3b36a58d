//! Promise: Redis only speeds things up and holds nothing (G7): without it, acknowledged messages still arrive, in
//! order and once, logins and takeovers work, and what crosses nodes is quick again once it is back.
//! Fault: Redis is down from the start, comes back empty, stands still.

use crate::suite::{chat_goes_on, four_chat, heal, inflict, stories};
use chat_protocol::conversation::Target;
use harness::cluster::{Cluster, Kind, Running, Setup};
use harness::users::{Record, meet};
use services::eventually;
use std::time::Duration;
use tokio::time::Instant;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Without Redis: one look into the log (every 10 s) and its work, but not two.
const REPAIRED: Duration = Duration::from_secs(15);
/// Far less than until the next look into the log: only Redis is this quick.
const OVER_REDIS: Duration = Duration::from_secs(3);

stories![
    messages_cross_nodes_although_redis_was_never_there,
    takeover_works_without_redis,
    delivery_is_quick_again_after_redis_came_back_empty,
    delivery_is_quick_again_after_redis_stood_still,
];

async fn cluster(kind: &dyn Kind) -> Running {
    kind.start(Setup::nodes(2)).await.expect("a cluster of two nodes")
}

async fn cluster_without_redis(kind: &dyn Kind) -> Running {
    kind.start(Setup::nodes(2).redis_down()).await.expect("nodes start without redis")
}

/// Both nodes are subscribed again, and what is said on one is soon heard on the other.
async fn delivery_is_quick_again(cluster: &dyn Cluster, record: &Record) {
    for node in 0..2 {
        let claim = format!("node-{} is subscribed", node + 1);
        let connected = async || (!cluster.lacks(node, "bus").await.ok()?).then_some(());
        eventually(SOON, &claim, connected).await;
    }
    let start = Instant::now();
    let quick = async || (record.delivered_since(start) >= 50).then_some(());
    eventually(OVER_REDIS, "messages cross nodes quickly", quick).await;
}

async fn messages_cross_nodes_although_redis_was_never_there(kind: &dyn Kind) {
    let cluster = cluster_without_redis(kind).await;
    let (record, _online, chat) = four_chat(&*cluster).await;
    chat_goes_on(&record, SOON, 200).await;
    chat.stop().await;

    cluster.settle(&record, REPAIRED).await;
}

async fn takeover_works_without_redis(kind: &dyn Kind) {
    let cluster = cluster_without_redis(kind).await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 2).await;
    let mut here = users[0].log_in(&cluster.starting_at(0)).await.expect("nobody is online yet");
    let friend = users[1].log_in(&cluster.starting_at(0)).await.expect("nobody is online yet");

    let started = Instant::now();
    let there = users[0].take_over(&[cluster.node_address(1)]).await.expect("a takeover succeeds");
    eprintln!("the takeover took {:?}", started.elapsed());

    here.replaced().await;
    assert_eq!(there.node().as_deref(), Some("node-2"));
    friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, REPAIRED).await;
}

async fn delivery_is_quick_again_after_redis_came_back_empty(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let (record, _online, chat) = four_chat(&*cluster).await;
    chat_goes_on(&record, SOON, 100).await;

    let killed = inflict(&*cluster, "kill redis").await;
    chat_goes_on(&record, SOON, 100).await;
    heal(killed).await;

    delivery_is_quick_again(&*cluster, &record).await;
    chat.stop().await;
    let summary = cluster.settle(&record, REPAIRED).await;
    assert_eq!(summary.unknown, 0, "acks do not need redis");
}

async fn delivery_is_quick_again_after_redis_stood_still(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let (record, _online, chat) = four_chat(&*cluster).await;
    chat_goes_on(&record, SOON, 100).await;

    // Connections stay open: only the nodes' own time-outs tell.
    let paused = inflict(&*cluster, "pause redis").await;
    for node in 0..2 {
        let claim = format!("node-{} notices", node + 1);
        let noticed = async || cluster.lacks(node, "bus").await.ok()?.then_some(());
        eventually(REPAIRED, &claim, noticed).await;
    }
    chat_goes_on(&record, SOON, 50).await;
    heal(paused).await;

    delivery_is_quick_again(&*cluster, &record).await;
    chat.stop().await;
    let summary = cluster.settle(&record, REPAIRED).await;
    assert_eq!(summary.unknown, 0, "acks do not need redis");
}
