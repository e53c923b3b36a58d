//! Leases and sessions: never two nodes with the same session, whatever the timing.

use crate::database::{Database, LEASE, SOON, node, user};
use crate::on_every_database;
use chat::cluster::NodeKey;
use chat::protocol::conversation::UserId;
use chat::protocol::message::State;
use chat::storage::{Claim, Claimant, Claimed, Error, NodeStart, Release, Storage};
use harness::eventually::eventually;
use std::sync::Arc;
use std::time::Duration;

on_every_database!(
    node_name_is_taken_while_its_lease_runs,
    renewal_tells_who_is_alive,
    replaced_node_is_told,
    session_goes_to_one_of_many_who_claim_it,
    batch_of_claims_is_answered_in_order,
    takeover_asks_the_holder,
    release_counts_only_under_its_epoch,
    session_is_free_when_its_node_stops,
    session_is_free_when_its_lease_runs_out,
    late_renewal_does_not_bring_a_session_back,
    earlier_run_of_a_node_holds_nothing,
    states_are_tidied_where_the_holder_is_gone,
    large_batches_are_claimed_and_released,
    claims_of_many_nodes_at_once_do_not_block_each_other,
);

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

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

async fn start(storage: &Arc<dyn Storage>, key: &NodeKey, lease: Duration) {
    assert_eq!(storage.start_node(key, lease).await.expect("starting works"), NodeStart::Ready);
}

async fn claim(storage: &Arc<dyn Storage>, key: &NodeKey, user: UserId, takeover: bool) -> Claimed {
    let claims = [Claim { user, takeover: takeover.then(patient) }];
    storage.claim_sessions(key, &claims).await.expect("claiming works").remove(0)
}

async fn node_name_is_taken_while_its_lease_runs(database: Database) {
    let storage = database.open().await;
    let (first, second) = (node("one", 1), node("one", 2));
    start(&storage, &first, LEASE).await;
    start(&storage, &first, LEASE).await;
    let NodeStart::Leased { boot, lease_left } = storage.start_node(&second, LEASE).await.expect("asking works") else {
        panic!("two runs under one name")
    };
    assert_eq!(boot, 1);
    assert!(lease_left <= LEASE && lease_left > LEASE / 2, "{lease_left:?}");
    storage.stop_node(&second).await.expect("stopping works");
    assert!(matches!(storage.start_node(&second, LEASE).await, Ok(NodeStart::Leased { .. })));
    storage.stop_node(&first).await.expect("stopping works");
    start(&storage, &second, LEASE).await;
}

async fn renewal_tells_who_is_alive(database: Database) {
    let storage = database.open().await;
    let (one, other, gone) = (node("one", 1), node("节点 two", 2), node("three", 3));
    for key in [&one, &other, &gone] {
        start(&storage, key, LEASE).await;
    }
    storage.stop_node(&gone).await.expect("stopping works");
    let renewal = storage.renew_lease(&one, LEASE).await.expect("renewing works");
    let live: Vec<_> = renewal.live.iter().map(|peer| peer.key.clone()).collect();
    assert_eq!(live, [one, other]);
    assert!(renewal.live.iter().all(|peer| peer.lease_left <= LEASE && peer.lease_left > LEASE / 2));
    assert_eq!(renewal.asked, []);
    // A row that is gone is made anew.
    let fresh = storage.renew_lease(&node("four", 4), LEASE).await.expect("renewing works");
    assert_eq!(fresh.live.len(), 3);
}

async fn replaced_node_is_told(database: Database) {
    let storage = database.open().await;
    let (first, second) = (node("one", 1), node("one", 2));
    start(&storage, &first, Duration::ZERO).await;
    start(&storage, &second, LEASE).await;
    let outcome = storage.renew_lease(&first, LEASE).await;
    assert!(matches!(&outcome, Err(Error::NodeReplaced(id)) if *id == first.id), "{outcome:?}");
    storage.renew_lease(&second, LEASE).await.expect("the second run goes on");
}

async fn session_goes_to_one_of_many_who_claim_it(database: Database) {
    let storage = database.open().await;
    let nodes: Vec<NodeKey> = (1..=4).map(|nth| node(&format!("node {nth}"), nth)).collect();
    for key in &nodes {
        start(&storage, key, LEASE).await;
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
        let held = |claimed: &Claimed| matches!(claimed, Claimed::Held { node, epoch: 1, .. } if *node == winner.id);
        assert_eq!(outcomes.iter().filter(|claimed| held(claimed)).count(), 3, "{outcomes:?}");
        assert_eq!(storage.routes(&[user]).await.expect("reading works"), [(user, winner.id.clone())]);
    }
}

