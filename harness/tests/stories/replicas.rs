//! Promise: what was acknowledged is durable (G1) and delivered once and in order (G2, G3), nobody has two sessions
//! (G6), and service goes on as long as a majority of the database's members lives, and one Redis of several.
//! Fault: the preferred member is killed or takes no more writes, a majority is dead, a member has lost its data, a
//! clock steps; one of two Redis is killed.

use crate::suite::{
    Asking, four_chat, heal, inflict, new_messages_are_acknowledged, sender_is_told, stories, three_chat_and_one_asks,
};
use harness::cluster::{Flavour, Kind, Running, Setup};
use harness::story::{Plot, Story};
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The members' failure detection (some 2 s), the way to the next of the list, and a margin for a busy machine.
const FAILED_OVER: Duration = Duration::from_secs(20);
/// Until a node has given up on its database: its own limit for a call is 5 s.
const NOTICED: Duration = Duration::from_secs(20);
/// Members finding each other, the lease, and a look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(60);
/// How many take part in a story of many: three database servers have enough to do on a small machine.
const USERS: usize = 20;

stories![
    service_goes_on_without_the_preferred_server,
    senders_are_told_while_two_of_three_servers_are_dead,
    server_without_data_rejoins_while_people_chat,
    nobody_has_two_sessions_when_a_clock_steps_and_a_node_stands_still,
    messages_cross_nodes_while_one_of_two_redis_is_dead,
];

fn replicated() -> Setup {
    Setup::nodes(2).database(Flavour::Galera(3))
}

async fn cluster(kind: &dyn Kind, setup: Setup) -> Running {
    kind.start(setup).await.expect("a cluster of two nodes")
}

async fn service_goes_on_without_the_preferred_server(kind: &dyn Kind) {
    let cluster = cluster(kind, replicated()).await;
    let (record, _online, chat) = four_chat(&*cluster).await;
    new_messages_are_acknowledged(&record, SOON).await;

    for fault in ["switchover", "kill database-1"] {
        let broken = inflict(&*cluster, fault).await;
        new_messages_are_acknowledged(&record, FAILED_OVER).await;
        heal(broken).await;
        new_messages_are_acknowledged(&record, FAILED_OVER).await;
    }

    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn senders_are_told_while_two_of_three_servers_are_dead(kind: &dyn Kind) {
    let cluster = cluster(kind, replicated()).await;
    let Asking { record, online: _online, chat, probe, group } = three_chat_and_one_asks(&*cluster).await;
    new_messages_are_acknowledged(&record, SOON).await;

    let first = inflict(&*cluster, "kill database-2").await;
    let second = inflict(&*cluster, "kill database-3").await;
    sender_is_told(&probe, group, NOTICED).await;
    // One alone may not be enough for a majority.
    tokio::join!(heal(first), heal(second));

    new_messages_are_acknowledged(&record, RECOVERED).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn server_without_data_rejoins_while_people_chat(kind: &dyn Kind) {
    let cluster = cluster(kind, replicated()).await;
    Story::on(&*cluster).users(USERS).nothing_is_lost_through("replace database-3").await;
}

async fn nobody_has_two_sessions_when_a_clock_steps_and_a_node_stands_still(kind: &dyn Kind) {
    let cluster = cluster(kind, replicated().clocks()).await;
    let faults = ["clock database-1 +10s", "pause node-1"].map(|fault| fault.parse().expect("it is a fault"));
    let story = Story::on(&*cluster).of(Plot::Logins).users(USERS).lasting(Duration::from_secs(12));
    story.tell(&faults).await.expect("the story has an end").expect_valid();
}

async fn messages_cross_nodes_while_one_of_two_redis_is_dead(kind: &dyn Kind) {
    let cluster = cluster(kind, Setup::nodes(2).buses(2)).await;
    let story = Story::on(&*cluster).users(USERS).staying_broken();
    story.nothing_is_lost_through("kill redis-1").await;
}
