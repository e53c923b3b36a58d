//! Promise: people on different nodes chat as if there were one (G1, G2, G3, G5), and each has one session at most
//! (G6). Fault: none, but people who come and go.

use chat::client::{Error, Event};
use chat::protocol::conversation::Target;
use chat::protocol::errno::Errno;
use harness::processes::Cluster;
use harness::users::{Chat, everybody_logs_in, meet};
use services::eventually;
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

async fn cluster() -> Cluster {
    Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes")
}

#[tokio::test(flavor = "multi_thread")]
async fn friends_and_groups_chat_across_nodes_behind_nginx() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.address()]]).await;
    let nodes: Vec<_> = online.iter().map(|user| user.node()).collect();
    assert!(nodes.contains(&Some("node-1".into())) && nodes.contains(&Some("node-2".into())), "{nodes:?}");

    let chat = Chat::start(&online, group);
    eventually(SOON, "400 messages are acknowledged", async || (record.acked() >= 400).then_some(())).await;
    chat.stop().await;

    let summary = cluster.settle(&record, SOON).await;
    assert_eq!(summary.unknown, 0, "without a fault, everything sent is acknowledged");
    for node in cluster.nodes() {
        let metric = async |name: &str| node.metric(name).await.expect("the node tells its metrics");
        assert!(metric("chat_bus_items_received_total").await > 0.0, "nodes hear each other");
        let ignored = (metric("chat_bus_forged_total").await, metric("chat_bus_undecodable_total").await);
        assert_eq!(ignored, (0.0, 0.0), "and believe each other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_to_the_absent_waits_at_every_node() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 3).await;
    let [absent, talker, present] = &users[..] else { panic!("three users") };
    let talking = talker.log_in(&cluster.from_node(0)).await.expect("nobody is online yet");
    let listening = present.log_in(&cluster.from_node(1)).await.expect("nobody is online yet");

    for _ in 0..30 {
        talking.say(Target::User(absent.id));
        talking.say(Target::Group(group));
        listening.say(Target::Group(group));
    }
    eventually(SOON, "everything is acknowledged", async || (record.acked() == 90).then_some(())).await;
    let first = absent.log_in(&cluster.from_node(1)).await.expect("nobody is online yet");
    cluster.settle(&record, SOON).await;
    first.leave().await;

    // What was received in one session does not come again in the next, on whatever node.
    let (again, mut events) = absent.bare_login(&cluster.from_node(0)).await.expect("the session has ended");
    again.ping().await.expect("the node answers");
    while let Some(event) = events.try_next() {
        match event {
            Event::LoggedIn(ack) => assert_eq!(ack.offline, 0),
            Event::Message(message) => panic!("received before: {message:?}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_elsewhere_is_refused_unless_it_takes_over() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 2).await;
    let mut here = users[0].log_in(&cluster.from_node(0)).await.expect("nobody is online yet");
    let friend = users[1].log_in(&cluster.from_node(1)).await.expect("nobody is online yet");

    let refused = users[0].log_in(&cluster.from_node(1)).await.map(|_| ());
    let there = users[0].take_over(&cluster.from_node(1)).await.expect("a takeover succeeds");

    let Err(Error::Refused(failure)) = refused else { panic!("a second login got {refused:?}") };
    assert_eq!(failure.errno, Errno::LoggedIn);
    here.replaced().await;
    assert_eq!(there.node().as_deref(), Some("node-2"));
    friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_four_logins_at_once_exactly_one_wins() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 2).await;
    let user = &users[0];
    let (one, other) = (cluster.from_node(0), cluster.from_node(1));

    for _ in 0..5 {
        let logins = tokio::join!(user.log_in(&one), user.log_in(&other), user.log_in(&one), user.log_in(&other));

        let mut winners = Vec::new();
        for login in [logins.0, logins.1, logins.2, logins.3] {
            match login {
                Ok(online) => winners.push(online),
                Err(Error::Refused(failure)) => assert_eq!(failure.errno, Errno::LoggedIn, "{failure:?}"),
                Err(error) => panic!("a login ended with {error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        for winner in winners {
            winner.leave().await;
        }
    }
}
