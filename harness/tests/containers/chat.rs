//! Promise: it does not matter which node one is on: what is said arrives, once and in order, now or at the next login
//! (G2, G3), in a cluster of containers with MySQL, behind nginx.
//! Fault: none; one cluster serves all tests of this file.

use chat::protocol::conversation::Target;
use harness::containers::shared;
use harness::users::{Chat, everybody_logs_in, meet};
use services::eventually;
use std::collections::HashSet;
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn chat_reaches_other_nodes_through_nginx() {
    let cluster = shared().await.expect("a cluster of three nodes");
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 6).await;
    let online = everybody_logs_in(&users, &[vec![cluster.address()]]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn group_chat_reaches_members_on_three_nodes() {
    let cluster = shared().await.expect("a cluster of three nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 6).await;
    let places: Vec<_> = (0..3).map(|place| cluster.from_node(place)).collect();
    let online = everybody_logs_in(&users, &places).await;
    let nodes: HashSet<_> = online.iter().filter_map(|user| user.node()).collect();
    assert_eq!(nodes.len(), 3, "{nodes:?}");

    let chat = Chat::start(&online, group);
    eventually(SOON, "people chat", async || (record.acked() >= 200).then_some(())).await;
    chat.stop().await;

    cluster.settle(&record, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_messages_arrive_at_a_login_on_another_node() {
    let cluster = shared().await.expect("a cluster of three nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 2).await;
    let here = users[0].log_in(&cluster.from_node(0)).await.expect("nobody is online yet");
    for _ in 0..20 {
        here.say_and_wait(Target::User(users[1].id)).await.expect("the message is acknowledged");
        here.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    }

    let there = users[1].log_in(&cluster.from_node(2)).await.expect("nobody is online yet");

    assert_eq!(there.node().as_deref(), Some("node-3"));
    let summary = cluster.settle(&record, SOON).await;
    assert_eq!(summary.delivered, 40);
    // What was received is not pushed again, wherever one logs in next.
    there.leave().await;
    let (client, _events) = users[1].bare_login(&cluster.from_node(1)).await.expect("nobody is online");
    assert_eq!(client.roster().await.map(|_| ()), Ok(()));
    cluster.settle(&record, SOON).await;
}
