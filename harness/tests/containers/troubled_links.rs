//! Promise: a bad network between nodes and what they need costs time and no message (G1 to G5).
//! Fault: the link between a node and the database or Redis is slow, thin, silent or broken off; also by another
//! process.

use harness::containers::{Cluster, Flavour, Story};
use harness::fault::Fault;
use std::process::Command;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_links_are_in_trouble() {
    let cluster = Cluster::builder().nodes(2).proxied().start().await.expect("a cluster of two nodes");
    let faults = [
        "slow node-1 database 200",
        "thin node-2 database 20000",
        "silent node-1 database",
        "silent redis node-2",
        "reset node-2 redis",
    ];
    for fault in faults {
        let fault: Fault = fault.parse().expect("it is a fault");
        Story::on(&cluster).users(10).lasting(Duration::from_secs(2)).nothing_is_lost_through(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_database_are_broken_from_another_process() {
    // The other flavour, since no other story takes all its connections.
    let builder = Cluster::builder().nodes(1).database(Flavour::Mariadb).proxied();
    let cluster = builder.start().await.expect("a cluster of one node");
    let fault = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(["fault", "--cluster", cluster.name(), "--seconds", "0"]).args(words.split(' '));
        let output = command.output().expect("harness runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    for words in ["slow node-1 redis 100", "silent database node-1", "exhaust database"] {
        let (is_done, said) = fault(words);
        assert!(is_done && said.contains("healed"), "{said}");
    }

    let (is_done, said) = fault("slow nginx node-1 100");
    assert!(!is_done && said.contains("no relay between nginx and node-1"), "{said}");
    cluster.ready(cluster.node(0)).await.expect("all has healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_without_relays_is_explained() {
    let cluster = Cluster::builder().nodes(1).start().await.expect("a cluster of one node");
    let fault: Fault = "silent node-1 redis".parse().expect("it is a fault");
    let refused = fault.inflict(&cluster).await.err().expect("there is no relay");
    assert!(format!("{refused:#}").contains("harness up --proxied"), "{refused:#}");
}
