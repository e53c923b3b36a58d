//! G1, G2, G3, G5 and G7: acknowledged messages are in the database, and arrive once, in order, at those they are for.

use crate::support::cluster::database_in;
use crate::support::{BUDGET, Cluster, Peer, Value, eventually, fresh_mid, json, texts, within};
use chat_protocol::conversation::Conversation;

#[tokio::test]
async fn acknowledged_message_is_in_the_database() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;

    let ack = ann.tell(bob, "kept").await;

    let stored = cluster.storage.messages_after(Conversation::direct(ann.id, bob), 0, 10, 1_000).await.expect("a page");
    assert_eq!(stored.messages.len(), 1);
    assert_eq!(
        (json!(stored.messages[0].seq), json!(stored.messages[0].time)),
        (ack["seq"].clone(), ack["time"].clone())
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::on(database_in(directory.path()).await, |_| {}).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    ann.tell(bob, "kept").await;
    let node = cluster.take(0);
    node.shutdown().force();
    within("the node stops", node.stopped()).await.expect("in good order");
    drop(cluster);

    // The file is locked for as long as anything of the old node is left.
    let file = eventually(BUDGET, "the old node lets go of its file", async || reopen(directory.path()).await).await;
    let cluster = Cluster::on(file, |_| {}).await;

    assert_eq!(cluster.login("bob").await.push().await["msg"], "kept");
}

async fn reopen(directory: &std::path::Path) -> Option<std::sync::Arc<dyn chat::storage::Storage>> {
    let url = format!("sqlite:{}", directory.join("chat.db").display());
    chat::storage::open(&chat::config::Database { url, ..Default::default() }).await.ok()
}

#[tokio::test]
async fn push_says_who_said_what_where_and_when() {
    let cluster = Cluster::two().await;
    for bobs in [0, 1] {
        let (ann_name, bob_name) = (format!("ann {bobs}"), format!("bob {bobs}"));
        let (mut ann, mut bob) = (cluster.user(&ann_name).await, cluster.user_on(bobs, &bob_name).await);
        ann.befriend(bob.id).await;
        let mid = fresh_mid();

        let ack = ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "hello", "mid": mid})).await;

        let push = bob.push().await;
        let expected = json!({"msgid": 6, "conv": ack["conv"], "seq": 1, "id": ann.id, "name": ann_name, "toid": bob.id,
            "msg": "hello", "time": ack["time"], "mid": mid});
        assert_eq!(push, expected);
        assert_eq!((&ack["msgid"], &ack["seq"]), (&json!(12), &json!(1)));
    }
}

#[tokio::test]
async fn group_message_reaches_every_other_member_on_every_node_once() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob, mut cem) =
        (cluster.user("ann").await, cluster.user("bob").await, cluster.user_on(1, "cem").await);
    let offline = cluster.account("dee").await;
    let group = ann.create_group("go").await;
    bob.join(group).await;
    cem.join(group).await;
    cluster.storage.join_group(&offline.into(), group, 100).await.expect("joins");

    for n in 1..=3 {
        ann.tell_group(group, &n.to_string()).await;
    }

    let mut dee = cluster.login_on(1, "dee").await;
    for member in [&mut bob, &mut cem, &mut dee] {
        let pushes = member.pushes(3).await;
        assert_eq!(texts(&pushes), ["1", "2", "3"]);
        assert_eq!(
            (&pushes[0]["msgid"], &pushes[0]["groupid"], pushes[0].get("toid")),
            (&json!(10), &json!(group), None)
        );
        assert_eq!(member.pushed_by_now().await, [] as [Value; 0]);
    }
    assert_eq!(ann.pushed_by_now().await, [] as [Value; 0], "the sender is no recipient");
}

