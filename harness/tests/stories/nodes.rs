//! Promise: whatever happens to a node, no acknowledged message is lost, doubled or reordered (G1, G2, G3), its users
//! go on elsewhere, and nobody has two sessions (G6).
//! Fault: a node is killed, with a few clients or with a thousand, or paused past its lease.

use crate::suite::{chat_goes_on, heal, inflict, stories};
use chat_client::{Options, RawConnection};
use chat_protocol::conversation::Target;
use chat_protocol::message::State;
use futures_util::future::join_all;
use harness::cluster::{Kind, Running, Setup};
use harness::users::{Chat, Online, User, everybody_logs_in, meet};
use serde_json::json;
use services::eventually;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// How long one question to a node may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// The lease (8 s), and time to come back.
const TAKEN_OVER: Duration = Duration::from_secs(15);
/// The lease (8 s) and a margin for a busy machine.
const WITHIN_THE_LEASE: Duration = Duration::from_secs(12);
/// The lease (8 s), a thousand clients' way back, and a margin for a busy machine.
const STORM_OVER: Duration = Duration::from_secs(60);
/// A node's end, its users' way back, and the look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(40);

stories![
    killed_nodes_users_go_on_elsewhere,
    users_of_a_dead_node_can_log_in_elsewhere,
    dead_node_comes_back_under_its_name_while_people_chat,
    dead_nodes_users_do_not_stay_online,
    paused_node_gives_up_what_was_taken_over,
    paused_node_resumes_sessions_that_nobody_took,
    thousand_clients_of_a_dead_node_come_back,
];

async fn cluster(kind: &dyn Kind) -> Running {
    kind.start(Setup::nodes(2)).await.expect("a cluster of two nodes")
}

async fn all_are_on(online: &[Arc<Online>], node: &str) {
    let claim = format!("everybody is on {node}");
    let is_there = |user: &Arc<Online>| user.node().as_deref() == Some(node);
    eventually(TAKEN_OVER, &claim, async || online.iter().all(is_there).then_some(())).await;
}

async fn killed_nodes_users_go_on_elsewhere(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.entry()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 100).await;

    cluster.kill("node-1").await.expect("a node can be killed");
    let killed = Instant::now();
    all_are_on(&online, "node-2").await;
    eprintln!("everybody is on the other node after {:?}", killed.elapsed());
    chat_goes_on(&record, SOON, 100).await;

    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn dead_node_comes_back_under_its_name_while_people_chat(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.entry()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 50).await;

    // The lease of its earlier run has to end first. Until then it refuses connections, so that nginx sends nobody to
    // it.
    cluster.kill("node-1").await.expect("a node can be killed");
    let killed = Instant::now();
    cluster.start("node-1").await.expect("a node can be started");
    let address = cluster.node_address(0);
    eventually(TAKEN_OVER, "the node accepts", async || TcpStream::connect(address).await.ok()).await;
    assert!(answers(address).await, "a node that accepts connections serves them");
    let all_online = async || online.iter().all(|user| user.node().is_some()).then_some(());
    eventually(TAKEN_OVER, "everybody is online", all_online).await;
    eprintln!("everybody is online after {:?}", killed.elapsed());
    chat_goes_on(&record, SOON, 100).await;

    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn users_of_a_dead_node_can_log_in_elsewhere(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 2).await;
    let online = users[0].log_in(&[cluster.node_address(0)]).await.expect("nobody is online yet");

    cluster.kill("node-1").await.expect("a node can be killed");
    let killed = Instant::now();
    online.vanish().await;
    let back = users[0].log_in_within(WITHIN_THE_LEASE, &[cluster.node_address(1)]).await;

    eprintln!("logged in elsewhere after {:?}", killed.elapsed());
    assert_eq!(back.node().as_deref(), Some("node-2"));
}

/// Whether it answers a PING.
async fn answers(node: SocketAddr) -> bool {
    let mut options = Options::new([node.to_string()]);
    (options.connect_timeout, options.request_timeout) = (ANSWER_WITHIN, ANSWER_WITHIN);
    let Ok(mut connection) = RawConnection::connect(&options).await else { return false };
    connection.send(&json!({"msgid": 19})).await.is_ok()
        && connection.next().await.is_ok_and(|pong| pong["msgid"] == 20)
}

