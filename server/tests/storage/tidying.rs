//! What dead runs of nodes left behind is put right a little at a time, and what belongs to living ones is left alone.

use crate::database::{Database, node, user};
use crate::on_every_database;
use chat::cluster::{NodeId, NodeKey};
use chat::storage::{Claim, Claimed, NodeStart, Storage};
use chat_protocol::conversation::UserId;
use chat_protocol::message::State;
use std::sync::Arc;

on_every_database!(
    states_are_tidied_where_the_holder_is_gone,
    rows_of_earlier_runs_are_freed_a_few_at_a_time,
    every_name_of_a_holder_is_found,
);

async fn start(storage: &Arc<dyn Storage>, key: &NodeKey) {
    assert_eq!(storage.start_node(key).await.expect("starting works"), NodeStart::Ready);
}

async fn log_in(storage: &Arc<dyn Storage>, key: &NodeKey, users: &[UserId]) {
    let claims: Vec<Claim> =
        users.iter().map(|user| Claim { user: *user, takeover: None, token_generation: None }).collect();
    let outcomes = storage.claim_sessions(key, &claims).await.expect("claiming works");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Claimed::Won { .. })), "{outcomes:?}");
}

/// Tidies up after a node; returns how many steps that took.
async fn tidy(storage: &Arc<dyn Storage>, node: &NodeKey) -> usize {
    let (mut last, mut steps) = (0, 1);
    while let Some(user) = storage.tidy_sessions(&node.id, last).await.expect("tidying works") {
        assert!(user > last, "it gets on");
        (last, steps) = (user, steps + 1);
    }
    steps
}

async fn states_are_tidied_where_the_holder_is_gone(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let (stays, goes, friend) =
        (user(&storage, "stays").await, user(&storage, "goes").await, user(&storage, "friend").await);
    for user in [stays, goes] {
        storage.add_friend(&friend.into(), user).await.expect("adding works");
    }
    log_in(&storage, &one, &[goes]).await;
    log_in(&storage, &other, &[stays]).await;
    storage.stop_node(&one).await.expect("stopping works");

    // Presence itself does not need tidying.
    let friends = storage.friends(&[friend], 10).await.expect("reading works");
    let states: Vec<_> = friends[0].iter().map(|friend| (friend.id, friend.state)).collect();
    assert_eq!(states, [(stays, State::Online), (goes, State::Offline)]);
    assert_eq!(storage.online_friends(friend, 10).await.expect("reading works"), [stays]);

    let states = async || database.texts("SELECT state FROM user ORDER BY id").await;
    assert_eq!(states().await, ["online", "online", "offline"]);
    for node in [&one, &other, &node("nobody", 1)] {
        tidy(&storage, node).await;
    }
    assert_eq!(states().await, ["online", "offline", "offline"]);
    tidy(&storage, &one).await;
    // The holder that is back finds its session; what is tidied is only what people read.
    storage.renew_lease(&one, false).await.expect("renewing works");
    assert_eq!(storage.routes(&[goes]).await.expect("reading works"), [(goes, one.id.clone())]);
}

async fn rows_of_earlier_runs_are_freed_a_few_at_a_time(database: Database) {
    let storage = database.open().await;
    let (earlier, now) = (node("one", 1), node("one", 2));
    let mut users = Vec::new();
    for nth in 0..600 {
        users.push(user(&storage, &format!("user {nth}")).await);
    }
    let (gone, here) = users.split_at(590);
    start(&storage, &earlier).await;
    log_in(&storage, &earlier, gone).await;
    database.execute("UPDATE session SET asked = 1 WHERE userid % 7 = 0").await;
    storage.stop_node(&earlier).await.expect("stopping works");
    start(&storage, &now).await;
    log_in(&storage, &now, here).await;
    let counts = async || {
        let online = database.texts("SELECT CAST(COUNT(*) AS CHAR) FROM user WHERE state = 'online'").await.remove(0);
        let held = "SELECT CAST(COUNT(*) AS CHAR) FROM session WHERE node IS NOT NULL";
        (online, database.texts(held).await.remove(0))
    };
    let expected = |online: usize, held: usize| (online.to_string(), held.to_string());

    storage.tidy_sessions(&now.id, 0).await.expect("tidying works");
    assert_eq!(counts().await, expected(600 - 256, 600 - 256), "a step is small");
    assert_eq!(tidy(&storage, &now).await, 3);

    assert_eq!(counts().await, expected(10, 10));
    let routes = storage.routes(&users).await.expect("reading works");
    assert_eq!(routes, here.iter().map(|user| (*user, now.id.clone())).collect::<Vec<_>>());
    assert_eq!(tidy(&storage, &now).await, 2, "what was freed is not looked at again");
    log_in(&storage, &now, gone).await;
}

async fn every_name_of_a_holder_is_found(database: Database) {
    let storage = database.open().await;
    let names = async || {
        let (mut names, mut last) = (Vec::new(), NodeId("".into()));
        while let Some(name) = storage.next_holder(&last).await.expect("reading works") {
            names.push(name.to_string());
            last = name;
        }
        names
    };
    assert_eq!(names().await, [""; 0]);

    for (nth, name) in ["b", "a", "c", "a"].into_iter().enumerate() {
        let user = user(&storage, &format!("user {nth}")).await;
        let key = node(name, 1);
        start(&storage, &key).await;
        log_in(&storage, &key, &[user]).await;
    }
    database.execute("DELETE FROM node WHERE id = 'b'").await;

    assert_eq!(names().await, ["a", "b", "c"]);
}
