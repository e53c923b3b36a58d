//! Promise: acknowledged is durable (G1), and what is not certain is not acknowledged.
//! Fault: MySQL is killed, stands still, or a node is cut off from it.

use harness::containers::{Cluster, Story};
use harness::fault::Fault;

async fn cluster() -> Cluster {
    Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_mysql_is_killed() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Kill("database".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_mysql_stands_still() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Pause("database".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_a_node_is_cut_off_from_mysql() {
    let cluster = cluster().await;
    Story::on(&cluster).nothing_is_lost_through(Fault::cut("node-1", "database")).await;
    let deaf: Fault = "cut-from database node-2".parse().expect("it is a fault");
    Story::on(&cluster).nothing_is_lost_through(deaf).await;
}
