//! What a classic client writes as its own name and time counts like text: it is bounded, and takes its share of every
//! other bound.

use crate::support::classic::{Bare, Checked, unpack};
use crate::support::{Cluster, Value, json, within};
use chat::cluster::NodeKey;
use chat::storage::{Append, Appended};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::SentAs;
use uuid::Uuid;

/// As documented.
const LIMIT_BYTES: usize = 4_096;
/// What travels inside LOGIN_ACK, and one message past it.
const INLINE_BYTES: usize = 64 * 1_024 + LIMIT_BYTES;

fn chat(key: &str, kind: u64, to: (&str, u64), name: &str, msg: &str) -> Value {
    json!({key: kind, to.0: to.1, "name": name, "time": "2026-01-02 03:04:05", "msg": msg})
}

#[tokio::test]
async fn own_name_and_time_past_their_limit_are_refused_with_a_reason() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let (bob, cem) = (cluster.account("bob").await, cluster.account("cem").await);
    let group = ann.create_group("go").await;
    for user in [bob, cem] {
        cluster.storage.add_friend(&ann.id.into(), user).await.expect("befriends");
        cluster.storage.join_group(&user.into(), group, 10).await.expect("joins");
    }
    let (mut bare, mut checked) = (Bare::connect(cluster.address(0)).await, Checked::connect(cluster.address(0)).await);
    bare.login(bob).await;
    checked.login(cem).await;
    let (to_ann, to_all) = (("toid", ann.id), ("groupid", group));
    let (fits, too_long) = ("x".repeat(LIMIT_BYTES - 19), "x".repeat(LIMIT_BYTES - 18));

    for (kind, to) in [(6, to_ann), (10, to_all)] {
        bare.send(chat("msgid", kind, to, &too_long, "refused")).await;
        let line = bare.next().await;
        assert_eq!((&line["msgid"], &line["id"], &line["name"]), (&json!(6), &json!(0), &json!("server")));
        assert!(line["msg"].as_str().is_some_and(|msg| msg.contains("name and time")), "{line}");
    }
    checked.send(chat("msgType", 6, to_ann, &too_long, "refused")).await;
    let refused = checked.next().await;
    assert_eq!((&refused["msgType"], &refused["code"]), (&json!(7), &json!(9)), "{refused}");
    checked.send(chat("msgType", 8, to_all, &too_long, "refused")).await;
    assert_eq!(checked.next().await["id"], 0);

    bare.send(chat("msgid", 6, to_ann, &fits, "as long as may be")).await;
    assert_eq!(ann.push().await["msg"], "as long as may be");
    bare.send(chat("msgid", 10, to_all, &fits, "to all")).await;
    assert_eq!(ann.push().await["msg"], "to all");
    let seen = checked.next().await;
    assert_eq!((&seen["msg"], seen["name"].as_str().map(str::len)), (&json!("to all"), Some(fits.len())));
}

#[tokio::test]
async fn own_words_count_in_what_a_login_brings_along() {
    const FRIENDS: usize = 12;
    const EACH: usize = 15;
    let cluster = Cluster::one().await;
    let bob = cluster.account("bob").await;
    let own = SentAs { name: Some("x".repeat(LIMIT_BYTES)), time: None };
    let nobody = NodeKey { id: "nobody".into(), boot: 1 };
    for n in 0..FRIENDS {
        let friend = cluster.account(&format!("friend {n}")).await;
        cluster.storage.add_friend(&friend.into(), bob).await.expect("befriends");
        let conv = Conversation::direct(friend, bob);
        let message = |nth| Append {
            sent_as: Some(Box::new(own.clone())),
            ..Append::new(conv, friend, Uuid::now_v7(), format!("{n}/{nth}"))
        };
        let batch: Vec<Append> = (0..EACH).map(message).collect();
        let appended = cluster.storage.append(&nobody, &batch, 1, &|| true).await.expect("appends");
        assert!(appended.outcomes.iter().all(|outcome| matches!(outcome, Appended::Stored { .. })));
    }

    let mut bare = Bare::connect(cluster.address(0)).await;
    let brought = unpack(&bare.login(bob).await["offlinemsg"]);

    let bytes: usize = brought.iter().map(|line| line["name"].as_str().map_or(0, str::len)).sum();
    assert!((1..=INLINE_BYTES).contains(&bytes), "{bytes} bytes of names");
    for _ in brought.len()..FRIENDS * EACH {
        let line = within("the rest follows", bare.next()).await;
        assert_eq!(line["name"].as_str().map(str::len), Some(LIMIT_BYTES));
    }
}
