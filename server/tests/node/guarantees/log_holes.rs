//! A message that is gone from the database, or that a read does not show yet: what can be delivered is, and a client
//! is told what cannot.

use crate::support::cluster::{change, database_in, start_node};
use crate::support::faulty::Faulty;
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, Value, eventually, json, texts};
use chat::bus::local::LocalHub;
use chat::storage::Storage;
use std::path::Path;
use std::sync::Arc;

/// More reads than one hole can need; without an end there would be thousands.
const ENOUGH_READS: u64 = 30;

async fn lose(directory: &Path, condition: &str) {
    change(directory, &format!("DELETE FROM message WHERE {condition}")).await;
}

#[tokio::test]
async fn hole_in_the_log_is_told_and_skipped() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::on(database_in(directory.path()).await, |_| {}).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    for n in 1..=6 {
        ann.tell(bob, &n.to_string()).await;
    }
    lose(directory.path(), "seq IN (2, 3, 6)").await;

    let mut peer = cluster.login_for_events("bob").await;
    let told = peer.pushes_and_gaps(5).await;

    let conv = format!("d{}-{bob}", ann.id);
    assert_eq!(told, [json!(1), json!([2, 3, conv]), json!(4), json!(5), json!([6, 6, conv])]);
    ann.tell(bob, "later").await;
    assert_eq!(peer.push().await["seq"], 7);
    // Ann's session may have been reading, too.
    assert!(matches!(cluster.count("chat_log_gaps_total"), 2..=4));
    assert!(cluster.count("chat_catch_ups_total") < ENOUGH_READS);
}

#[tokio::test]
async fn hole_does_not_hold_up_a_client_that_cannot_be_told() {
    use crate::support::classic::{Bare, unpack};
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::on(database_in(directory.path()).await, |_| {}).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    for n in 1..=3 {
        ann.tell(bob, &n.to_string()).await;
    }
    lose(directory.path(), "seq = 2").await;

    let mut peer = Bare::connect(cluster.address(0)).await;
    let ack = peer.login(bob).await;

    assert_eq!(texts(&unpack(&ack["offlinemsg"])), ["1"]);
    assert_eq!(peer.next().await["msg"], "3");
}

#[tokio::test]
async fn message_that_a_lagging_read_does_not_show_is_pushed_later_and_no_gap() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let faulty = Faulty::new(database_in(directory.path()).await);
    let node = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;
    let mut ann = Peer::connect(node.address()).await;
    for name in ["ann", "bob"] {
        ann.done(json!({"msgid": 4, "name": name, "password": PASSWORD})).await;
    }
    ann.login("ann").await;
    let bob = ann.id + 1;
    ann.befriend(bob).await;
    ann.tell(bob, "waits").await;

    faulty.empty_pages(3);
    let mut peer = Peer::connect(node.address()).await;
    peer.login_for_events("bob").await;
    ann.tell(bob, "live").await;

    let told = [peer.frame().await, peer.frame().await];
    let told: Vec<Value> = told.iter().map(|frame| frame["msg"].clone()).collect();
    assert_eq!(told, ["waits", "live"]);
    assert!(node.metrics().encode().contains("chat_log_gaps_total 0"));
}

/// A conversation whose row names an end that its log does not have.
#[tokio::test]
async fn message_that_never_was_does_not_hold_up_the_next() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::on(database_in(directory.path()).await, |_| {}).await;
    let (mut ann, mut bob) = cluster.friends().await;
    ann.tell(bob.id, "1").await;
    let first = bob.push().await;
    bob.received(&first).await;
    bob.log_out().await;
    ann.tell(bob.id, "2").await;
    lose(directory.path(), "seq = 2").await;
    bob.login("bob").await;

    ann.tell(bob.id, "3").await;

    assert_eq!(bob.push().await["seq"], 3);
    let reads = cluster.count("chat_catch_ups_total");
    eventually(BUDGET, "two looks into the log", async || (cluster.count("chat_sweeps_total") > 3).then_some(())).await;
    assert_eq!(cluster.count("chat_catch_ups_total"), reads, "it is not read for ever");
}