#[tokio::test]
async fn a_group_past_the_listed_recipients_is_reached_on_every_node() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob, mut cem) =
        (cluster.user("ann").await, cluster.user("bob").await, cluster.user_on(1, "cem").await);
    let group = ann.create_group("big").await;
    for n in 0..chat::bus::LISTED_RECIPIENTS {
        let id = cluster.storage.register(&format!("filler {n}"), "no hash").await.expect("registers").expect("free");
        cluster.storage.join_group(&id.into(), group, 10_000).await.expect("joins");
    }
    bob.join(group).await;
    cem.join(group).await;

    for qos in [1, 0] {
        ann.done(json!({"msgid": 10, "groupid": group, "msg": format!("qos {qos}"), "qos": qos})).await;
    }

    for member in [&mut bob, &mut cem] {
        let mut pushes = member.pushes(2).await;
        pushes.sort_by_key(|push| push["msg"].to_string());
        assert_eq!(texts(&pushes), ["qos 0", "qos 1"]);
    }
}

#[tokio::test]
async fn pipelined_messages_keep_their_order() {
    const MESSAGES: usize = 500;
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let numbers: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();

    for number in &numbers {
        ann.send(json!({"msgid": 6, "toid": bob.id, "msg": number, "mid": fresh_mid()})).await;
    }

    let mut acked = Vec::new();
    for _ in 0..MESSAGES {
        let ack = ann.frame().await;
        assert_eq!((&ack["msgid"], &ack["errno"]), (&json!(12), &json!(0)), "{ack}");
        acked.push(ack["seq"].as_u64().expect("a seq"));
    }
    assert_eq!(acked, (1..=MESSAGES as u64).collect::<Vec<_>>());
    let pushes = bob.pushes(MESSAGES).await;
    assert_eq!(texts(&pushes), numbers);
}

#[tokio::test]
async fn everyone_sees_the_same_order_with_holes_only_for_ones_own() {
    const EACH: usize = 50;
    let cluster = Cluster::two().await;
    let (mut ann, mut bob, mut cem) =
        (cluster.user("ann").await, cluster.user_on(1, "bob").await, cluster.user_on(1, "cem").await);
    let group = ann.create_group("go").await;
    bob.join(group).await;
    cem.join(group).await;

    for n in 0..EACH {
        for (name, member) in [("a", &mut ann), ("b", &mut bob)] {
            member.send(json!({"msgid": 10, "groupid": group, "msg": format!("{name}{n}"), "mid": fresh_mid()})).await;
        }
    }

    let all = cem.pushes(2 * EACH).await;
    assert_eq!(seqs(&all), (1..=2 * EACH as u64).collect::<Vec<_>>());
    for (member, other) in [(&mut ann, "b"), (&mut bob, "a")] {
        let seen = member.pushes(EACH).await;
        let expected: Vec<&Value> =
            all.iter().filter(|push| push["msg"].as_str().expect("text").starts_with(other)).collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    }
}

fn seqs(pushes: &[Value]) -> Vec<u64> {
    pushes.iter().map(|push| push["seq"].as_u64().expect("a seq")).collect()
}

#[tokio::test]
async fn a_request_after_chats_waits_for_them() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    for n in 0..20 {
        ann.send(json!({"msgid": 6, "toid": bob.id, "msg": n.to_string(), "mid": fresh_mid()})).await;
    }

    let page = ann.done(json!({"msgid": 17, "toid": bob.id})).await;

    assert_eq!(page["messages"].as_array().map(Vec::len), Some(20));
    bob.pushes(20).await;
}

#[tokio::test]
async fn waiting_messages_come_at_login_in_order_and_are_counted() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let numbers: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for number in &numbers {
        ann.tell(bob, number).await;
    }

    let mut bob = cluster.connect().await;
    let ack = bob.login("bob").await;
    ann.tell(bob.id, "live").await;

    assert_eq!(ack["offline"], 300);
    let pushes = bob.pushes(301).await;
    assert_eq!(texts(&pushes[..300]), numbers);
    assert_eq!(pushes[300]["msg"], "live");
}

