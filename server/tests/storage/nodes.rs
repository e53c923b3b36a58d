//! Nodes and their leases: who lives, who is gone, and who learns of it.

use crate::database::{Database, node, user};
use crate::on_every_database;
use crate::sessions::{call_gone, claim, held, seen, start};
use chat::storage::{Claimed, Error, NodeStart, Release};

on_every_database!(
    node_name_is_taken_until_its_run_is_called_gone,
    renewal_tells_who_is_alive,
    replaced_node_is_told,
    session_is_free_when_its_node_stops,
    session_is_free_when_its_node_is_called_gone_and_not_before,
    node_that_has_renewed_is_not_called_gone,
    node_that_is_back_keeps_what_nobody_took_and_is_told_of_the_rest,
    late_renewal_does_not_bring_a_session_back,
    row_that_was_removed_is_made_anew_and_says_so,
    earlier_run_of_a_node_holds_nothing,
);

async fn node_name_is_taken_until_its_run_is_called_gone(database: Database) {
    let storage = database.open().await;
    let (first, second) = (node("one", 1), node("one", 2));
    start(&storage, &first).await;
    start(&storage, &first).await;
    let taken = storage.start_node(&second).await.expect("asking works");
    let NodeStart::Taken(peer) = &taken else { panic!("two runs under one name") };
    assert_eq!(peer.key, first);
    assert_eq!(storage.start_node(&second).await.expect("asking works"), taken, "it stands still");
    storage.renew_lease(&first, false).await.expect("renewing works");
    assert_ne!(storage.start_node(&second).await.expect("asking works"), taken, "it lives");
    storage.stop_node(&second).await.expect("stopping works");
    assert!(matches!(storage.start_node(&second).await, Ok(NodeStart::Taken(_))));
    call_gone(&storage, &first).await;
    start(&storage, &second).await;
}

async fn renewal_tells_who_is_alive(database: Database) {
    let storage = database.open().await;
    let (one, other, gone) = (node("one", 1), node("节点 two", 2), node("three", 3));
    for key in [&one, &other, &gone] {
        start(&storage, key).await;
    }
    storage.stop_node(&gone).await.expect("stopping works");
    let renewal = storage.renew_lease(&one, false).await.expect("renewing works");
    let live: Vec<_> = renewal.live.iter().map(|peer| peer.key.clone()).collect();
    assert_eq!(live, [one.clone(), other]);
    let again = storage.renew_lease(&one, false).await.expect("renewing works");
    let counts = |renewal: &chat::storage::Renewal| renewal.live.iter().map(|peer| peer.renewals).collect::<Vec<_>>();
    assert_eq!(counts(&again)[0], counts(&renewal)[0] + 1);
    assert_eq!(counts(&again)[1], counts(&renewal)[1], "the other has not renewed");
    assert_eq!(renewal.asked, []);
    // A row that is gone is made anew.
    let fresh = storage.renew_lease(&node("four", 4), false).await.expect("renewing works");
    assert_eq!(fresh.live.len(), 3);
}

async fn replaced_node_is_told(database: Database) {
    let storage = database.open().await;
    let (first, second) = (node("one", 1), node("one", 2));
    start(&storage, &first).await;
    storage.stop_node(&first).await.expect("stopping works");
    start(&storage, &second).await;
    let outcome = storage.renew_lease(&first, false).await;
    assert!(matches!(&outcome, Err(Error::NodeReplaced(id)) if *id == first.id), "{outcome:?}");
    storage.renew_lease(&second, false).await.expect("the second run goes on");
}

async fn session_is_free_when_its_node_stops(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;
    storage.stop_node(&one).await.expect("stopping works");
    assert_eq!(storage.routes(&[user]).await.expect("reading works"), []);
    assert_eq!(claim(&storage, &other, user, false).await, Claimed::Won { epoch: 2 });
}

async fn session_is_free_when_its_node_is_called_gone_and_not_before(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;
    assert_eq!(claim(&storage, &other, user, false).await, Claimed::Held { node: one.clone(), epoch: 1 });

    call_gone(&storage, &one).await;

    assert_eq!(storage.routes(&[user]).await.expect("reading works"), []);
    assert_eq!(claim(&storage, &other, user, false).await, Claimed::Won { epoch: 2 });
}

