//! G6 and G8: one session a user across all nodes, and what ends it.

use crate::support::cluster::{database, seen, start_node};
use crate::support::faulty::Faulty;
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, eventually, json, wait_as_told};
use chat::bus::local::LocalHub;
use chat::storage::{Claim, Storage};
use chat_protocol::message::Who;
use std::sync::Arc;

/// Users who do the same at once.
const MANY: usize = 20;

#[tokio::test]
async fn token_logs_in_without_the_password_on_any_node() {
    let cluster = Cluster::two().await;
    let mut ann = cluster.user("ann").await;
    ann.log_out().await;

    let mut again = Peer::connect(cluster.address(1)).await;

    assert_eq!(again.login_with(json!({"name": "ann", "token": ann.token})).await["id"], ann.id);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_user_only() {
    let cluster = Cluster::one().await;
    let ann = cluster.user("ann").await;
    cluster.account("bob").await;

    cluster.connect().await.refused(json!({"msgid": 1, "name": "bob", "token": ann.token}), 1).await;
}

#[tokio::test]
async fn logout_with_revoke_ends_all_tokens_and_without_it_none() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let first = ann.token.clone();

    ann.log_out().await;
    ann.login_with(json!({"name": "ann", "token": first})).await;
    let second = ann.token.clone();
    ann.done(json!({"msgid": 3, "revoke": true})).await;

    for token in [first, second] {
        ann.refused(json!({"msgid": 1, "name": "ann", "token": token}), 1).await;
    }
}

#[tokio::test]
async fn second_login_is_refused_whatever_the_node() {
    let cluster = Cluster::two().await;
    let mut ann = cluster.user("ann").await;
    for node in [0, 1] {
        let mut second = Peer::connect(cluster.address(node)).await;
        let reply = second.refused(json!({"msgid": 1, "name": "ann", "password": PASSWORD}), 2).await;
        assert_eq!((&reply["msgid"], reply.get("retry_ms")), (&json!(2), None), "its node is known to be alive");
    }
    ann.done(json!({"msgid": 26})).await;
}

#[tokio::test]
async fn second_login_on_the_same_connection_is_refused_and_the_first_stays() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    cluster.account("bob").await;
    for name in ["ann", "bob"] {
        ann.refused(json!({"msgid": 1, "name": name, "password": PASSWORD, "takeover": true}), 2).await;
    }
    ann.done(json!({"msgid": 26})).await;
}

async fn check_takeover(cluster: &Cluster, from: usize, to: usize) {
    let (mut ann, mut bob) = cluster.friends_on(from, 0).await;
    let mut second = Peer::connect(cluster.address(to)).await;

    second.take_over("ann").await;

    assert_eq!(ann.notice().await, 13);
    bob.tell(second.id, "which one?").await;
    assert_eq!(second.push().await["msg"], "which one?");
}

#[tokio::test]
async fn takeover_closes_the_first_session_on_the_same_node() {
    check_takeover(&Cluster::one().await, 0, 0).await;
}

#[tokio::test]
async fn takeover_closes_the_first_session_on_another_node() {
    check_takeover(&Cluster::two().await, 0, 1).await;
}

#[tokio::test]
async fn takeover_works_without_the_bus() {
    check_takeover(&Cluster::two_without_a_bus().await, 0, 1).await;
}

