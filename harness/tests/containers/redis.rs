//! Promise: Redis only speeds things up and holds nothing (G7): without it, acknowledged messages still arrive.
//! Fault: Redis restarts empty, is killed, stands still, or a node is cut off from it.

use harness::containers::{Cluster, Story};
use harness::fault::Fault;

async fn cluster() -> Cluster {
    Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_redis_restarts_empty_or_is_down() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Restart("redis".into())).await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Kill("redis".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_redis_stands_still() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Pause("redis".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_a_node_is_cut_off_from_redis() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::cut("node-1", "redis")).await;
    // Only what Redis sends is lost: the node's own connection looks alive from its side.
    let deaf: Fault = "cut-from redis node-2".parse().expect("it is a fault");
    Story::on(&cluster).nothing_is_lost_through(deaf).await;
}
