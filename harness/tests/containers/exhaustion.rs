//! Promise: a database that takes no more connections costs time and no message (G1 to G5).
//! Fault: every connection of the database is taken, the nodes' own among them.

use harness::containers::{Cluster, Story};
use harness::fault::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_mysql_is_out_of_connections() {
    let cluster = Cluster::builder().nodes(2).start().await.expect("a cluster of two nodes");
    Story::on(&cluster).nothing_is_lost_through(Fault::Exhaust).await;

    let _active = Fault::Exhaust.inflict(&cluster).await.expect("it can be inflicted");
    let refused = cluster.query("SELECT 1").await.expect_err("no connection is left");
    assert!(format!("{refused:#}").contains("Too many connections"), "{refused:#}");
}
