//! Leases and sessions: never two nodes with the same session, whatever the timing.

use crate::database::{Database, NOW, group, node, session_of, stored_at, text, two_friends, user};
use crate::on_every_database;
use chat::cluster::{EndReason, NodeKey};
use chat::storage::{
    Appended, Claim, Claimant, Claimed, EndAsked, Error, Mark, NodeStart, Order, Peer, Release, Storage,
};
use chat_protocol::conversation::UserId;
use std::sync::Arc;

on_every_database!(
    session_goes_to_one_of_many_who_claim_it,
    batch_of_claims_is_answered_in_order,
    takeover_asks_the_holder,
    takeover_that_is_withdrawn_asks_no_more,
    release_counts_only_under_its_epoch,
    session_is_superseded_only_by_a_later_one,
    nothing_changes_for_a_session_that_is_gone,
    disowned_sessions_are_free_whatever_their_epoch,
    large_batches_are_claimed_and_released,
    claims_of_many_nodes_at_once_do_not_block_each_other,
);

/// Whether it is still waiting.
struct Client(bool);

impl Claimant for Client {
    fn is_waiting(&self) -> bool {
        self.0
    }
}

fn patient() -> Arc<dyn Claimant> {
    Arc::new(Client(true))
}

pub async fn start(storage: &Arc<dyn Storage>, key: &NodeKey) {
    assert_eq!(storage.start_node(key).await.expect("starting works"), NodeStart::Ready);
}

pub async fn claim(storage: &Arc<dyn Storage>, key: &NodeKey, user: UserId, takeover: bool) -> Claimed {
    let claims = [Claim { user, takeover: takeover.then(patient), token_generation: None }];
    // Another claimant may just hold the row.
    loop {
        let claimed = storage.claim_sessions(key, &claims).await.expect("claiming works").remove(0);
        if claimed != Claimed::Busy {
            return claimed;
        }
        tokio::task::yield_now().await;
    }
}

/// The node as another sees it now, if it is not gone.
pub async fn seen(storage: &Arc<dyn Storage>, key: &NodeKey) -> Option<Peer> {
    let renewal = storage.renew_lease(&node("observer", 1), false).await.expect("renewing works");
    renewal.live.into_iter().find(|peer| peer.key == *key)
}

/// Another node has watched this one stand still for long enough.
pub async fn call_gone(storage: &Arc<dyn Storage>, key: &NodeKey) {
    let peer = seen(storage, key).await.expect("it is there");
    assert!(storage.call_gone(&peer).await.expect("calling works"));
}

pub async fn held(storage: &Arc<dyn Storage>, key: &NodeKey) -> Vec<Release> {
    storage.renew_lease(key, true).await.expect("renewing works").held
}

async fn session_goes_to_one_of_many_who_claim_it(database: Database) {
    let storage = database.open().await;
    let nodes: Vec<NodeKey> = (1..=4).map(|nth| node(&format!("node {nth}"), nth)).collect();
    for key in &nodes {
        start(&storage, key).await;
    }
    for round in 0..5 {
        let user = user(&storage, &format!("user {round}")).await;
        let claims = nodes.iter().map(|key| {
            let (storage, key) = (storage.clone(), key.clone());
            tokio::spawn(async move { claim(&storage, &key, user, false).await })
        });
        let mut outcomes = Vec::new();
        for claimed in claims.collect::<Vec<_>>() {
            outcomes.push(claimed.await.expect("no claim panics"));
        }
        let winners: Vec<usize> = (0..4).filter(|at| outcomes[*at] == Claimed::Won { epoch: 1 }).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let winner = &nodes[winners[0]];
        let held = |claimed: &Claimed| *claimed == Claimed::Held { node: winner.clone(), epoch: 1 };
        assert_eq!(outcomes.iter().filter(|claimed| held(claimed)).count(), 3, "{outcomes:?}");
        assert_eq!(storage.routes(&[user]).await.expect("reading works"), [(user, winner.id.clone())]);
    }
}

