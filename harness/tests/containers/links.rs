//! Promise: a bad network costs time and no message (G1 to G5), and whoever is silent does not stay online.
//! Fault: links that are slow, thin, silent or broken off, between nodes and what they need, and between clients and
//! nginx.

use chat::protocol::conversation::Target;
use harness::containers::{Cluster, Proxy};
use harness::users::{Chat, Record, everybody_logs_in, meet};
use services::eventually;
use std::sync::Arc;
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Reconnects, and the look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(60);
/// One way between data centres far apart.
const FAR: Duration = Duration::from_millis(100);

async fn more_is_acknowledged(record: &Record, more: usize) {
    let goal = record.acked() + more;
    eventually(RECOVERED, "the chat goes on", async || (record.acked() >= goal).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_nodes_links_are_slow_and_break_off() {
    let cluster = Cluster::builder().nodes(2).proxied().start().await.expect("a cluster of two nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[cluster.from_node(0), cluster.from_node(1)]).await;
    let chat = Chat::start(&online, group);
    more_is_acknowledged(&record, 50).await;

    let slow = [cluster.link("node-1", "database").slow(FAR), cluster.link("node-2", "redis").slow(FAR)];
    more_is_acknowledged(&record, 50).await;
    for _ in 0..3 {
        cluster.link("node-1", "redis").reset();
        cluster.link("node-2", "database").reset();
        more_is_acknowledged(&record, 50).await;
    }
    drop(slow);

    more_is_acknowledged(&record, 50).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_gets_everything_and_holds_up_nobody() {
    let builder = Cluster::builder().nodes(2).setting("limits.queue_bytes", "4096");
    let cluster = builder.start().await.expect("a cluster of two nodes");
    let proxy = Proxy::start([127, 0, 0, 1].into(), cluster.address()).await.expect("a port to listen on");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let mut online = everybody_logs_in(&users[..3], &[vec![cluster.address()]]).await;
    let reader = users[3].log_in(&[proxy.address()]).await.expect("nobody is online yet");

    let thin = proxy.thin(4_000);
    let chat = Chat::start(&online, group);
    more_is_acknowledged(&record, 500).await;
    chat.stop().await;
    thin.heal();

    let summary = cluster.settle(&record, RECOVERED).await;
    assert!(summary.slowest_ack < RECOVERED, "{summary}");
    online.push(Arc::new(reader));
    assert!(online.iter().all(|user| user.node().is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_client_does_not_stay_online_and_loses_nothing() {
    let builder = Cluster::builder().nodes(2).setting("limits.heartbeat_s", "1");
    let cluster = builder.start().await.expect("a cluster of two nodes");
    let proxy = Proxy::start([127, 0, 0, 1].into(), cluster.address()).await.expect("a port to listen on");
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 2).await;
    let silent = users[0].log_in(&[proxy.address()]).await.expect("nobody is online yet");
    let friend = users[1].log_in(&[cluster.address()]).await.expect("nobody is online yet");

    let _gone = proxy.silent();
    for _ in 0..10 {
        friend.say_and_wait(Target::User(users[0].id)).await.expect("the message is acknowledged");
    }

    // Without a takeover: the node has found out by itself.
    let login = async || users[0].log_in(&[cluster.address()]).await.ok();
    let _back = eventually(SOON, "the silent session has ended", login).await;
    cluster.settle(&record, SOON).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_connection_costs_a_reconnect_and_no_message() {
    let cluster = Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes");
    let proxy = Proxy::start([127, 0, 0, 1].into(), cluster.address()).await.expect("a port to listen on");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[vec![proxy.address()]]).await;
    let chat = Chat::start(&online, group);
    more_is_acknowledged(&record, 50).await;

    for _ in 0..3 {
        proxy.reset();
        more_is_acknowledged(&record, 50).await;
    }

    chat.stop().await;
    assert!(online.iter().all(|user| user.logins() > 1), "everybody was broken off");
    cluster.settle(&record, RECOVERED).await;
}
