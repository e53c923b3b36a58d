//! G6 where nobody's clock helps: a node whose sessions were taken while it was called gone does nothing more for them,
//! though it believes in its lease; and what the database did not answer locks nobody out.

use crate::support::cluster::{database, seen, start_node};
use crate::support::faulty::Faulty;
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, eventually, json, texts};
use chat::bus::local::LocalHub;
use chat::cluster::NodeKey;
use chat::node::Node;
use chat::storage::{Claim, Claimed, NodeStart, Storage};
use std::sync::Arc;

/// A node that only a test speaks for.
fn thief() -> NodeKey {
    NodeKey { id: "thief".into(), boot: 1 }
}

/// Another node sees this one stand still for long enough, and takes the user: this node's clock, or the database's,
/// has stepped, or its machine slept.
async fn take_behind_its_back(storage: &Arc<dyn Storage>, node: &Node, user: u64) {
    assert_eq!(storage.start_node(&thief()).await.expect("starts"), NodeStart::Ready);
    eventually(BUDGET, "the user is taken between two renewals", async || {
        let live = storage.renew_lease(&thief(), false).await.expect("renews").live;
        let seen = live.into_iter().find(|peer| peer.key.id == *node.id())?;
        storage.call_gone(&seen).await.expect("calls it gone").then_some(())?;
        let claimed = storage
            .claim_sessions(&thief(), &[Claim { user, takeover: None, token_generation: None }])
            .await
            .expect("claims");
        matches!(claimed[0], Claimed::Won { .. }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn session_that_was_taken_is_closed_and_the_others_go_on() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;

    take_behind_its_back(&cluster.storage, cluster.node(0), ann.id).await;

    assert_eq!(ann.notice().await, 13);
    let ack = eventually(BUDGET, "Bob may go on", async || {
        let ack = bob.ask(json!({"msgid": 6, "toid": ann.id, "msg": "gone?"})).await;
        (ack["errno"] == 0).then_some(ack)
    })
    .await;
    assert_eq!(ack["seq"], 1);
}

/// Another run of a node's name has begun while the node stood still: it ends, and says to each of its users what
/// became of them.
#[tokio::test]
async fn node_that_lost_its_name_tells_those_who_logged_in_elsewhere_apart_from_the_others() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let cluster = Cluster::on(faulty.clone(), |_| {}).await;
    let (mut ann, mut bob) = cluster.friends().await;
    let twin = NodeKey { id: cluster.node(0).id().clone(), boot: i64::MAX };

    faulty.cut();
    take_behind_its_back(&storage, cluster.node(0), ann.id).await;
    assert_eq!(storage.start_node(&twin).await.expect("starts"), NodeStart::Ready);
    faulty.heal();

    assert_eq!(ann.notice().await, 13);
    assert_eq!(bob.notice().await, 14);
}

/// The same while it sends its users away, which takes a while.
#[tokio::test]
async fn node_without_its_name_tells_those_who_log_in_elsewhere_before_their_turn_comes() {
    let storage = database().await;
    let cluster = Cluster::on(storage.clone(), |config| config.limits.drain_s = 12).await;
    let (mut ann, mut bob) = cluster.friends().await;
    let mut cem = cluster.user("cem").await;

    let twin = take_the_name(&storage, cluster.node(0)).await;
    assert_eq!(ann.notice().await, 14);
    let claims = [Claim { user: cem.id, takeover: None, token_generation: None }];
    assert!(matches!(storage.claim_sessions(&twin, &claims).await.expect("claims")[0], Claimed::Won { .. }));

    assert_eq!(bob.notice().await, 14);
    assert_eq!(cem.notice().await, 13);
}

#[tokio::test]
async fn node_without_its_name_sends_all_away_where_the_database_does_not_say_who_logged_in_elsewhere() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let cluster = Cluster::on(faulty.clone(), |_| {}).await;
    let (mut ann, mut bob) = cluster.friends().await;

    faulty.hang_in("superseded");
    take_the_name(&storage, cluster.node(0)).await;

    assert_eq!(ann.notice().await, 14);
    assert_eq!(bob.notice().await, 14);
}

/// The node's run counts as gone, and another has begun under its name: the key of that.
async fn take_the_name(storage: &Arc<dyn Storage>, node: &Node) -> NodeKey {
    let own = seen(storage, node).await.key;
    storage.stop_node(&own).await.expect("stops");
    let twin = NodeKey { boot: i64::MAX, ..own };
    assert_eq!(storage.start_node(&twin).await.expect("starts"), NodeStart::Ready);
    twin
}

/// Whichever request comes first after the takeover; the node has not renewed since.
#[tokio::test]
async fn no_request_takes_effect_for_a_session_that_was_taken() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    for (nth, request) in
        ["join", "leave", "create", "befriend", "unfriend", "password", "revoke", "chat", "group chat", "relayed chat"]
            .into_iter()
            .enumerate()
    {
        let name = |of: &str| format!("{of} {nth}");
        let node = start_node(&name("node"), &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;
        let mut ann = Peer::connect(node.address()).await;
        for of in ["ann", "bob", "cem"] {
            ann.done(json!({"msgid": 4, "name": name(of), "password": PASSWORD})).await;
        }
        let mut bob = Peer::connect(node.address()).await;
        let cem = Peer::connect(node.address()).await.login(&name("cem")).await["id"].clone();
        ann.login(&name("ann")).await;
        bob.login(&name("bob")).await;
        ann.befriend(bob.id).await;
        let (open, joined) = (bob.create_group(&name("open")).await, bob.create_group(&name("joined")).await);
        ann.join(joined).await;
        let is_relayed = request == "relayed chat";
        if is_relayed {
            ann.befriend(cem.as_u64().expect("an id")).await;
        }
        let body = match request {
            "join" => json!({"msgid": 9, "groupid": open}),
            "leave" => json!({"msgid": 24, "groupid": joined}),
            "create" => json!({"msgid": 8, "groupname": name("new"), "groupdesc": ""}),
            "befriend" => json!({"msgid": 7, "friendid": cem}),
            "unfriend" => json!({"msgid": 22, "friendid": bob.id}),
            "password" => json!({"msgid": 28, "old": PASSWORD, "new": "another password"}),
            "revoke" => json!({"msgid": 3, "revoke": true}),
            // Cem is nowhere to be reached, and so it is stored.
            "relayed chat" => json!({"msgid": 6, "toid": cem, "msg": "from the old session", "qos": 0}),
            "chat" => json!({"msgid": 6, "toid": bob.id, "msg": "from the old session"}),
            _ => json!({"msgid": 10, "groupid": joined, "msg": "from the old session"}),
        };

        take_behind_its_back(&storage, &node, ann.id).await;
        let refused = ann.ask(body).await;

        assert_eq!(refused["errno"], 11, "{request}: {refused}");
        assert_eq!(ann.notice().await, 13, "{request}");
        let mut again = Peer::connect(node.address()).await;
        storage.stop_node(&thief()).await.expect("stops");
        let ack = again.login_with(json!({"name": name("ann"), "token": ann.token})).await;
        assert_eq!(ack["friends"].as_array().map(Vec::len), Some(1 + usize::from(is_relayed)), "{request}: {ack}");
        assert_eq!(ack["groups"].as_array().map(Vec::len), Some(1), "{request}: {ack}");
        let said = bob.done(json!({"msgid": 17, "toid": ann.id})).await;
        assert_eq!(said["messages"], json!([]), "{request}");
        let said = bob.done(json!({"msgid": 17, "groupid": joined})).await;
        assert_eq!(said["messages"], json!([]), "{request}");
    }
}

#[tokio::test]
async fn claim_of_unknown_outcome_locks_nobody_out() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let first = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;
    let second = start_node("b", &storage, &LocalHub::default(), |_| {}).await;
    let mut ann = Peer::connect(first.address()).await;
    ann.done(json!({"msgid": 4, "name": "ann", "password": PASSWORD})).await;
    let login = json!({"msgid": 1, "name": "ann", "password": PASSWORD});
    faulty.lose_claims();
    ann.refused(login.clone(), 11).await;
    faulty.heal();

    let mut elsewhere = Peer::connect(second.address()).await;

    eventually(BUDGET, "the row that nobody stands behind is free", async || {
        (elsewhere.ask(login.clone()).await["errno"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_received_counts_though_the_database_was_away_at_logout() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let cluster = Cluster::on(faulty.clone(), |_| {}).await;
    let (mut ann, mut bob) = cluster.friends().await;
    for text in ["1", "2", "3"] {
        bob.tell(ann.id, text).await;
    }
    let pushes = ann.pushes(3).await;
    faulty.cut();
    ann.received(&pushes[1]).await;
    ann.log_out().await;
    faulty.heal();

    // At once: the cursor has not been saved yet, or just has.
    let ack = eventually(BUDGET, "Ann is let in", async || {
        let ack = ann.ask(json!({"msgid": 1, "name": "ann", "password": PASSWORD})).await;
        (ack["errno"] == 0).then_some(ack)
    })
    .await;

    assert_eq!(ack["offline"], 1);
    assert_eq!(texts(&ann.pushes(1).await), ["3"]);
    assert!(ann.pushed_by_now().await.is_empty());
}
