//! What is left of the promises when the database itself loses commits: nothing new is swallowed for it, and it is
//! told.

use crate::support::cluster::{change, database_in, start_node};
use crate::support::{BUDGET, PASSWORD, Peer, Value, eventually, json, texts};
use chat::bus::local::LocalHub;
use std::path::Path;

/// Ann and Bob become friends, and she says three things. What he is pushed.
async fn tell_three(ann: &mut Peer, bob: &mut Peer) -> Vec<Value> {
    for (peer, name) in [(&mut *ann, "ann"), (&mut *bob, "bob")] {
        peer.done(json!({"msgid": 4, "name": name, "password": PASSWORD})).await;
        peer.login(name).await;
    }
    ann.befriend(bob.id).await;
    for text in ["kept", "lost", "lost too"] {
        ann.tell(bob.id, text).await;
    }
    bob.pushes(3).await
}

/// The newest two messages are gone, as after a failover to a copy that lacked them.
async fn lose_the_last_two(directory: &Path) {
    change(directory, "DELETE FROM message WHERE seq > 1; UPDATE conversation SET last_seq = 1").await;
}

#[tokio::test]
async fn new_messages_with_the_numbers_of_lost_ones_are_delivered_and_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = database_in(directory.path()).await;
    let hub = LocalHub::default();
    let one = start_node("a", &storage, &hub, |_| {}).await;
    let other = start_node("b", &storage, &hub, |_| {}).await;
    let (mut ann, mut bob) = (Peer::connect(one.address()).await, Peer::connect(other.address()).await);
    let before = tell_three(&mut ann, &mut bob).await;
    lose_the_last_two(directory.path()).await;

    let ack = ann.tell(bob.id, "new").await;
    let push = bob.push().await;

    assert_eq!((&ack["seq"], &push["seq"], &push["msg"]), (&json!(2), &json!(2), &json!("new")));
    let name = before[0]["conv"].as_str().expect("a name");
    assert_eq!((&push["conv"], &ack["conv"]), (&json!(format!("{name}.1")), &json!(format!("{name}.1"))));
    bob.tell(ann.id, "heard").await;
    assert_eq!(ann.push().await["msg"], "heard");
    assert_eq!(one.metrics().log_losses_total.get() + other.metrics().log_losses_total.get(), 1);
    // RECEIVED counts in the log it names, and the next session is told the rest.
    bob.received(&push).await;
    bob.log_out().await;
    ann.tell(bob.id, "later").await;
    bob.login("bob").await;
    assert_eq!(texts(&bob.pushes(1).await), ["later"]);
}

/// Nobody says anything, and the node finds out by its own row.
#[tokio::test]
async fn renewals_that_went_back_have_the_logs_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = database_in(directory.path()).await;
    let node = start_node("a", &storage, &LocalHub::default(), |_| {}).await;
    let (mut ann, mut bob) = (Peer::connect(node.address()).await, Peer::connect(node.address()).await);
    tell_three(&mut ann, &mut bob).await;
    lose_the_last_two(directory.path()).await;
    change(directory.path(), "UPDATE node SET renewals = 1").await;

    eventually(BUDGET, "the loss is counted", async || (node.metrics().log_losses_total.get() == 1).then_some(()))
        .await;

    eventually(BUDGET, "the session goes on", async || {
        let ack = ann.ask(json!({"msgid": 6, "toid": bob.id, "msg": "new"})).await;
        (ack["errno"] == 0).then_some(())
    })
    .await;
    assert!(bob.push().await["conv"].as_str().expect("a name").ends_with(".1"));
}
