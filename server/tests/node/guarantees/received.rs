//! RECEIVED: what counts, what is ignored, and that it is kept.

use crate::support::{Cluster, Peer, Value, json, texts};

/// Bob has been pushed the messages 1 to 3 of Ann's.
async fn three_pushed(cluster: &Cluster) -> (Peer, Peer, Vec<Value>) {
    let (mut ann, mut bob) = cluster.friends().await;
    for n in 1..=3 {
        ann.tell(bob.id, &n.to_string()).await;
    }
    let pushes = bob.pushes(3).await;
    (ann, bob, pushes)
}

/// What comes again after Bob has logged out and in.
async fn again(bob: &mut Peer) -> Vec<String> {
    bob.log_out().await;
    again_at_login(bob).await
}

async fn again_at_login(bob: &mut Peer) -> Vec<String> {
    let ack = bob.login("bob").await;
    let count = ack["offline"].as_u64().expect("a count") as usize;
    let pushes = bob.pushes(count).await;
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
    texts(&pushes).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_was_not_received_comes_again_in_the_next_session() {
    let cluster = Cluster::one().await;
    let (_ann, mut bob, _) = three_pushed(&cluster).await;

    assert_eq!(again(&mut bob).await, ["1", "2", "3"]);
    assert_eq!(again(&mut bob).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn received_is_cumulative_and_kept_at_logout() {
    let cluster = Cluster::one().await;
    let (_ann, mut bob, pushes) = three_pushed(&cluster).await;

    bob.received(&pushes[1]).await;

    assert_eq!(again(&mut bob).await, ["3"]);
}

#[tokio::test]
async fn received_is_kept_when_the_connection_is_lost() {
    let cluster = Cluster::one().await;
    let (_ann, mut bob, pushes) = three_pushed(&cluster).await;
    bob.received(&pushes[1]).await;
    bob.done(json!({"msgid": 19})).await;
    let id = bob.id;

    drop(bob);
    cluster.gone(id).await;

    assert_eq!(again_at_login(&mut cluster.connect().await).await, ["3"]);
}

#[tokio::test]
async fn received_backwards_is_ignored() {
    let cluster = Cluster::one().await;
    let (_ann, mut bob, pushes) = three_pushed(&cluster).await;

    bob.received(&pushes[1]).await;
    bob.received(&pushes[0]).await;

    assert_eq!(again(&mut bob).await, ["3"]);
}

#[tokio::test]
async fn received_beyond_what_was_pushed_is_ignored() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob, pushes) = three_pushed(&cluster).await;
    let beyond = |seq: Value| json!({"msgid": 16, "conv": pushes[0]["conv"], "seq": seq});

    for seq in [json!(4), json!(1_000_000), json!(1u64 << 60)] {
        bob.send(beyond(seq)).await;
    }
    bob.done(json!({"msgid": 19})).await;
    ann.tell(bob.id, "4").await;

    assert_eq!(bob.push().await["msg"], "4");
    assert_eq!(again(&mut bob).await, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn received_for_someone_elses_conversation_is_ignored() {
    let cluster = Cluster::one().await;
    let (_ann, mut bob, pushes) = three_pushed(&cluster).await;
    let mut eve = cluster.user("eve").await;

    eve.received(&pushes[2]).await;
    for conv in ["g1", "d1-9999", "nonsense", ""] {
        eve.send(json!({"msgid": 16, "conv": conv, "seq": 1})).await;
    }
    eve.done(json!({"msgid": 19})).await;

    assert_eq!(again(&mut bob).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn received_covers_ones_own_messages_too() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    ann.tell(bob.id, "1").await;
    bob.push().await;
    let own = bob.tell(ann.id, "2").await;
    ann.tell(bob.id, "3").await;
    bob.push().await;

    bob.received(&own).await;

    assert_eq!(again(&mut bob).await, ["3"]);
}

#[tokio::test]
async fn a_message_is_pushed_once_in_a_session() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    ann.tell(bob.id, "once").await;
    assert_eq!(bob.push().await["msg"], "once");
    let looks = cluster.node(1).metrics().sweeps_total.get();

    crate::support::eventually(crate::support::BUDGET, "two looks into the log went by", async || {
        (cluster.node(1).metrics().sweeps_total.get() >= looks + 2).then_some(())
    })
    .await;

    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}