async fn batch_of_claims_is_answered_in_order(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one, LEASE).await;
    start(&storage, &other, LEASE).await;
    let (a, b, c) = (user(&storage, "a").await, user(&storage, "b").await, user(&storage, "c").await);
    assert_eq!(claim(&storage, &other, b, false).await, Claimed::Won { epoch: 1 });
    assert_eq!(claim(&storage, &one, c, false).await, Claimed::Won { epoch: 1 });

    let claims = [c, c + 1_000, b, a].map(|user| Claim { user, takeover: None });
    let outcomes = storage.claim_sessions(&one, &claims).await.expect("claiming works");
    // What the same run held already counts as free.
    assert_eq!(outcomes[0], Claimed::Won { epoch: 2 });
    assert_eq!(outcomes[1], Claimed::NoSuchUser);
    assert!(matches!(&outcomes[2], Claimed::Held { node, epoch: 1, .. } if *node == other.id));
    assert_eq!(outcomes[3], Claimed::Won { epoch: 1 });
    assert_eq!(storage.claim_sessions(&one, &[]).await.expect("claiming works"), []);
    assert_eq!(storage.routes(&[]).await.expect("reading works"), []);

    let held = [(a, 1), (b, 1), (c, 1), (c, 2)].map(|(user, epoch)| Release { user, epoch });
    let still = storage.sessions_still_held(&one, &held).await.expect("reading works");
    assert_eq!(still, [held[0], held[3]]);
}

async fn takeover_asks_the_holder(database: Database) {
    let storage = database.open().await;
    let (holder, other) = (node("holder", 1), node("other", 1));
    start(&storage, &holder, LEASE).await;
    start(&storage, &other, LEASE).await;
    let user = user(&storage, "user").await;
    assert_eq!(claim(&storage, &holder, user, true).await, Claimed::Won { epoch: 1 });
    let asked = async || storage.renew_lease(&holder, LEASE).await.expect("renewing works").asked;
    assert!(matches!(claim(&storage, &other, user, false).await, Claimed::Held { .. }));
    assert_eq!(asked().await, []);
    let given_up = [Claim { user, takeover: Some(Arc::new(Client(false))) }];
    storage.claim_sessions(&other, &given_up).await.expect("claiming works");
    assert_eq!(asked().await, []);

    assert!(matches!(claim(&storage, &other, user, true).await, Claimed::Held { epoch: 1, .. }));
    assert_eq!(asked().await, [Release { user, epoch: 1 }]);

    storage.release_sessions(&holder, &[Release { user, epoch: 1 }]).await.expect("releasing works");
    assert_eq!(asked().await, []);
    assert_eq!(claim(&storage, &other, user, true).await, Claimed::Won { epoch: 2 });
    assert_eq!(storage.renew_lease(&other, LEASE).await.expect("renewing works").asked, []);
}

async fn release_counts_only_under_its_epoch(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one, LEASE).await;
    start(&storage, &other, LEASE).await;
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

async fn session_is_free_when_its_node_stops(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one, LEASE).await;
    start(&storage, &other, LEASE).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;
    storage.stop_node(&one).await.expect("stopping works");
    assert_eq!(storage.routes(&[user]).await.expect("reading works"), []);
    assert_eq!(claim(&storage, &other, user, false).await, Claimed::Won { epoch: 2 });
}

async fn session_is_free_when_its_lease_runs_out(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one, SHORT).await;
    start(&storage, &other, LEASE).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;
    let won = eventually(SOON, "the lease runs out and the session is free", async || {
        match claim(&storage, &other, user, false).await {
            Claimed::Held { lease_left, .. } => {
                assert!(lease_left <= SHORT);
                None
            }
            won => Some(won),
        }
    });
    assert_eq!(won.await, Claimed::Won { epoch: 2 });
}

async fn late_renewal_does_not_bring_a_session_back(database: Database) {
    let storage = database.open().await;
    let (late, other) = (node("late", 1), node("other", 1));
    start(&storage, &other, LEASE).await;
    for round in 0..10 {
        let user = user(&storage, &format!("user {round}")).await;
        storage.renew_lease(&late, LEASE).await.expect("renewing works");
        assert_eq!(claim(&storage, &late, user, false).await, Claimed::Won { epoch: 1 });
        storage.renew_lease(&late, Duration::ZERO).await.expect("renewing works");

        let held = [Release { user, epoch: 1 }];
        let renewal = async {
            storage.renew_lease(&late, LEASE).await.expect("renewing works");
            storage.sessions_still_held(&late, &held).await.expect("reading works")
        };
        let (still_held, claimed) = tokio::join!(renewal, claim(&storage, &other, user, false));

        let is_won = matches!(claimed, Claimed::Won { .. });
        assert_eq!(still_held.is_empty(), is_won, "{still_held:?} {claimed:?}");
    }
}

