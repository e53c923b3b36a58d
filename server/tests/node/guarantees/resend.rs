//! G4: a resend is harmless, and a `mid` means one message.

use crate::support::cluster::database;
use crate::support::faulty::Faulty;
use crate::support::{Cluster, Value, fresh_mid, json};

#[tokio::test]
async fn resend_gets_the_same_ack_and_no_second_push() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});

    let first = ann.done(message.clone()).await;
    ann.tell(bob.id, "between").await;
    let second = ann.done(message.clone()).await;
    ann.tell(bob.id, "marker").await;

    assert_eq!(first, second);
    let pushes = bob.pushes(3).await;
    assert_eq!(crate::support::texts(&pushes), ["once", "between", "marker"]);
}

#[tokio::test]
async fn resend_through_another_node_gets_the_same_ack() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});
    let first = ann.done(message.clone()).await;

    ann.log_out().await;
    let mut ann = cluster.login_on(1, "ann").await;
    let second = ann.done(message).await;

    assert_eq!(first, second);
    bob.push().await;
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn pipelined_copies_of_a_message_are_one_message() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});

    for _ in 0..10 {
        ann.send(message.clone()).await;
    }
    for _ in 0..10 {
        let ack = ann.frame().await;
        assert_eq!((&ack["errno"], &ack["seq"]), (&json!(0), &json!(1)), "{ack}");
    }
    ann.tell(bob.id, "marker").await;

    assert_eq!((bob.push().await["msg"].clone(), bob.push().await["msg"].clone()), (json!("once"), json!("marker")));
}

#[tokio::test]
async fn resend_is_answered_after_unfriending() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friends().await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});
    let first = ann.done(message.clone()).await;

    ann.done(json!({"msgid": 22, "friendid": bob.id})).await;

    assert_eq!(ann.done(message).await, first);
}

/// Of a message that was committed, but nobody heard of it, nobody was told: not even the look into the log comes to
/// help here.
#[tokio::test]
async fn acknowledged_duplicate_is_delivered() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let never = |config: &mut chat::config::Config| config.limits.repair_interval_s = 3_600;
    let cluster = Cluster::on(faulty.clone(), never).await;
    let (mut ann, mut bob) = cluster.friends().await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});
    faulty.lose_commits();
    ann.refused(message.clone(), 11).await;
    faulty.heal();

    ann.done(message).await;

    assert_eq!(bob.push().await["msg"], "once");
}

#[tokio::test]
async fn resend_is_answered_after_leaving() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let group = ann.create_group("go").await;
    let message = json!({"msgid": 10, "groupid": group, "msg": "once", "mid": fresh_mid()});
    let first = ann.done(message.clone()).await;

    ann.done(json!({"msgid": 24, "groupid": group})).await;

    assert_eq!(ann.done(message).await, first);
}

#[tokio::test]
async fn a_mid_cannot_mean_two_messages() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    let group = ann.create_group("go").await;
    let mid = fresh_mid();
    ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "one", "mid": mid})).await;

    ann.refused(json!({"msgid": 6, "toid": bob.id, "msg": "another", "mid": mid}), 12).await;
    ann.refused(json!({"msgid": 10, "groupid": group, "msg": "one", "mid": mid}), 12).await;
    ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "one", "mid": mid})).await;

    // Another user's mids are another's.
    bob.done(json!({"msgid": 6, "toid": ann.id, "msg": "bob's", "mid": mid})).await;
    assert_eq!(ann.push().await["msg"], "bob's");
}

#[tokio::test]
async fn a_refused_mid_can_be_used_again() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let bob = cluster.account("bob").await;
    let message = json!({"msgid": 6, "toid": bob, "msg": "x", "mid": fresh_mid()});
    ann.refused(message.clone(), 7).await;

    ann.befriend(bob).await;

    ann.done(message).await;
}
