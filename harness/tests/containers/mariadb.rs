//! Promise: all of it holds on MariaDB too.
//! Fault: MariaDB is killed, and a node.

use harness::containers::{Cluster, Flavour, Story};
use harness::fault::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_on_mariadb() {
    let cluster = Cluster::builder().nodes(2).database(Flavour::Mariadb).start().await.expect("a cluster on MariaDB");
    let version = cluster.query("SELECT VERSION()").await.expect("the database answers");
    assert!(version[0][0].contains("MariaDB"), "{version:?}");

    Story::on(&cluster).nothing_is_lost_through(Fault::Kill("database".into())).await;
    Story::on(&cluster).nothing_is_lost_through(Fault::Kill("node-1".into())).await;
}