async fn dead_nodes_users_do_not_stay_online(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 2).await;
    let gone = users[0].log_in(&[cluster.node_address(0)]).await.expect("nobody is online yet");
    let stays = users[1].log_in(&[cluster.node_address(1)]).await.expect("nobody is online yet");
    assert_eq!(stays.sees(&users[0]).await, Some(State::Online));

    cluster.kill("node-1").await.expect("a node can be killed");
    gone.vanish().await;

    let is_offline = async || (stays.sees(&users[0]).await == Some(State::Offline)).then_some(());
    eventually(TAKEN_OVER, "the dead node's user is offline", is_offline).await;
    let states = format!("SELECT state FROM user WHERE id = {}", users[0].id);
    eventually(SOON, "the table says so too", async || {
        (cluster.query(&states).await.ok()? == [["offline"]]).then_some(())
    })
    .await;
    let back = users[0].log_in(&[cluster.node_address(1)]).await.expect("the dead node's lease has ended");
    assert_eq!(stays.sees(&users[0]).await, Some(State::Online));
    back.say_and_wait(Target::User(users[1].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, SOON).await;
}

async fn paused_node_gives_up_what_was_taken_over(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let (one, other) = ([cluster.node_address(0)], [cluster.node_address(1)]);
    let mut left = Vec::new();
    for user in &users[..2] {
        left.push(user.log_in_once(&one).await.expect("nobody is online yet"));
    }
    let mut online = everybody_logs_in(&users[2..], &[other.to_vec()]).await;
    let chat = Chat::start(&online, group);
    left.iter().for_each(|user| user.say(Target::Group(group)));
    chat_goes_on(&record, SOON, 50).await;

    let paused = inflict(&*cluster, "pause node-1").await;
    left.iter().for_each(|user| user.say(Target::Group(group)));
    let mut taken_over = Vec::new();
    for user in &users[..2] {
        taken_over.push(Arc::new(user.log_in_within(TAKEN_OVER, &other).await));
    }
    taken_over.iter().for_each(|user| user.say(Target::Group(group)));
    heal(paused).await;

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

async fn paused_node_resumes_sessions_that_nobody_took(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 3).await;
    let online = everybody_logs_in(&users, &[vec![cluster.node_address(0)], vec![cluster.node_address(1)]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 50).await;

    let paused = inflict(&*cluster, "pause node-1").await;
    let friends_are_offline = async || (online[1].sees(&users[0]).await == Some(State::Offline)).then_some(());
    eventually(TAKEN_OVER, "the paused node's users are offline", friends_are_offline).await;
    heal(paused).await;

    all_online_again(&online, &users).await;
    chat_goes_on(&record, SOON, 50).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn all_online_again(online: &[Arc<Online>], users: &[User]) {
    let is_online = async || (online[1].sees(&users[0]).await == Some(State::Online)).then_some(());
    eventually(SOON, "the resumed node's users are online", is_online).await;
}

/// Clients of the node that dies: groups of friends, who have something to say afterwards.
const STORM: usize = 1_000;
const GROUPS_OF: usize = 4;
const GROUPS_AT_ONCE: usize = 25;

async fn thousand_clients_of_a_dead_node_come_back(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(3)).await.expect("a cluster of three nodes");
    let record = cluster.record();
    let mut online = Vec::new();
    let mut groups = Vec::new();
    for _ in 0..STORM / GROUPS_OF / GROUPS_AT_ONCE {
        let gathering = (0..GROUPS_AT_ONCE).map(|_| async {
            let (users, group) = meet(&record, &[cluster.entry()], GROUPS_OF).await;
            (everybody_logs_in(&users, &[cluster.starting_at(0)]).await, group)
        });
        for (members, group) in join_all(gathering).await {
            online.extend(members);
            groups.push(group);
        }
    }
    assert!(online.iter().all(|user| user.node().as_deref() == Some("node-1")));

    let killed = Instant::now();
    cluster.kill("node-1").await.expect("a node can be killed");
    let is_back = async || {
        let elsewhere = |node: Option<String>| node.is_some_and(|node| node != "node-1");
        online.iter().all(|user| elsewhere(user.node())).then_some(())
    };
    eventually(STORM_OVER, "everybody is back on another node", is_back).await;
    eprintln!("{STORM} clients are back after {:?}", killed.elapsed());

    for (members, group) in online.chunks(GROUPS_OF).zip(&groups) {
        members[0].say(Target::Group(*group));
    }
    cluster.settle(&record, STORM_OVER).await;
}
