//! Promise: a bad network costs time and no message (G1 to G5), and whoever is silent does not stay online.
//! Fault: links that are slow, thin, silent or broken off, between nodes and what they need, and between clients and
//! nginx.

use crate::suite::{chat_goes_on, four_chat, heal, inflict, stories};
use chat_protocol::conversation::Target;
use harness::cluster::{Kind, Setup};
use harness::link::Proxy;
use harness::users::{Chat, everybody_logs_in, meet};
use services::eventually;
use std::sync::Arc;
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Reconnects, and the look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(60);

stories![
    no_acknowledged_message_is_lost_when_nodes_links_are_slow_and_break_off needs Relays,
    slow_reader_gets_everything_and_holds_up_nobody,
    silent_client_does_not_stay_online_and_loses_nothing,
    reset_connection_costs_a_reconnect_and_no_message,
];

async fn no_acknowledged_message_is_lost_when_nodes_links_are_slow_and_break_off(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(2).relays()).await.expect("a cluster of two nodes");
    let (record, _online, chat) = four_chat(&*cluster).await;
    chat_goes_on(&record, RECOVERED, 50).await;

    let slow =
        [inflict(&*cluster, "slow node-1 database 100").await, inflict(&*cluster, "slow node-2 redis 100").await];
    chat_goes_on(&record, RECOVERED, 50).await;
    for _ in 0..3 {
        heal(inflict(&*cluster, "reset node-1 redis").await).await;
        heal(inflict(&*cluster, "reset node-2 database").await).await;
        chat_goes_on(&record, RECOVERED, 50).await;
    }
    for slow in slow {
        heal(slow).await;
    }

    chat_goes_on(&record, RECOVERED, 50).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

async fn slow_reader_gets_everything_and_holds_up_nobody(kind: &dyn Kind) {
    let setup = Setup::nodes(2).setting("limits.queue_bytes", "4096");
    let cluster = kind.start(setup).await.expect("a cluster of two nodes");
    let proxy = Proxy::start([127, 0, 0, 1].into(), cluster.entry()).await.expect("a port to listen on");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let mut online = everybody_logs_in(&users[..3], &[vec![cluster.entry()]]).await;
    let reader = users[3].log_in(&[proxy.address()]).await.expect("nobody is online yet");

    let thin = proxy.thin(4_000);
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, RECOVERED, 500).await;
    chat.stop().await;
    thin.heal();

    let summary = cluster.settle(&record, RECOVERED).await;
    assert!(summary.slowest_ack < RECOVERED, "{summary}");
    online.push(Arc::new(reader));
    assert!(online.iter().all(|user| user.node().is_some()));
}

async fn silent_client_does_not_stay_online_and_loses_nothing(kind: &dyn Kind) {
    let setup = Setup::nodes(2).setting("limits.heartbeat_s", "1");
    let cluster = kind.start(setup).await.expect("a cluster of two nodes");
    let proxy = Proxy::start([127, 0, 0, 1].into(), cluster.entry()).await.expect("a port to listen on");
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.entry()], 2).await;
    let silent = users[0].log_in(&[proxy.address()]).await.expect("nobody is online yet");
    let friend = users[1].log_in(&[cluster.entry()]).await.expect("nobody is online yet");

    let _gone = proxy.silent();
    for _ in 0..10 {
        friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    }

    // Without a takeover: the node has found out by itself.
    let login = async || users[0].log_in(&[cluster.entry()]).await.ok();
    let _back = eventually(SOON, "the silent session has ended", login).await;
    cluster.settle(&record, SOON).await;
    drop(silent);
}

async fn reset_connection_costs_a_reconnect_and_no_message(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(2)).await.expect("a cluster of two nodes");
    let proxy = Proxy::start([127, 0, 0, 1].into(), cluster.entry()).await.expect("a port to listen on");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let online = everybody_logs_in(&users, &[vec![proxy.address()]]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, RECOVERED, 50).await;

    for _ in 0..3 {
        proxy.reset();
        chat_goes_on(&record, RECOVERED, 50).await;
    }

    chat.stop().await;
    assert!(online.iter().all(|user| user.logins() > 1), "everybody was broken off");
    cluster.settle(&record, RECOVERED).await;
}