async fn batch_of_claims_is_answered_in_order(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let (a, b, c) = (user(&storage, "a").await, user(&storage, "b").await, user(&storage, "c").await);
    assert_eq!(claim(&storage, &other, b, false).await, Claimed::Won { epoch: 1 });
    assert_eq!(claim(&storage, &one, c, false).await, Claimed::Won { epoch: 1 });

    let claims = [c, c + 1_000, b, a].map(|user| Claim { user, takeover: None, token_generation: None });
    let outcomes = storage.claim_sessions(&one, &claims).await.expect("claiming works");
    // What the same run held already counts as free.
    assert_eq!(outcomes[0], Claimed::Won { epoch: 2 });
    assert_eq!(outcomes[1], Claimed::NoSuchUser);
    assert_eq!(outcomes[2], Claimed::Held { node: other, epoch: 1 });
    assert_eq!(outcomes[3], Claimed::Won { epoch: 1 });
    assert_eq!(storage.claim_sessions(&one, &[]).await.expect("claiming works"), []);
    assert_eq!(storage.routes(&[]).await.expect("reading works"), []);

    let mut held = held(&storage, &one).await;
    held.sort_unstable_by_key(|held| held.user);
    assert_eq!(held, [Release { user: a, epoch: 1 }, Release { user: c, epoch: 2 }]);
}

async fn takeover_asks_the_holder(database: Database) {
    let storage = database.open().await;
    let (holder, other) = (node("holder", 1), node("other", 1));
    start(&storage, &holder).await;
    start(&storage, &other).await;
    let user = user(&storage, "user").await;
    assert_eq!(claim(&storage, &holder, user, true).await, Claimed::Won { epoch: 1 });
    let asked = async || storage.renew_lease(&holder, false).await.expect("renewing works").asked;
    assert!(matches!(claim(&storage, &other, user, false).await, Claimed::Held { .. }));
    assert_eq!(asked().await, []);
    let given_up = [Claim { user, takeover: Some(Arc::new(Client(false))), token_generation: None }];
    storage.claim_sessions(&other, &given_up).await.expect("claiming works");
    assert_eq!(asked().await, []);

    assert!(matches!(claim(&storage, &other, user, true).await, Claimed::Held { epoch: 1, .. }));
    let reason = EndReason::LoginElsewhere;
    assert_eq!(asked().await, [EndAsked { release: Release { user, epoch: 1 }, reason }]);

    storage.release_sessions(&holder, &[Release { user, epoch: 1 }]).await.expect("releasing works");
    assert_eq!(asked().await, []);
    assert_eq!(claim(&storage, &other, user, true).await, Claimed::Won { epoch: 2 });
    assert_eq!(storage.renew_lease(&other, false).await.expect("renewing works").asked, []);
}

async fn takeover_that_is_withdrawn_asks_no_more(database: Database) {
    let storage = database.open().await;
    let (holder, other) = (node("holder", 1), node("other", 1));
    start(&storage, &holder).await;
    start(&storage, &other).await;
    let (user, bystander) = (user(&storage, "user").await, user(&storage, "bystander").await);
    for user in [user, bystander] {
        claim(&storage, &holder, user, false).await;
        claim(&storage, &other, user, true).await;
    }
    let asked = async |reason| {
        let asked = storage.asked_of(&holder, &[user, bystander]).await.expect("reading works");
        assert!(asked.iter().all(|asked| asked.reason == reason && asked.release.epoch == 1), "{asked:?}");
        asked.iter().map(|asked| asked.release.user).collect::<Vec<_>>()
    };
    assert_eq!(asked(EndReason::LoginElsewhere).await, [user, bystander]);
    assert_eq!(storage.asked_of(&other, &[user, bystander]).await.expect("reading works"), []);
    assert_eq!(storage.asked_of(&holder, &[]).await.expect("reading works"), []);

    let held = storage.withdraw_takeovers(&[user]).await.expect("withdrawing works");
    assert!(held.is_empty(), "{held:?}");
    assert_eq!(asked(EndReason::LoginElsewhere).await, [bystander]);
    claim(&storage, &other, user, true).await;
    assert_eq!(asked(EndReason::LoginElsewhere).await, [user, bystander]);

    for user in [user, bystander] {
        storage.order(user, &Order::Kick).await.expect("ordering works");
        claim(&storage, &other, user, true).await;
    }
    storage.withdraw_takeovers(&[user, bystander]).await.expect("withdrawing works");
    assert_eq!(asked(EndReason::Kicked).await, [user, bystander], "an operator's order stands");
}

