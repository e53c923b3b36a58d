//! Messages that the classic servers lose, or say twice.

use crate::support::classic::{Bare, Checked, checked_frame};
use crate::support::{Cluster, Peer, Value, fresh_mid, json, texts};
use chat_client::append_frame;
use std::collections::BTreeSet;

/// So many requests, as one string of bytes for each dialect.
fn coalesced(count: usize, frame: impl Fn(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..count).for_each(|n| frame(n, &mut bytes));
    bytes
}

#[tokio::test]
async fn coalesced_packets_lose_messages() {
    const MESSAGES: usize = 40;
    let cluster = Cluster::one().await;
    let (mut ann, bob) = (cluster.user("ann").await, cluster.account("bob").await);
    cluster.storage.add_friend(&ann.id.into(), bob).await.expect("befriends");
    let numbers: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    let toid = ann.id;

    let mut framed = cluster.login("bob").await;
    let bytes = coalesced(MESSAGES, |n, out| {
        append_frame(&json!({"msgid": 6, "toid": toid, "msg": n.to_string(), "mid": fresh_mid()}), out);
    });
    framed.raw.send_bytes(&bytes).await.expect("sends");
    assert_eq!(texts(&ann.pushes(MESSAGES).await), numbers);
    framed.log_out().await;

    for separator in ["", "\0", "\n \0"] {
        let mut bare = Bare::connect(cluster.address(0)).await;
        bare.login(bob).await;
        let chat =
            |n: usize| json!({"msgid": 6, "id": bob, "toid": toid, "msg": n.to_string()}).to_string() + separator;
        let bytes = coalesced(MESSAGES, |n, out| out.extend(chat(n).as_bytes()));
        bare.raw.send_bytes(&bytes).await.expect("sends");
        assert_eq!(texts(&ann.pushes(MESSAGES).await), numbers);
        bare.send(json!({"msgid": 3, "id": bob})).await;
        cluster.gone(bob).await;
    }

    let mut checked = Checked::connect(cluster.address(0)).await;
    checked.login(bob).await;
    let bytes = coalesced(MESSAGES, |n, out| {
        let chat = json!({"msgType": 6, "id": bob, "toid": toid, "msg": n.to_string()}).to_string();
        out.extend(checked_frame(chat.as_bytes()));
    });
    checked.raw.send_bytes(&bytes).await.expect("sends");
    assert_eq!(texts(&ann.pushes(MESSAGES).await), numbers);
}

/// The classic server reads all offline rows, then deletes all of the user's rows.
#[tokio::test]
async fn offline_rows_that_arrive_between_select_and_delete_vanish() {
    const MESSAGES: u64 = 400;
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let toid = bob.id;
    let sending = tokio::spawn(async move {
        for n in 1..=MESSAGES {
            ann.tell(toid, &n.to_string()).await;
        }
    });

    // Bob comes and goes all the while, and says what he has.
    let mut seen = BTreeSet::new();
    while seen.len() < MESSAGES as usize {
        for push in bob.pushed_by_now().await {
            let seq = push["seq"].as_u64().expect("a seq");
            assert!(seq == 1 || seen.contains(&(seq - 1)), "{seq} came before {}", seq - 1);
            assert!(seen.insert(seq), "{seq} came again after it was received");
            bob.received(&push).await;
        }
        bob.log_out().await;
        // What came after his last look he has not said to have, so it comes again.
        bob.pushed.clear();
        bob.login("bob").await;
    }

    sending.await.expect("every message is acknowledged");
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_cross_node_message_is_also_stored_and_comes_twice() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    ann.tell(bob.id, "once").await;
    let push = bob.push().await;
    bob.received(&push).await;

    bob.log_out().await;
    let ack = bob.login("bob").await;

    assert_eq!(ack["offline"], 0);
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}

/// Redis drops what is published to a channel that nobody is subscribed to.
#[tokio::test]
async fn publish_to_nobody_loses_it() {
    let cluster = Cluster::two_without_a_bus().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let group = ann.create_group("go").await;
    bob.join(group).await;

    ann.tell(bob.id, "to a friend").await;
    ann.tell_group(group, "to a group").await;

    let mut pushes = bob.pushes(2).await;
    pushes.sort_by_key(|push| push["msgid"].as_u64());
    assert_eq!(texts(&pushes), ["to a friend", "to a group"]);
}

/// One channel a user: a SUBSCRIBE that is lost or late leaves its user deaf.
#[tokio::test]
async fn subscribes_get_lost_and_users_go_deaf() {
    let cluster = Cluster::of(3, |_| {}).await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    for round in 0..15 {
        // A friend speaks at the very moment in which the user has moved.
        let text = round.to_string();
        let (mut next, _) = tokio::join!(
            async {
                let mut next = Peer::connect(cluster.address(round % 3)).await;
                next.take_over("bob").await;
                next
            },
            ann.tell(bob.id, &text),
        );
        let push = next.push().await;
        assert_eq!(push["msg"], text);
        next.received(&push).await;
        bob = next;
    }
}