async fn earlier_run_of_a_node_holds_nothing(database: Database) {
    let storage = database.open().await;
    let (first, second, other) = (node("one", 1), node("one", 2), node("other", 1));
    start(&storage, &first, LEASE).await;
    start(&storage, &other, LEASE).await;
    let user = user(&storage, "user").await;
    claim(&storage, &first, user, false).await;
    storage.stop_node(&first).await.expect("stopping works");
    start(&storage, &second, LEASE).await;

    assert_eq!(storage.routes(&[user]).await.expect("reading works"), []);
    let held = [Release { user, epoch: 1 }];
    assert_eq!(storage.sessions_still_held(&second, &held).await.expect("reading works"), []);
    assert_eq!(claim(&storage, &other, user, false).await, Claimed::Won { epoch: 2 });
}

async fn states_are_tidied_where_the_holder_is_gone(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one, LEASE).await;
    start(&storage, &other, LEASE).await;
    let (stays, goes, friend) =
        (user(&storage, "stays").await, user(&storage, "goes").await, user(&storage, "friend").await);
    for user in [stays, goes] {
        storage.add_friend(friend, user).await.expect("adding works");
    }
    claim(&storage, &one, goes, false).await;
    claim(&storage, &other, stays, false).await;
    storage.stop_node(&one).await.expect("stopping works");

    // Presence itself does not need tidying.
    let friends = storage.friends(friend, 10).await.expect("reading works");
    let states: Vec<_> = friends.iter().map(|friend| (friend.id, friend.state)).collect();
    assert_eq!(states, [(stays, State::Online), (goes, State::Offline)]);
    assert_eq!(storage.online_friends(friend, 10).await.expect("reading works"), [stays]);

    let states = async || database.texts("SELECT state FROM user ORDER BY id").await;
    assert_eq!(states().await, ["online", "online", "offline"]);
    storage.tidy_states().await.expect("tidying works");
    assert_eq!(states().await, ["online", "offline", "offline"]);
    storage.tidy_states().await.expect("tidying again works");
    // The holder that is back finds its session; what is tidied is only what people read.
    storage.renew_lease(&one, LEASE).await.expect("renewing works");
    assert_eq!(storage.routes(&[goes]).await.expect("reading works"), [(goes, one.id.clone())]);
}

async fn large_batches_are_claimed_and_released(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one, LEASE).await;
    let mut users = Vec::new();
    for nth in 0..700 {
        users.push(user(&storage, &format!("user {nth}")).await);
    }
    users.reverse();
    let claims: Vec<Claim> = users.iter().map(|user| Claim { user: *user, takeover: None }).collect();
    let outcomes = storage.claim_sessions(&one, &claims).await.expect("claiming works");
    assert_eq!(outcomes, vec![Claimed::Won { epoch: 1 }; 700]);
    assert_eq!(storage.routes(&users).await.expect("reading works").len(), 700);
    let releases: Vec<Release> = users.iter().map(|user| Release { user: *user, epoch: 1 }).collect();
    storage.release_sessions(&one, &releases[..550]).await.expect("releasing works");
    let still = storage.sessions_still_held(&one, &releases).await.expect("reading works");
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
        start(&storage, key, LEASE).await;
    }
    let claims = nodes.iter().zip([1, 3, 7, 9]).map(|(key, step)| {
        let (storage, key) = (storage.clone(), key.clone());
        // Each names all users, in another order.
        let claims: Vec<Claim> =
            (0..40).map(|at| Claim { user: users[at * step % 40], takeover: (step == 1).then(patient) }).collect();
        tokio::spawn(async move { storage.claim_sessions(&key, &claims).await.expect("claiming works") })
    });
    let mut won = 0;
    for outcomes in claims.collect::<Vec<_>>() {
        let outcomes = outcomes.await.expect("no claim panics");
        won += outcomes.iter().filter(|claimed| matches!(claimed, Claimed::Won { .. })).count();
    }
    assert_eq!(won, 40);
}