async fn release_counts_only_under_its_epoch(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;
    claim(&storage, &one, user, false).await;
    for (key, epoch) in [(&one, 1), (&other, 2), (&node("one", 2), 2), (&one, 3)] {
        storage.release_sessions(key, &[Release { user, epoch }]).await.expect("releasing works");
        assert_eq!(storage.routes(&[user]).await.expect("reading works").len(), 1, "{key:?} {epoch}");
    }
    storage.release_sessions(&one, &[Release { user, epoch: 2 }]).await.expect("releasing works");
    assert_eq!(storage.routes(&[user]).await.expect("reading works"), []);
    storage.release_sessions(&one, &[]).await.expect("releasing nothing works");
}

async fn nothing_changes_for_a_session_that_is_gone(database: Database) {
    let storage = database.open().await;
    let (late, other) = (node("late", 1), node("other", 1));
    start(&storage, &late).await;
    start(&storage, &other).await;
    let (ann, bob, direct) = two_friends(&storage).await;
    let cem = user(&storage, "cem").await;
    let (joined, open) = (group(&storage, bob, "joined").await, group(&storage, bob, "open").await);
    storage.join_group(&ann.into(), joined, 10).await.expect("joining works");
    let by = session_of(&storage, &late, ann).await;
    let epoch = by.session.as_ref().map(|session| session.epoch);
    let message = |text_of: &str| chat::storage::Append { epoch, ..text(direct, ann, text_of) };
    let said = storage.append(&late, &[message("before")], NOW, &|| true).await.expect("appending works");
    assert_eq!(said.outcomes, [stored_at(1)]);
    call_gone(&storage, &late).await;
    assert_eq!(claim(&storage, &other, ann, false).await, Claimed::Won { epoch: 2 });
    let rows = async || {
        let (direct, joined, open) = (direct.to_string(), format!("g{joined}"), format!("g{open}"));
        database
            .texts(&format!(
                "SELECT CONCAT_WS(' ', c.id, c.last_seq, c.members_version, \
                 (SELECT COUNT(*) FROM member m WHERE m.conv = c.id), \
                 (SELECT SUM(received_seq) FROM member m WHERE m.conv = c.id), \
                 (SELECT COUNT(*) FROM friend), \
                 (SELECT SUM(token_generation) FROM session), \
                 (SELECT COUNT(*) FROM allgroup), \
                 (SELECT password FROM user WHERE id = {ann})) \
                 FROM conversation c WHERE c.id IN ('{direct}', '{joined}', '{open}') ORDER BY c.id"
            ))
            .await
    };
    let before = rows().await;

    let is_gone = |outcome: Option<Error>| matches!(outcome, Some(Error::SessionGone));
    assert!(is_gone(storage.join_group(&by, open, 10).await.err()));
    assert!(is_gone(storage.leave_group(&by, joined).await.err()));
    assert!(is_gone(storage.create_group(&by, "new", "").await.err()));
    assert!(is_gone(storage.add_friend(&by, cem).await.err()));
    assert!(is_gone(storage.remove_friend(&by, bob).await.err()));
    assert!(is_gone(storage.change_password(&by, "hash", "another").await.err()));
    assert!(is_gone(storage.revoke_tokens(&by).await.err()));
    let said = storage.append(&late, &[message("after"), text(direct, bob, "hello")], NOW, &|| true).await;
    assert_eq!(said.expect("appending works").outcomes, [Appended::SessionGone, stored_at(2)]);
    database.execute("UPDATE conversation SET last_seq = 1 WHERE last_seq = 2").await;
    let mark = Mark { conv: direct, user: ann, seq: 1, log_epoch: 0 };
    storage.mark_received(Some(&late), &[mark]).await.expect("marking works");

    assert_eq!(rows().await, before);
    storage.mark_received(Some(&other), &[mark]).await.expect("marking works");
    assert_ne!(rows().await, before, "the session that is there may");
}

async fn session_is_superseded_only_by_a_later_one(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let (here, freed) = (user(&storage, "here").await, user(&storage, "freed").await);
    let sessions = [here, freed].map(|user| Release { user, epoch: 1 });
    for user in [here, freed] {
        claim(&storage, &one, user, false).await;
    }
    storage.release_sessions(&one, &[sessions[1]]).await.expect("releasing works");
    assert_eq!(storage.superseded(&sessions).await.expect("reading works"), []);

    claim(&storage, &other, freed, false).await;
    assert_eq!(storage.superseded(&sessions).await.expect("reading works"), [sessions[1]]);
    assert_eq!(storage.superseded(&[]).await.expect("reading works"), []);
}