#[tokio::test]
async fn ones_own_messages_are_not_counted_as_waiting_and_not_pushed_back() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    ann.tell(bob.id, "first").await;
    bob.tell(ann.id, "second").await;
    ann.tell(bob.id, "third").await;
    ann.push().await;
    ann.log_out().await;

    let ack = ann.login("ann").await;

    assert_eq!(ack["offline"], 1);
    assert_eq!(ann.push().await["msg"], "second");
    assert_eq!(ann.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn joiner_gets_only_what_is_said_after_joining() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user("bob").await);
    let group = ann.create_group("go").await;
    ann.tell_group(group, "before").await;

    bob.join(group).await;
    ann.tell_group(group, "after").await;

    assert_eq!(bob.push().await["msg"], "after");
    bob.log_out().await;
    assert_eq!(bob.login("bob").await["offline"], 1);
}

#[tokio::test]
async fn leaving_ends_the_delivery_of_what_waits() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user("bob").await);
    let group = ann.create_group("go").await;
    bob.join(group).await;
    bob.log_out().await;
    ann.tell_group(group, "missed").await;
    cluster.storage.leave_group(&bob.id.into(), group).await.expect("leaves");

    assert_eq!(bob.login("bob").await["offline"], 0);
    bob.join(group).await;
    ann.tell_group(group, "after joining again").await;

    assert_eq!(bob.push().await["msg"], "after joining again");
}

#[tokio::test]
async fn who_left_gets_nothing_more_on_whatever_node() {
    let cluster = Cluster::two().await;
    for (place, qos) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let name = |who: &str| format!("{who} {place} {qos}");
        let (mut ann, mut bob) = (cluster.user(&name("ann")).await, cluster.user_on(place, &name("bob")).await);
        ann.befriend(bob.id).await;
        let group = ann.create_group(&name("go")).await;
        bob.join(group).await;
        ann.tell_group(group, "together").await;
        bob.push().await;

        bob.done(json!({"msgid": 24, "groupid": group})).await;
        ann.done(json!({"msgid": 10, "groupid": group, "msg": "alone", "qos": qos})).await;
        ann.tell(bob.id, "marker").await;

        assert_eq!(bob.push().await["msg"], "marker");
    }
}

#[tokio::test]
async fn messages_cross_nodes_without_the_bus() {
    let cluster = Cluster::two_without_a_bus().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    for n in 0..10 {
        ann.tell(bob.id, &n.to_string()).await;
        bob.tell(ann.id, &n.to_string()).await;
    }

    for peer in [&mut ann, &mut bob] {
        let pushes = peer.pushes(10).await;
        assert_eq!(texts(&pushes), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[tokio::test]
async fn membership_is_right_without_the_bus() {
    let cluster = Cluster::two_without_a_bus().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user_on(1, "bob").await);
    let group = ann.create_group("go").await;
    bob.join(group).await;
    ann.tell_group(group, "together").await;
    assert_eq!(bob.push().await["msg"], "together");

    bob.done(json!({"msgid": 24, "groupid": group})).await;

    bob.refused(json!({"msgid": 10, "groupid": group, "msg": "x"}), 7).await;
    bob.join(group).await;
    bob.tell_group(group, "back").await;
    assert_eq!(ann.push().await["msg"], "back");
}

#[tokio::test]
async fn a_small_queue_delays_but_loses_and_repeats_nothing() {
    const MESSAGES: usize = 400;
    let cluster = Cluster::of(2, |config| config.limits.queue_bytes = 1_024).await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let numbers: Vec<String> = (0..MESSAGES).map(|n| format!("{n} {}", "x".repeat(500))).collect();

    for number in &numbers {
        ann.send(json!({"msgid": 6, "toid": bob.id, "msg": number, "mid": fresh_mid()})).await;
    }

    let pushes = bob.pushes(MESSAGES).await;
    assert_eq!(texts(&pushes), numbers);
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
    for _ in 0..MESSAGES {
        assert_eq!(ann.frame().await["errno"], 0);
    }
}

#[tokio::test]
async fn a_message_as_long_as_the_frame_allows_arrives_whole() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let text = "\u{1}\u{1F600}\"\\".repeat(4_000);

    ann.tell(bob.id, &text).await;

    assert_eq!(bob.push().await["msg"], text);
    let page = bob.done(json!({"msgid": 17, "toid": ann.id})).await;
    assert_eq!(page["messages"][0]["msg"], text);
    Peer::connect(cluster.address(0)).await.done(json!({"msgid": 19})).await;
}
