//! `qos` 0: relayed to who is online, stored for a friend who is not, forgotten by a group's absentees.

use crate::support::{Cluster, Value, fresh_mid, json};

/// More than a node looks up at once.
const FRIENDS: usize = 600;

#[tokio::test]
async fn relayed_message_has_no_place_in_the_conversation() {
    let cluster = Cluster::two().await;
    for place in [0, 1] {
        let (ann, bob) = (format!("ann {place}"), format!("bob {place}"));
        let (mut ann, mut bob) = (cluster.user(&ann).await, cluster.user_on(place, &bob).await);
        ann.befriend(bob.id).await;
        let mid = fresh_mid();

        let ack = ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "quick", "qos": 0, "mid": mid})).await;

        assert_eq!((ack.get("conv"), ack.get("seq"), ack.get("time")), (None, None, None), "{ack}");
        let push = bob.push().await;
        assert_eq!((&push["msg"], &push["mid"], push.get("seq")), (&json!("quick"), &json!(mid), None));
        let page = ann.done(json!({"msgid": 17, "toid": bob.id})).await;
        assert_eq!(page["messages"], json!([]));
    }
}

#[tokio::test]
async fn an_offline_friend_gets_it_through_the_database_under_its_mid() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let mid = fresh_mid();

    let ack = ann.done(json!({"msgid": 6, "toid": bob, "msg": "later", "qos": 0, "mid": mid})).await;

    assert_eq!(ack["seq"], 1, "stored, so it has a place: {ack}");
    let push = cluster.login("bob").await.push().await;
    assert_eq!((&push["msg"], &push["mid"], &push["seq"]), (&json!("later"), &json!(mid), &json!(1)));
}

#[tokio::test]
async fn a_friend_who_has_just_gone_gets_it_at_the_next_login() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "here", "qos": 0})).await;
    bob.push().await;

    // Node `a` still believes that Bob is on `b`.
    bob.log_out().await;
    ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "gone", "qos": 0})).await;
    let mut bob = cluster.login_on(1, "bob").await;

    assert_eq!(bob.push().await["msg"], "gone");
}

#[tokio::test]
async fn a_groups_absentees_do_not_get_it() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    let dee = cluster.account("dee").await;
    let group = ann.create_group("go").await;
    bob.join(group).await;
    cluster.storage.join_group(&dee.into(), group, 100).await.expect("joins");

    ann.done(json!({"msgid": 10, "groupid": group, "msg": "who is here", "qos": 0})).await;

    assert_eq!(bob.push().await["msg"], "who is here");
    assert_eq!(cluster.connect().await.login("dee").await["offline"], 0);
    assert_eq!(ann.pushed_by_now().await, [] as [Value; 0]);
}

/// Chats of one connection to one conversation take effect in the order sent, whatever their `qos`.
#[tokio::test]
async fn relayed_and_stored_messages_take_effect_in_the_order_sent() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;

    // To a friend who is away both kinds are stored, so that the log shows their order.
    let mut sent = Vec::new();
    for n in 0..50 {
        let mid = json!(fresh_mid());
        ann.send(json!({"msgid": 6, "toid": bob, "msg": n.to_string(), "qos": n % 2, "mid": mid})).await;
        sent.push(mid);
    }

    for (place, mid) in sent.iter().enumerate() {
        assert_eq!(ann.reply(mid).await["seq"], place + 1);
    }
}

#[tokio::test]
async fn first_messages_to_hundreds_of_friends_are_all_taken() {
    let cluster = Cluster::two().await;
    let mut ann = cluster.user("ann").await;
    let mut bob = cluster.user_on(1, "bob").await;
    ann.befriend(bob.id).await;
    let mut friends = Vec::new();
    for nth in 0..FRIENDS {
        let friend = cluster.storage.register(&format!("friend {nth}"), "").await.expect("registers").expect("free");
        cluster.storage.add_friend(&ann.id.into(), friend).await.expect("befriends");
        friends.push(friend);
    }

    for friend in friends.iter().chain([&bob.id]) {
        ann.send(json!({"msgid": 6, "toid": friend, "msg": "hello all", "qos": 0, "mid": fresh_mid()})).await;
    }

    for _ in 0..=FRIENDS {
        let ack = ann.frame().await;
        assert_eq!((&ack["msgid"], &ack["errno"]), (&json!(12), &json!(0)), "{ack}");
    }
    let push = bob.push().await;
    assert_eq!((&push["msg"], push.get("seq")), (&json!("hello all"), None));
}