/// The node of the session stands still until whoever wanted it has given up; what was sent to it meanwhile reaches it
/// when it goes on.
#[tokio::test]
async fn takeover_that_was_refused_ends_no_session_later() {
    let (storage, hub) = (database().await, LocalHub::default());
    let faulty = Faulty::new(storage.clone());
    let slow = start_node("slow", &(faulty.clone() as Arc<dyn Storage>), &hub, |_| {}).await;
    let other = start_node("other", &storage, &hub, |_| {}).await;
    let mut ann = Peer::new_user(slow.address(), "ann").await;
    let takeover = json!({"msgid": 1, "name": "ann", "password": PASSWORD, "takeover": true});

    faulty.hang_in("renew_lease");
    faulty.hang_in("asked_of");
    Peer::connect(other.address()).await.refused(takeover, 11).await;
    faulty.heal();
    let renewals = async || seen(&storage, &slow).await.renewals;
    let before = renewals().await;
    eventually(BUDGET, "the node has renewed its lease", async || (renewals().await > before + 1).then_some(())).await;

    ann.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn takeover_that_waits_on_a_draining_node_is_answered() {
    let cluster = Cluster::one().await;
    let ann = cluster.account("ann").await;
    let holder = cluster.held_by("holder", ann).await;
    let mut peer = cluster.connect().await;
    peer.send(json!({"msgid": 1, "name": "ann", "password": PASSWORD, "takeover": true, "mid": "waits"})).await;
    eventually(BUDGET, "the other node is asked", async || {
        let asked = cluster.storage.asked_of(&holder, &[ann]).await.expect("reads");
        (!asked.is_empty()).then_some(())
    })
    .await;

    cluster.node(0).shutdown().drain();

    assert_eq!(peer.reply(&json!("waits")).await["errno"], 11);
    assert_eq!(peer.notice().await, 14);
}

/// As where the other node is killed: all who wait for its sessions give up within a moment.
#[tokio::test]
async fn takeovers_that_are_refused_at_once_are_withdrawn_together() {
    let faulty = Faulty::new(database().await);
    let cluster = Cluster::on(faulty.clone(), |_| {}).await;
    let (mut users, mut peers) = (Vec::new(), Vec::new());
    for nth in 0..MANY {
        users.push(cluster.account(&format!("user {nth}")).await);
    }
    let holder = cluster.held_by("holder", users[0]).await;
    let claims = users[1..].iter().map(|user| Claim { user: *user, takeover: None, token_generation: None });
    cluster.storage.claim_sessions(&holder, &claims.collect::<Vec<_>>()).await.expect("claims");
    for nth in 0..MANY {
        let mut peer = cluster.connect().await;
        let name = format!("user {nth}");
        let takeover = json!({"msgid": 1, "name": name, "password": PASSWORD, "takeover": true, "mid": "waits"});
        peer.send(takeover).await;
        peers.push(peer);
    }
    let asked = async || cluster.storage.asked_of(&holder, &users).await.expect("reads").len();
    eventually(BUDGET, "the other node is asked", async || (asked().await == MANY).then_some(())).await;

    cluster.node(0).shutdown().drain();
    for peer in &mut peers {
        assert_eq!(peer.reply(&json!("waits")).await["errno"], 11);
    }

    assert_eq!(asked().await, 0);
    let calls = faulty.calls("withdraw_takeovers");
    assert!(calls < MANY / 2, "{calls} calls for {MANY} users");
}

#[tokio::test]
async fn takeover_on_a_draining_node_asks_nobody_to_end() {
    let faulty = Faulty::new(database().await);
    let cluster = Cluster::on(faulty.clone(), |config| config.limits.drain_s = 20).await;
    let ann = cluster.account("ann").await;
    let holder = cluster.held_by("holder", ann).await;
    cluster.account("cem").await;
    // It is told to go first, and then it is known that the drain has begun.
    let mut first = cluster.connect().await;
    first.done(json!({"msgid": 19})).await;
    let mut bob = cluster.user("bob").await;
    let mut peer = cluster.connect().await;
    peer.done(json!({"msgid": 19})).await;
    let takeover = |name: &str| json!({"msgid": 1, "name": name, "password": PASSWORD, "takeover": true});

    cluster.node(0).shutdown().drain();
    assert_eq!(first.notice().await, 14);
    for name in ["ann", "bob"] {
        peer.refused(takeover(name), 11).await;
    }
    // Who has no session anywhere need not wait for one.
    peer.done(takeover("cem")).await;

    assert_eq!(cluster.storage.asked_of(&holder, &[ann]).await.expect("reads"), []);
    assert_eq!(faulty.calls("withdraw_takeovers"), 0, "there is nothing to take back");
    assert_eq!(bob.notice().await, 14);
}

#[tokio::test]
async fn takeover_keeps_what_the_first_session_received() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 0).await;
    for n in 1..=3 {
        bob.tell(ann.id, &n.to_string()).await;
    }
    let pushes = ann.pushes(3).await;
    ann.received(&pushes[1]).await;
    ann.done(json!({"msgid": 19})).await;

    let mut second = Peer::connect(cluster.address(1)).await;
    let ack = second.take_over("ann").await;

    assert_eq!(ack["offline"], 1);
    assert_eq!(second.push().await["msg"], "3");
}

#[tokio::test]
async fn received_counts_before_a_logout_and_not_behind_it() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    for n in 1..=2 {
        bob.tell(ann.id, &n.to_string()).await;
    }
    let pushes = ann.pushes(2).await;

    ann.received(&pushes[0]).await;
    ann.send(json!({"msgid": 3})).await;
    ann.received(&pushes[1]).await;
    let ack = ann.login("ann").await;

    assert_eq!(ack["offline"], 1);
    assert_eq!(ann.push().await["msg"], "2");
}

