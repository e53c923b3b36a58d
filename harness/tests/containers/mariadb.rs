//! Promise: all of it holds on MariaDB too.
//! Fault: MariaDB is killed, and a node.

use harness::cluster::{Cluster, Setup};
use harness::containers::{Containers, Flavour};
use harness::story::Story;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_on_mariadb() {
    let cluster =
        Containers::builder(Setup::nodes(2)).database(Flavour::Mariadb).start().await.expect("a cluster on MariaDB");
    let version = cluster.query("SELECT VERSION()").await.expect("the database answers");
    assert!(version[0][0].contains("MariaDB"), "{version:?}");

    Story::on(&*cluster).nothing_is_lost_through("kill database").await;
    Story::on(&*cluster).nothing_is_lost_through("kill node-1").await;
}
