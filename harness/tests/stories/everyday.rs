//! Promise: it does not matter which node one is on: what is said arrives, once and in order, now or at the next login
//! (G1, G2, G3, G5), behind nginx.
//! Fault: none, but people who come and go.

use crate::suite::{chat_goes_on, stories};
use chat_client::Event;
use chat_protocol::conversation::Target;
use harness::cluster::{Kind, Running, Setup};
use harness::users::{Chat, everybody_logs_in, meet};
use services::eventually;
use std::collections::HashSet;
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

stories![
    chat_reaches_other_nodes_through_nginx,
    groups_chat_across_nodes,
    what_was_said_to_the_absent_waits_at_every_node,
];

async fn cluster(kind: &dyn Kind) -> Running {
    kind.start(Setup::nodes(3)).await.expect("a cluster of three nodes")
}

async fn chat_reaches_other_nodes_through_nginx(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 6).await;
    let online = everybody_logs_in(&users, &[vec![cluster.entry()]]).await;
    let nodes: HashSet<_> = online.iter().filter_map(|user| user.node()).collect();
    assert!(nodes.len() > 1, "nginx spreads connections, but all are on {nodes:?}");

    for user in &online {
        for friend in users.iter().filter(|friend| friend.id != user.user.id) {
            user.say_and_wait(Target::User(friend.id)).await.expect("the message is acknowledged");
        }
    }

    let summary = cluster.settle(&record, SOON).await;
    assert_eq!((summary.acked, summary.delivered), (30, 30));
}

async fn groups_chat_across_nodes(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 6).await;
    let places: Vec<_> = (0..3).map(|place| cluster.starting_at(place)).collect();
    let online = everybody_logs_in(&users, &places).await;
    let nodes: HashSet<_> = online.iter().filter_map(|user| user.node()).collect();
    assert_eq!(nodes.len(), 3, "{nodes:?}");

    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 400).await;
    chat.stop().await;

    let summary = cluster.settle(&record, SOON).await;
    assert_eq!(summary.unknown, 0, "without a fault, everything sent is acknowledged");
    for node in 0..3 {
        let metric = async |name: &str| cluster.metric(node, name).await.expect("the node tells its metrics");
        assert!(metric("chat_bus_items_received_total").await > 0.0, "nodes hear each other");
        let ignored = (metric("chat_bus_forged_total").await, metric("chat_bus_undecodable_total").await);
        assert_eq!(ignored, (0.0, 0.0), "and believe each other");
    }
}

async fn what_was_said_to_the_absent_waits_at_every_node(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 3).await;
    let [absent, talker, present] = &users[..] else { panic!("three users") };
    let talking = talker.log_in(&cluster.starting_at(0)).await.expect("nobody is online yet");
    let listening = present.log_in(&cluster.starting_at(1)).await.expect("nobody is online yet");

    for _ in 0..30 {
        talking.say(Target::User(absent.id));
        talking.say(Target::Group(group));
        listening.say(Target::Group(group));
    }
    eventually(SOON, "everything is acknowledged", async || (record.acked() == 90).then_some(())).await;
    let first = absent.log_in(&cluster.starting_at(2)).await.expect("nobody is online yet");
    assert_eq!(first.node().as_deref(), Some("node-3"));
    // 30 to the one, and 60 to a group of which two others are members.
    assert_eq!(cluster.settle(&record, SOON).await.delivered, 30 + 60 * 2);
    first.leave().await;

    // What was received in one session does not come again in the next, on whatever node.
    let (again, mut events) = absent.bare_login(&cluster.starting_at(0)).await.expect("the session has ended");
    again.ping().await.expect("the node answers");
    while let Some(event) = events.try_next() {
        match event {
            Event::LoggedIn(ack) => assert_eq!(ack.offline, 0),
            Event::Message(message) => panic!("received before: {message:?}"),
            _ => {}
        }
    }
}