#[tokio::test]
async fn logout_returns_to_the_state_before_login() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    let anns = ann.id;

    ann.log_out().await;
    ann.refused(json!({"msgid": 6, "toid": bob.id, "msg": "x"}), 3).await;
    bob.tell(anns, "for later").await;
    ann.done(json!({"msgid": 4, "name": "cem", "password": PASSWORD})).await;
    ann.login("cem").await;

    assert_eq!(ann.pushed_by_now().await, [] as [crate::support::Value; 0]);
    ann.log_out().await;
    ann.login("ann").await;
    assert_eq!(ann.push().await["msg"], "for later");
}

#[tokio::test]
async fn lost_connection_ends_the_session() {
    let cluster = Cluster::two().await;
    let ann = cluster.user("ann").await;
    let id = ann.id;

    drop(ann);

    cluster.gone(id).await;
    cluster.login_on(1, "ann").await;
}

#[tokio::test]
async fn presence_follows_logins_across_nodes() {
    let cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;

    assert_eq!(ann.done(json!({"msgid": 26})).await["friends"][0]["state"], "online");
    bob.log_out().await;
    assert_eq!(ann.done(json!({"msgid": 26})).await["friends"][0]["state"], "offline");
}

#[tokio::test]
async fn a_claimed_id_must_be_ones_own() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    let group = ann.create_group("go").await;
    let (own, other) = (ann.id, bob.id);
    for request in [
        json!({"msgid": 6, "toid": other, "msg": "x"}),
        json!({"msgid": 10, "groupid": group, "msg": "x"}),
        json!({"msgid": 26}),
        json!({"msgid": 7, "friendid": other}),
        json!({"msgid": 3}),
    ] {
        let mut claimed = request.clone();
        claimed["id"] = other.into();
        ann.refused(claimed, 7).await;
    }
    ann.done(json!({"msgid": 6, "id": own, "toid": other, "msg": "mine"})).await;
    assert_eq!(bob.push().await["msg"], "mine");
}

/// A node whose runtime ends takes nothing along: no row is freed, no lease given back, as with a killed process.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn users_of_a_dead_node_can_log_in_elsewhere_within_its_lease() {
    let storage = database().await;
    let hub = LocalHub::default();
    let alive = start_node("alive", &storage, &hub, |_| {}).await;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let doomed = {
        let (storage, hub) = (storage.clone(), hub.clone());
        runtime.spawn(async move { start_node("doomed", &storage, &hub, |_| {}).await }).await.expect("starts")
    };
    let mut ann = Peer::connect(doomed.address()).await;
    ann.done(json!({"msgid": 4, "name": "ann", "password": PASSWORD})).await;
    ann.login("ann").await;

    runtime.shutdown_background();

    let mut second = Peer::connect(alive.address()).await;
    let login = json!({"msgid": 1, "name": "ann", "password": PASSWORD, "takeover": true});
    let mut waits = 0;
    eventually(BUDGET, "the lease of a dead node ends", async || {
        let reply = second.ask(login.clone()).await;
        if reply["errno"] == 0 {
            return Some(());
        }
        assert_eq!(reply["errno"], 11, "{reply}");
        assert!(wait_as_told(&reply).await <= 8_000, "{reply}");
        waits += 1;
        None
    })
    .await;
    assert!(waits <= 4, "told to come back {waits} times");
}

/// As many users as any table of locks that they could share would have.
const USERS: u64 = 1_024;

#[tokio::test]
async fn logins_wait_for_nobody_elses_greeting() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let cluster = Cluster::on(faulty.clone(), |_| {}).await;
    let slow = cluster.account("slow").await;
    let mut others = Vec::new();
    for n in 0..USERS {
        others.push(storage.register(&format!("user {n}"), "").await.expect("registers").expect("a free name"));
    }
    let last = others.last().copied().expect("there are some");
    assert_eq!(last, slow + USERS);
    let password = storage.account(&Who::Id(slow)).await.expect("reads").expect("an account").password;
    storage.change_password(&last.into(), "", &password).await.expect("changes").expect("the old hash was empty");

    faulty.hang_greeting_of(slow);
    let mut hanging = cluster.connect().await;
    hanging.send(json!({"msgid": 1, "id": slow, "password": PASSWORD})).await;
    faulty.greeting_hangs().await;
    // Nobody waits for it but who wants to be the same user.
    let mut second = cluster.connect().await;
    second.send(json!({"msgid": 1, "id": slow, "password": PASSWORD})).await;
    cluster.connect().await.login_with(json!({"id": last, "password": PASSWORD})).await;

    faulty.heal();
    assert_eq!(hanging.frame().await["errno"], 0);
    assert_eq!(second.frame().await["errno"], 2);
}
