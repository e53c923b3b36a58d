//! Promise: whatever happens to a node, no acknowledged message is lost, doubled or reordered (G1, G2, G3), and its
//! users can log in elsewhere within the lease (G6).
//! Fault: a node is killed, paused past its lease, unplugged; all are restarted one after the other.

use harness::containers::{Cluster, Story};
use harness::fault::Fault;
use harness::users::meet;
use std::time::{Duration, Instant};

/// The lease (8 s) and a margin for a busy machine.
const WITHIN_THE_LEASE: Duration = Duration::from_secs(12);

async fn cluster() -> Cluster {
    Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes")
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_dead_node_can_log_in_elsewhere() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, _) = meet(&record, &[cluster.address()], 2).await;
    let online = users[0].log_in(&[cluster.node_address(0)]).await.expect("nobody is online yet");

    let killed = Instant::now();
    let dead = Fault::Kill("node-1".into()).inflict(&cluster).await.expect("a node can be killed");
    online.vanish().await;
    let back = users[0].log_in_within(WITHIN_THE_LEASE, &[cluster.node_address(1)]).await;

    eprintln!("logged in elsewhere after {:?}", killed.elapsed());
    assert_eq!(back.node().as_deref(), Some("node-2"));
    dead.leave();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_a_node_is_killed() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Kill("node-1".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_a_node_stands_still_past_its_lease() {
    let cluster = cluster().await;
    let story = Story::on(&cluster).lasting(Duration::from_secs(12));
    story.nothing_is_lost_through(Fault::Pause("node-2".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_a_node_is_unplugged() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Isolate("node-1".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_in_a_rolling_restart() {
    let cluster = cluster().await;
    Story::on(&cluster).lasting(Duration::ZERO).nothing_is_lost_through(Fault::RollingRestart).await;
}
