//! Promise: what a cluster consists of can be broken from another process, and what cannot be is explained.
//! Fault: the link between a node and the database or Redis is slow or silent; the database is out of connections.

use harness::cluster::{Cluster, Setup};
use harness::containers::{Containers, Flavour};
use harness::fault::Fault;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn links_and_database_are_broken_from_another_process() {
    // The other flavour, since no other story takes all its connections.
    let builder = Containers::builder(Setup::nodes(1).relays()).database(Flavour::Mariadb);
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
    cluster.ready("node-1").await.expect("all has healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_without_relays_is_explained() {
    let cluster = Containers::builder(Setup::nodes(1)).start().await.expect("a cluster of one node");
    let fault: Fault = "silent node-1 redis".parse().expect("it is a fault");
    let refused = fault.inflict(&*cluster).await.err().expect("there is no relay");
    assert!(format!("{refused:#}").contains("harness up --proxied"), "{refused:#}");
}
