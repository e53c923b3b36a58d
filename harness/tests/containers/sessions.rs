//! Promise: one session a user, across all nodes (G6), and whoever has to move is told.
//! Fault: a newer login elsewhere, a node that is asked to end, a node that dies with hundreds of clients.

use chat::client::Why;
use chat::protocol::conversation::Target;
use chat::protocol::errno::Errno;
use futures_util::future::join_all;
use harness::containers::{Cluster, Plot, Story, shared};
use harness::fault::Fault;
use harness::users::{Chat, everybody_logs_in, meet};
use services::eventually;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The lease (8 s), clients' way back, and a margin for a busy machine.
const BACK: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn newer_login_on_another_node_takes_over() {
    let cluster = shared().await.expect("a cluster of three nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 2).await;
    let friend = users[1].log_in(&cluster.from_node(2)).await.expect("nobody is online yet");
    let mut old = users[0].log_in(&cluster.from_node(0)).await.expect("nobody is online yet");
    assert!(users[0].log_in(&cluster.from_node(1)).await.is_err(), "a second session was allowed");

    let new = users[0].take_over(&cluster.from_node(1)).await.expect("a takeover is allowed");

    timeout(SOON, old.replaced()).await.expect("the older session is told");
    new.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_tells_clients_loses_nothing_and_ends_well() {
    let cluster = Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 5).await;
    let online = everybody_logs_in(&users[..4], &[cluster.from_node(0)]).await;
    let mut watcher = users[4].log_in_once(&cluster.from_node(0)).await.expect("nobody is online yet");
    let chat = Chat::start(&online, group);
    eventually(SOON, "people chat", async || (record.acked() >= 50).then_some(())).await;

    cluster.node(0).signal("SIGTERM").await.expect("the node runs");

    let why = timeout(SOON, watcher.ended()).await.expect("the client is told");
    assert!(matches!(&why, Why::Notice(failure) if failure.errno == Errno::Draining), "{why:?}");
    let code = cluster.node(0).ended(SOON).await.expect("the node ends");
    assert_eq!(code, 0);
    let has_moved = async || online.iter().all(|user| user.node().as_deref() == Some("node-2")).then_some(());
    eventually(BACK, "everybody is on the other node", has_moved).await;
    chat.stop().await;
    // Who was told and stayed away gets the rest at the next login.
    let _last = users[4].log_in_within(BACK, &cluster.from_node(1)).await;
    cluster.settle(&record, BACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_node_comes_back_without_a_loss() {
    let cluster = Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes");
    Story::on(&cluster).nothing_is_lost_through(Fault::Terminate("node-1".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_come_and_go_miss_nothing_when_a_node_is_killed() {
    let cluster = Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes");
    Story::on(&cluster).of(Plot::Offline).nothing_is_lost_through(Fault::Kill("node-1".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_log_in_elsewhere_have_one_session_when_a_node_stands_still() {
    let cluster = Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes");
    let story = Story::on(&cluster).of(Plot::Logins).lasting(Duration::from_secs(12));
    story.nothing_is_lost_through(Fault::Pause("node-2".into())).await;
}

/// Clients of the node that dies: groups of friends, who have something to say afterwards.
const STORM: usize = 1_000;
const GROUPS_OF: usize = 4;
const GROUPS_AT_ONCE: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn thousand_clients_of_a_dead_node_come_back() {
    let cluster = Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes");
    let record = cluster.record();
    let mut online = Vec::new();
    let mut groups = Vec::new();
    for _ in 0..STORM / GROUPS_OF / GROUPS_AT_ONCE {
        let gathering = (0..GROUPS_AT_ONCE).map(|_| async {
            let (users, group) = meet(&record, &[cluster.address()], GROUPS_OF).await;
            (everybody_logs_in(&users, &[cluster.from_node(0)]).await, group)
        });
        for (members, group) in join_all(gathering).await {
            online.extend(members);
            groups.push(group);
        }
    }
    assert!(online.iter().all(|user| user.node().as_deref() == Some("node-1")));

    let killed = Instant::now();
    let dead = Fault::Kill("node-1".into()).inflict(&cluster).await.expect("a node can be killed");
    let is_back = async || {
        let elsewhere = |node: Option<String>| node.is_some_and(|node| node != "node-1");
        online.iter().all(|user| elsewhere(user.node())).then_some(())
    };
    eventually(BACK, "everybody is back on another node", is_back).await;
    eprintln!("{STORM} clients are back after {:?}", killed.elapsed());

    for (members, group) in online.chunks(GROUPS_OF).zip(&groups) {
        members[0].say(Target::Group(*group));
    }
    cluster.settle(&record, BACK).await;
    dead.leave();
}
