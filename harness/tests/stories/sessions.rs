//! Promise: one session a user, across all nodes (G6), and whoever has to move is told.
//! Fault: a newer login elsewhere, four at once, nodes that are asked to end; people who come and go, or move about,
//! while a node is killed or stands still.

use crate::suite::{chat_goes_on, stories};
use chat_client::{Error, Why};
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;
use harness::cluster::{Kind, Running, Setup};
use harness::story::{Plot, Story};
use harness::users::{Chat, everybody_logs_in, meet};
use services::eventually;
use std::time::Duration;
use tokio::time::timeout;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The lease (8 s), clients' way back, and a margin for a busy machine.
const BACK: Duration = Duration::from_secs(60);

stories![
    login_elsewhere_is_refused_unless_it_takes_over,
    of_four_logins_at_once_exactly_one_wins,
    drained_node_tells_its_clients_loses_nothing_and_leaves_the_others_alone,
    rolling_restart_leaves_no_message_unacknowledged,
    people_who_come_and_go_miss_nothing_when_a_node_is_killed,
    people_who_log_in_elsewhere_have_one_session_when_a_node_stands_still,
];

async fn cluster(kind: &dyn Kind) -> Running {
    kind.start(Setup::nodes(3)).await.expect("a cluster of three nodes")
}

async fn login_elsewhere_is_refused_unless_it_takes_over(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 2).await;
    let mut here = users[0].log_in(&cluster.starting_at(0)).await.expect("nobody is online yet");
    let friend = users[1].log_in(&cluster.starting_at(1)).await.expect("nobody is online yet");

    let refused = users[0].log_in(&cluster.starting_at(1)).await.map(|_| ());
    let there = users[0].take_over(&cluster.starting_at(1)).await.expect("a takeover succeeds");

    let Err(Error::Refused(failure)) = refused else { panic!("a second login got {refused:?}") };
    assert_eq!(failure.errno, Errno::LoggedIn);
    timeout(SOON, here.replaced()).await.expect("the older session is told");
    assert_eq!(there.node().as_deref(), Some("node-2"));
    there.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    cluster.settle(&record, SOON).await;
}

async fn of_four_logins_at_once_exactly_one_wins(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 2).await;
    let user = &users[0];
    let (one, other) = (cluster.starting_at(0), cluster.starting_at(1));

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

async fn drained_node_tells_its_clients_loses_nothing_and_leaves_the_others_alone(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(2)).await.expect("a cluster of two nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 5).await;
    let stayed = everybody_logs_in(&users[..2], &[cluster.starting_at(1)]).await;
    let moved = everybody_logs_in(&users[2..4], &[cluster.starting_at(0)]).await;
    let mut watcher = users[4].log_in_once(&cluster.starting_at(0)).await.expect("nobody is online yet");
    let logins = cluster.metric(1, "chat_logins_total").await.expect("the node answers");
    let online: Vec<_> = stayed.iter().chain(&moved).cloned().collect();
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 100).await;

    let (code, why) = tokio::join!(cluster.terminate("node-1"), timeout(SOON, watcher.ended()));

    let why = why.expect("the client is told");
    assert!(matches!(&why, Why::Notice(failure) if failure.errno == Errno::Draining), "{why:?}");
    assert_eq!(code.expect("the node ends"), 0);
    let has_moved = async || online.iter().all(|user| user.node().as_deref() == Some("node-2")).then_some(());
    eventually(BACK, "everybody is on the other node", has_moved).await;
    chat_goes_on(&record, SOON, 100).await;
    chat.stop().await;
    let more = cluster.metric(1, "chat_logins_total").await.expect("the node answers") - logins;
    assert_eq!(more, 2.0, "only those who had to move logged in anew");
    // Who was told and stayed away gets the rest at the next login.
    let _last = users[4].log_in_within(BACK, &cluster.starting_at(1)).await;
    cluster.settle(&record, BACK).await;
}

async fn rolling_restart_leaves_no_message_unacknowledged(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(2)).await.expect("a cluster of two nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let online = everybody_logs_in(&users, &[vec![cluster.entry()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON, 50).await;

    for node in ["node-1", "node-2"] {
        assert_eq!(cluster.terminate(node).await.expect("the node ends"), 0);
        cluster.start(node).await.expect("the node starts");
        cluster.ready(node).await.expect("the node answers");
        chat_goes_on(&record, BACK, 50).await;
    }

    chat.stop().await;
    let summary = cluster.settle(&record, BACK).await;
    assert_eq!(summary.unknown, 0, "every message was acknowledged in the end");
}

async fn people_who_come_and_go_miss_nothing_when_a_node_is_killed(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    Story::on(&*cluster).of(Plot::Offline).nothing_is_lost_through("kill node-1").await;
}

async fn people_who_log_in_elsewhere_have_one_session_when_a_node_stands_still(kind: &dyn Kind) {
    let cluster = cluster(kind).await;
    let story = Story::on(&*cluster).of(Plot::Logins).lasting(Duration::from_secs(12));
    story.nothing_is_lost_through("pause node-2").await;
}
