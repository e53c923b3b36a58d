//! Messages that are kept no longer: who has not received them is told at once, and gets what is left.

use crate::support::classic::{Bare, unpack};
use crate::support::cluster::{change, database_in};
use crate::support::{BUDGET, Cluster, Value, eventually, json, texts};
use chat::config::Config;
use std::path::Path;

/// More reads than the log of a user needs that has lost its beginning.
const ENOUGH_READS: u64 = 8;

/// Looks every second, and keeps the newest three; the rest waits for whoever has not received it, for a day at most.
fn keep_three(config: &mut Config) {
    config.retention.messages = 3;
    config.retention.unreceived_days = 1;
    config.retention.mid_window_s = 0;
    config.retention.interval_s = 1;
}

/// All of them, by the clock, and as if they had been said before ages were counted.
async fn make_old(directory: &Path) {
    change(directory, "UPDATE message SET time = 1, cluster_age = 0").await;
}

async fn removed(cluster: &Cluster, messages: u64) {
    let claim = format!("{messages} messages are removed");
    eventually(BUDGET, &claim, async || (cluster.count("chat_messages_removed_total") >= messages).then_some(())).await;
}

#[tokio::test]
async fn whoever_was_away_for_too_long_is_told_what_is_gone_and_gets_the_rest() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::on(database_in(directory.path()).await, keep_three).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    for n in 1..=6 {
        ann.tell(bob, &n.to_string()).await;
    }
    make_old(directory.path()).await;
    removed(&cluster, 3).await;

    let reads = cluster.count("chat_catch_ups_total");
    let mut peer = cluster.login_for_events("bob").await;
    let conv = format!("d{}-{bob}", ann.id);
    assert_eq!(peer.pushes_and_gaps(4).await, [json!([1, 3, conv]), json!(4), json!(5), json!(6)]);

    let history = ann.done(json!({"msgid": 17, "toid": bob})).await;
    assert_eq!((&history["more"], &history["first_seq"]), (&json!(false), &json!(4)));
    assert_eq!(texts(history["messages"].as_array().expect("a list")), ["4", "5", "6"]);
    let page = ann.done(json!({"msgid": 17, "toid": bob, "limit": 2})).await;
    assert_eq!((&page["more"], &page["first_seq"]), (&json!(true), &Value::Null));
    ann.tell(bob, "later").await;
    assert_eq!(peer.push().await["seq"], 7);
    assert_eq!(cluster.count("chat_log_gaps_total"), 0, "that is no damage");
    assert_eq!(cluster.count("chat_unreceived_messages_removed_total"), 3);
    assert!(cluster.count("chat_catch_ups_total") - reads < ENOUGH_READS);
}

#[tokio::test]
async fn log_that_is_empty_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let set = |config: &mut Config| {
        keep_three(config);
        (config.retention.days, config.retention.messages) = (1, 0);
    };
    let cluster = Cluster::on(database_in(directory.path()).await, set).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    for n in 1..=2 {
        ann.tell(bob, &n.to_string()).await;
    }
    make_old(directory.path()).await;
    removed(&cluster, 2).await;

    let mut peer = cluster.login_for_events("bob").await;
    let conv = format!("d{}-{bob}", ann.id);
    assert_eq!(peer.pushes_and_gaps(1).await, [json!([1, 2, conv])]);
    ann.tell(bob, "3").await;

    assert_eq!(peer.push().await["seq"], 3);
    assert_eq!(cluster.count("chat_log_gaps_total"), 0);
}

#[tokio::test]
async fn what_somebody_has_not_received_is_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let set = |config: &mut Config| {
        keep_three(config);
        config.retention.unreceived_days = 0;
    };
    let cluster = Cluster::on(database_in(directory.path()).await, set).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let mut carol = cluster.user("carol").await;
    ann.befriend(carol.id).await;
    for n in 1..=6 {
        ann.tell(bob, &n.to_string()).await;
    }
    for n in 1..=6 {
        ann.tell(carol.id, &n.to_string()).await;
        let push = carol.push().await;
        carol.received(&push).await;
    }
    make_old(directory.path()).await;
    // Bob's conversation comes first in that look, by its name.
    removed(&cluster, 3).await;

    let mut peer = cluster.login_for_events("bob").await;
    assert_eq!(peer.pushes_and_gaps(6).await, (1..=6).map(|seq| json!(seq)).collect::<Vec<_>>());
    assert_eq!(cluster.count("chat_unreceived_messages_removed_total"), 0);
}

#[tokio::test]
async fn clock_that_is_ahead_removes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let set = |config: &mut Config| {
        keep_three(config);
        config.retention.mid_window_s = 3_600;
    };
    let cluster = Cluster::on(database_in(directory.path()).await, set).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let carol = cluster.account("carol").await;
    ann.befriend(carol).await;
    for friend in [bob, carol] {
        for n in 1..=6 {
            ann.tell(friend, &n.to_string()).await;
        }
    }

    change(directory.path(), "UPDATE message SET time = 1").await;
    let carols = format!("d{}-{carol}", ann.id);
    change(directory.path(), &format!("UPDATE message SET cluster_age = 0 WHERE conv = '{carols}'")).await;

    // Bob's conversation comes first in that look, by its name.
    removed(&cluster, 3).await;
    let mut peer = cluster.login_for_events("bob").await;
    assert_eq!(peer.pushes_and_gaps(6).await, (1..=6).map(|seq| json!(seq)).collect::<Vec<_>>());
}

#[tokio::test]
async fn age_is_counted_also_where_all_is_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let storage = database_in(directory.path()).await;
    let _cluster = Cluster::on(storage.clone(), |_| ()).await;

    let is_counted = async || (storage.age().await.expect("an age") >= 1_000).then_some(());
    eventually(BUDGET, "a second is counted", is_counted).await;
}

#[tokio::test]
async fn classic_client_gets_what_is_left() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::on(database_in(directory.path()).await, keep_three).await;
    let (mut ann, bob) = cluster.friend_offline().await;
    for n in 1..=4 {
        ann.tell(bob, &n.to_string()).await;
    }
    make_old(directory.path()).await;
    removed(&cluster, 1).await;

    let mut peer = Bare::connect(cluster.address(0)).await;
    let ack = peer.login(bob).await;

    let mut got: Vec<String> = match ack.get("offlinemsg") {
        Some(inline) => texts(&unpack(inline)).into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    while got.len() < 3 {
        got.push(peer.next().await["msg"].as_str().expect("a text").to_owned());
    }
    assert_eq!(got, ["2", "3", "4"]);
}