async fn node_that_has_renewed_is_not_called_gone(database: Database) {
    let storage = database.open().await;
    let (one, again) = (node("one", 1), node("one", 2));
    start(&storage, &one).await;
    let before = seen(&storage, &one).await.expect("it is there");
    storage.renew_lease(&one, false).await.expect("renewing works");

    assert!(!storage.call_gone(&before).await.expect("calling works"));

    assert!(seen(&storage, &one).await.is_some());
    storage.stop_node(&one).await.expect("stopping works");
    start(&storage, &again).await;
    assert!(!storage.call_gone(&before).await.expect("calling works"), "that was another run");
}

async fn node_that_is_back_keeps_what_nobody_took_and_is_told_of_the_rest(database: Database) {
    let storage = database.open().await;
    let (late, other) = (node("late", 1), node("other", 1));
    start(&storage, &late).await;
    start(&storage, &other).await;
    let (kept, taken) = (user(&storage, "kept").await, user(&storage, "taken").await);
    claim(&storage, &late, kept, false).await;
    claim(&storage, &late, taken, false).await;
    let before = storage.renew_lease(&late, false).await.expect("renewing works").takeovers;
    call_gone(&storage, &late).await;
    assert_eq!(storage.renew_lease(&late, false).await.expect("renewing works").takeovers, before, "nobody took any");
    call_gone(&storage, &late).await;
    assert_eq!(claim(&storage, &other, taken, false).await, Claimed::Won { epoch: 2 });

    let renewal = storage.renew_lease(&late, true).await.expect("renewing works");

    assert_ne!(renewal.takeovers, before);
    assert_eq!(renewal.held, [Release { user: kept, epoch: 1 }]);
    assert_eq!(storage.routes(&[kept]).await.expect("reading works"), [(kept, late.id.clone())]);
    assert_eq!(claim(&storage, &other, kept, false).await, Claimed::Held { node: late, epoch: 1 });
}

async fn late_renewal_does_not_bring_a_session_back(database: Database) {
    let storage = database.open().await;
    let (late, other) = (node("late", 1), node("other", 1));
    start(&storage, &late).await;
    start(&storage, &other).await;
    for round in 0..10 {
        let user = user(&storage, &format!("user {round}")).await;
        assert_eq!(claim(&storage, &late, user, false).await, Claimed::Won { epoch: 1 });
        let known = storage.renew_lease(&late, false).await.expect("renewing works").takeovers;
        call_gone(&storage, &late).await;

        let renewal = async { storage.renew_lease(&late, true).await.expect("renewing works") };
        let (renewal, claimed) = tokio::join!(renewal, claim(&storage, &other, user, false));

        let is_won = matches!(claimed, Claimed::Won { .. });
        let is_held = renewal.held.iter().any(|held| held.user == user);
        assert_eq!((is_held, renewal.takeovers != known), (!is_won, is_won), "{renewal:?} {claimed:?}");
    }
}

async fn row_that_was_removed_is_made_anew_and_says_so(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    assert!(!storage.renew_lease(&one, false).await.expect("renewing works").made_anew);
    database.execute("DELETE FROM node").await;

    assert!(storage.renew_lease(&one, false).await.expect("renewing works").made_anew);

    assert!(seen(&storage, &one).await.is_some());
}

async fn earlier_run_of_a_node_holds_nothing(database: Database) {
    let storage = database.open().await;
    let (first, second, other) = (node("one", 1), node("one", 2), node("other", 1));
    start(&storage, &first).await;
    start(&storage, &other).await;
    let user = user(&storage, "user").await;
    claim(&storage, &first, user, false).await;
    storage.stop_node(&first).await.expect("stopping works");
    start(&storage, &second).await;

    assert_eq!(storage.routes(&[user]).await.expect("reading works"), []);
    assert_eq!(held(&storage, &second).await, []);
    assert_eq!(claim(&storage, &other, user, false).await, Claimed::Won { epoch: 2 });
}
