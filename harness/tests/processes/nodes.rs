//! Promise: whatever happens to a node, no acknowledged message is lost, doubled or reordered (G1, G2, G3), its users
//! go on elsewhere, and nobody has two sessions (G6).
//! Fault: a node is killed, paused past its lease, drained, restarted.

use chat::protocol::conversation::Target;
use chat::protocol::message::State;
use harness::processes::Cluster;
use harness::users::{Chat, Online, Record, User, everybody_logs_in, meet};
use services::eventually;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// The lease (8 s), and time to come back.
const TAKEN_OVER: Duration = Duration::from_secs(15);
/// A node's end, its users' way back, and the look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(40);

async fn cluster() -> Cluster {
    Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes")
}

/// Until this many more messages are acknowledged.
async fn chat_goes_on(record: &Record, budget: Duration, more: usize) {
    let goal = record.acked() + more;
    eventually(budget, "the chat goes on", async || (record.acked() >= goal).then_some(())).await;
}

async fn all_are_on(online: &[Arc<Online>], node: &str) {
    let claim = format!("everybody is on {node}");
    let is_there = |user: &Arc<Online>| user.node().as_deref() == Some(node);
    eventually(TAKEN_OVER, &claim, async || online.iter().all(is_there).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_node_loses_no_message_and_its_users_go_on() {
    let mut cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.address()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 100).await;

    cluster.kill_node(0);
    let killed = Instant::now();
    all_are_on(&online, "node-2").await;
    eprintln!("everybody is on the other node after {:?}", killed.elapsed());
    chat_goes_on(&record, SOON, 100).await;

    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_node_comes_back_under_its_name_while_people_chat() {
    let mut cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.address()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 50).await;

    // The lease of its earlier run has to end first. Until then it refuses connections, so that nginx sends nobody to
    // it.
    cluster.kill_node(0);
    let killed = Instant::now();
    cluster.spawn_node(0);
    let address = cluster.node(0).address();
    eventually(TAKEN_OVER, "the node accepts", async || TcpStream::connect(address).await.ok()).await;
    assert!(cluster.node(0).answers().await, "a node that accepts connections serves them");
    let all_online = async || online.iter().all(|user| user.node().is_some()).then_some(());
    eventually(TAKEN_OVER, "everybody is online", all_online).await;
    eprintln!("everybody is online after {:?}", killed.elapsed());
    chat_goes_on(&record, SOON, 100).await;

    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_nodes_users_do_not_stay_online() {
    let mut cluster = cluster().await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 2).await;
    let gone = users[0].log_in(&[cluster.node(0).address()]).await.expect("nobody is online yet");
    let stays = users[1].log_in(&[cluster.node(1).address()]).await.expect("nobody is online yet");
    assert_eq!(stays.sees(&users[0]).await, Some(State::Online));

    cluster.kill_node(0);
    gone.vanish().await;

    let is_offline = async || (stays.sees(&users[0]).await == Some(State::Offline)).then_some(());
    eventually(TAKEN_OVER, "the dead node's user is offline", is_offline).await;
    let states = format!("SELECT state FROM user WHERE id = {}", users[0].id);
    eventually(SOON, "the table says so too", async || (cluster.query(&states) == "offline\n").then_some(())).await;
    let back = users[0].log_in(&[cluster.node(1).address()]).await.expect("the dead node's lease has ended");
    assert_eq!(stays.sees(&users[0]).await, Some(State::Online));
    back.say_and_wait(Target::User(users[1].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_node_gives_up_what_was_taken_over() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let (one, other) = ([cluster.node(0).address()], [cluster.node(1).address()]);
    let mut left = Vec::new();
    for user in &users[..2] {
        left.push(user.log_in_once(&one).await.expect("nobody is online yet"));
    }
    let mut online = everybody_logs_in(&users[2..], &[other.to_vec()]).await;
    let chat = Chat::start(&online, group);
    left.iter().for_each(|user| user.say(Target::Group(group)));
    chat_goes_on(&record, SOON, 50).await;

    let paused = cluster.pause_node(0);
    left.iter().for_each(|user| user.say(Target::Group(group)));
    let mut taken_over = Vec::new();
    for user in &users[..2] {
        taken_over.push(Arc::new(user.log_in_within(TAKEN_OVER, &other).await));
    }
    taken_over.iter().for_each(|user| user.say(Target::Group(group)));
    paused.resume();

    // The one side's clients are told and stay away; the other side's sessions live.
    for user in &mut left {
        timeout(SOON, user.replaced()).await.expect("the resumed node closes what was taken over");
    }
    chat_goes_on(&record, SOON, 50).await;
    online.extend(taken_over);
    for user in &online {
        assert_eq!(user.node().as_deref(), Some("node-2"));
        user.client().ping().await.expect("the session lives");
    }
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_node_resumes_sessions_that_nobody_took() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 3).await;
    let online = everybody_logs_in(&users, &[vec![cluster.node(0).address()], vec![cluster.node(1).address()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 50).await;

    let paused = cluster.pause_node(0);
    let friends_are_offline = async || (online[1].sees(&users[0]).await == Some(State::Offline)).then_some(());
    eventually(TAKEN_OVER, "the paused node's users are offline", friends_are_offline).await;
    paused.resume();

    all_online_again(&online, &users).await;
    chat_goes_on(&record, SOON, 50).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn all_online_again(online: &[Arc<Online>], users: &[User]) {
    let is_online = async || (online[1].sees(&users[0]).await == Some(State::Online)).then_some(());
    eventually(SOON, "the resumed node's users are online", is_online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_node_loses_nothing_and_leaves_the_others_alone() {
    let mut cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let stayed = everybody_logs_in(&users[..2], &[cluster.from_node(1)]).await;
    let moved = everybody_logs_in(&users[2..], &[cluster.from_node(0)]).await;
    let logins = cluster.node(1).metric("chat_logins_total").await.expect("the node answers");
    let online: Vec<_> = stayed.iter().chain(&moved).cloned().collect();
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 100).await;

    let status = cluster.drain_node(0).await;

    assert!(status.success(), "{status}");
    all_are_on(&online, "node-2").await;
    chat_goes_on(&record, SOON, 100).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
    let more = cluster.node(1).metric("chat_logins_total").await.expect("the node answers") - logins;
    assert_eq!(more, 2.0, "only those who had to move logged in anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_loses_nothing() {
    let mut cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.address()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 50).await;

    for place in 0..2 {
        let status = cluster.drain_node(place).await;
        assert!(status.success(), "{status}");
        cluster.restart_node(place).await;
        chat_goes_on(&record, SOON, 50).await;
    }

    chat.stop().await;
    let summary = cluster.settle(&record, RECOVERED).await;
    assert_eq!(summary.unknown, 0, "every message was acknowledged in the end");
}