async fn disowned_sessions_are_free_whatever_their_epoch(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let (ann, bob) = (user(&storage, "ann").await, user(&storage, "bob").await);
    claim(&storage, &one, ann, false).await;
    claim(&storage, &one, ann, false).await;
    claim(&storage, &other, bob, false).await;

    storage.disown_sessions(&one, &[ann, bob, bob + 1]).await.expect("disowning works");

    assert_eq!(storage.routes(&[ann, bob]).await.expect("reading works"), [(bob, other.id.clone())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_that_another_transaction_holds_stands_in_nobody_elses_way() {
    let database = Database::mariadb();
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    let (ann, bob, cem) = (user(&storage, "ann").await, user(&storage, "bob").await, user(&storage, "cem").await);
    let holder = database.hold(&format!("session WHERE userid = {bob}")).await;
    let claims = [ann, bob, cem, cem + 1].map(|user| Claim { user, takeover: None, token_generation: None });

    let outcomes = storage.claim_sessions(&one, &claims).await.expect("claiming works");

    let won = Claimed::Won { epoch: 1 };
    assert_eq!(outcomes, [won.clone(), Claimed::Busy, won.clone(), Claimed::NoSuchUser]);
    drop(holder);
    services::eventually(crate::database::SOON, "the row is free", async || {
        (claim(&storage, &one, bob, false).await == won).then_some(())
    })
    .await;
    let holder = database.hold(&format!("session WHERE userid = {bob}")).await;
    let releases = [ann, bob, cem].map(|user| Release { user, epoch: 1 });
    assert_eq!(storage.release_sessions(&one, &releases).await.expect("releasing works"), [bob]);
    assert_eq!(storage.routes(&[ann, bob, cem]).await.expect("reading works"), [(bob, one.id.clone())]);
    drop(holder);
}

async fn large_batches_are_claimed_and_released(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    let mut users = Vec::new();
    for nth in 0..700 {
        users.push(user(&storage, &format!("user {nth}")).await);
    }
    users.reverse();
    let claims: Vec<Claim> =
        users.iter().map(|user| Claim { user: *user, takeover: None, token_generation: None }).collect();
    let outcomes = storage.claim_sessions(&one, &claims).await.expect("claiming works");
    assert_eq!(outcomes, vec![Claimed::Won { epoch: 1 }; 700]);
    assert_eq!(storage.routes(&users).await.expect("reading works").len(), 700);
    let releases: Vec<Release> = users.iter().map(|user| Release { user: *user, epoch: 1 }).collect();
    storage.release_sessions(&one, &releases[..550]).await.expect("releasing works");
    let mut still = held(&storage, &one).await;
    still.sort_unstable_by_key(|held| std::cmp::Reverse(held.user));
    assert_eq!(still, releases[550..]);
}

async fn claims_of_many_nodes_at_once_do_not_block_each_other(database: Database) {
    let storage = database.open().await;
    let mut users = Vec::new();
    for nth in 0..40 {
        users.push(user(&storage, &format!("user {nth}")).await);
    }
    let nodes: Vec<NodeKey> = (0..4).map(|nth| node(&format!("node {nth}"), 1)).collect();
    for key in &nodes {
        start(&storage, key).await;
    }
    let claims = nodes.iter().zip([1, 3, 7, 9]).map(|(key, step)| {
        let (storage, key) = (storage.clone(), key.clone());
        // Each names all users, in another order.
        let claims: Vec<Claim> = (0..40)
            .map(|at| Claim {
                user: users[at * step % 40],
                takeover: (step == 1).then(patient),
                token_generation: None,
            })
            .collect();
        tokio::spawn(async move { storage.claim_sessions(&key, &claims).await.expect("claiming works") })
    });
    let mut won = 0;
    for outcomes in claims.collect::<Vec<_>>() {
        let outcomes = outcomes.await.expect("no claim panics");
        won += outcomes.iter().filter(|claimed| matches!(claimed, Claimed::Won { .. })).count();
    }
    assert_eq!(won, 40);
}
