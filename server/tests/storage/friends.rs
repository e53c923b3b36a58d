//! Friendship and the conversation that outlives it.

use crate::database::{Database, at, audience, cursors, node, outcomes, say, stored_at, text, two_friends, user};
use crate::on_every_database;
use chat::storage::{Appended, Befriended, Claim, Mark, Waiting};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::{Friend, State};

on_every_database!(
    friendship_is_mutual,
    two_who_befriend_each_other_at_once_are_friends_once,
    unfriending_closes_the_conversation_but_still_delivers,
    befriending_again_opens_the_conversation_where_it_was,
    friends_come_by_id_with_true_presence,
    friends_of_many_come_each_within_the_limit,
);

async fn friendship_is_mutual(database: Database) {
    let storage = database.open().await;
    let (one, other) = (user(&storage, "one").await, user(&storage, "other").await);
    for nobody in [one, other + 1_000, 0] {
        let outcome = storage.add_friend(&one.into(), nobody).await.expect("adding works");
        assert_eq!(outcome, Befriended::NoSuchUser, "{nobody}");
    }
    let added = storage.add_friend(&one.into(), other).await.expect("adding works");
    let expected = |id, name: &str| Friend { id, name: name.into(), state: State::Offline };
    assert_eq!(added, Befriended::Done(expected(other, "other")));
    assert_eq!(storage.add_friend(&one.into(), other).await.expect("adding works"), Befriended::Already);
    assert_eq!(storage.add_friend(&other.into(), one).await.expect("adding works"), Befriended::Already);
    let friends = storage.friends(&[one, other], 2).await.expect("reading works");
    assert_eq!(friends, [[expected(other, "other")], [expected(one, "one")]]);
}

async fn two_who_befriend_each_other_at_once_are_friends_once(database: Database) {
    let storage = database.open().await;
    for round in 0..10 {
        let one = user(&storage, &format!("one {round}")).await;
        let other = user(&storage, &format!("other {round}")).await;
        let (first, second) = tokio::join!(
            tokio::spawn({
                let storage = storage.clone();
                async move { storage.add_friend(&one.into(), other).await.expect("adding works") }
            }),
            tokio::spawn({
                let storage = storage.clone();
                async move { storage.add_friend(&other.into(), one).await.expect("adding works") }
            }),
        );
        let outcomes = [first.expect("no panic"), second.expect("no panic")];
        assert!(outcomes.contains(&Befriended::Already), "{outcomes:?}");
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Befriended::Done(_))), "{outcomes:?}");
        assert_eq!(outcomes_of_one_message(&storage, one, other).await, [stored_at(1)]);
    }
}

async fn outcomes_of_one_message(
    storage: &std::sync::Arc<dyn chat::storage::Storage>,
    one: u64,
    other: u64,
) -> Vec<Appended> {
    outcomes(storage, &[text(Conversation::direct(one, other), one, "hello")]).await
}

async fn unfriending_closes_the_conversation_but_still_delivers(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let before = audience(&storage, conv).await.expect("it exists");
    assert!(before.open && before.may_post(one) && before.may_post(other) && !before.may_post(other + 1));
    say(&storage, conv, one, 3).await;

    assert!(storage.remove_friend(&other.into(), one).await.expect("removing works"));
    assert!(!storage.remove_friend(&one.into(), other).await.expect("removing works"));
    assert!(!storage.remove_friend(&one.into(), other + 1_000).await.expect("removing works"));

    let after = audience(&storage, conv).await.expect("it exists");
    assert!(!after.open && !after.may_post(one) && after.version > before.version);
    assert_eq!(after.members, before.members);
    assert_eq!(outcomes_of_one_message(&storage, one, other).await, [Appended::NotAllowed]);
    let waiting = Waiting { user: other, conv, position: at(0), last_seq: 3 };
    assert_eq!(storage.waiting(&[other]).await.expect("reading works"), [waiting]);
    assert_eq!(storage.count_waiting(other, 100).await.expect("counting works"), 3);
}

async fn befriending_again_opens_the_conversation_where_it_was(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    storage.mark_received(None, &[Mark { conv, user: other, seq: 2, log_epoch: 0 }]).await.expect("marking works");
    storage.remove_friend(&one.into(), other).await.expect("removing works");

    let added = storage.add_friend(&other.into(), one).await.expect("adding works");
    assert!(matches!(added, Befriended::Done(_)), "{added:?}");

    assert_eq!(outcomes_of_one_message(&storage, other, one).await, [stored_at(4)]);
    assert_eq!(cursors(&storage, &[(conv, one), (conv, other)]).await, [Some(0), Some(2)]);
}

async fn friends_come_by_id_with_true_presence(database: Database) {
    let storage = database.open().await;
    let me = user(&storage, "me").await;
    let mut ids = Vec::new();
    for nth in 0..5 {
        ids.push(user(&storage, &format!("friend {nth}")).await);
    }
    for id in ids.iter().rev() {
        storage.add_friend(&me.into(), *id).await.expect("adding works");
    }
    let one = node("one", 1);
    storage.start_node(&one).await.expect("starting works");
    let claims = [ids[1], ids[3]].map(|user| Claim { user, takeover: None, token_generation: None });
    storage.claim_sessions(&one, &claims).await.expect("claiming works");

    let friends = storage.friends(&[me], 4).await.expect("reading works");
    let seen: Vec<_> = friends[0].iter().map(|friend| (friend.id, friend.state)).collect();
    let (on, off) = (State::Online, State::Offline);
    assert_eq!(seen, [(ids[0], off), (ids[1], on), (ids[2], off), (ids[3], on)]);
    assert_eq!(storage.online_friends(me, 10).await.expect("reading works"), [ids[1], ids[3]]);
    assert_eq!(storage.online_friends(me, 1).await.expect("reading works"), [ids[1]]);

    let other = user(&storage, "other").await;
    let added = storage.add_friend(&other.into(), ids[3]).await.expect("adding works");
    assert_eq!(added, Befriended::Done(Friend { id: ids[3], name: "friend 3".into(), state: on }));
}

async fn friends_of_many_come_each_within_the_limit(database: Database) {
    let storage = database.open().await;
    let (busy, lonely) = (user(&storage, "busy").await, user(&storage, "lonely").await);
    let mut users = vec![busy, lonely];
    // More than are read in one statement.
    for nth in 0..35 {
        users.push(user(&storage, &format!("friend {nth}")).await);
        storage.add_friend(&users[nth + 2].into(), busy).await.expect("adding works");
    }
    users.reverse();

    let friends = storage.friends(&users, 3).await.expect("reading works");

    let ids: Vec<Vec<u64>> = friends.iter().map(|of| of.iter().map(|friend| friend.id).collect()).collect();
    let of_busy = vec![busy + 2, busy + 3, busy + 4];
    assert_eq!(ids, [vec![vec![busy]; 35], vec![vec![]], vec![of_busy]].concat());
}
