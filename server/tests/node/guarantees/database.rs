//! G1, G2 and G6 while a node cannot reach the database: nothing false is said, and nothing is lost when it can again.

use crate::support::cluster::{database, start_node};
use crate::support::faulty::Faulty;
use crate::support::{BUDGET, PASSWORD, Peer, Value, eventually, fresh_mid, json, texts, wait_as_told};
use chat::bus::local::LocalHub;
use chat::node::Node;
use chat::storage::Storage;
use std::sync::Arc;

/// Messages, sent at once, that a node cannot relay without the database.
const UNREACHABLE: usize = 40;

/// Two nodes without a bus, of which the first can be cut off from the database too; Ann is logged in on the first, her
/// friend Bob as well.
struct Cut {
    faulty: Arc<Faulty>,
    _nodes: [Node; 2],
    ann: Peer,
    bob: Peer,
    first: std::net::SocketAddr,
    elsewhere: std::net::SocketAddr,
}

async fn cluster() -> Cut {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let first = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;
    let second = start_node("b", &storage, &LocalHub::default(), |_| {}).await;
    let mut ann = Peer::new_user(first.address(), "ann").await;
    let bob = Peer::new_user(first.address(), "bob").await;
    ann.befriend(bob.id).await;
    Cut { faulty, first: first.address(), elsewhere: second.address(), _nodes: [first, second], ann, bob }
}

/// Sends it again, as errno 11 asks for, until it is acknowledged.
async fn insist(peer: &mut Peer, message: &Value) -> Value {
    eventually(BUDGET, "the message is acknowledged", async || {
        let ack = peer.ask(message.clone()).await;
        assert!(matches!(ack["errno"].as_u64(), Some(0 | 11)), "{ack}");
        (ack["errno"] == 0).then_some(ack)
    })
    .await
}

#[tokio::test]
async fn without_the_database_messages_are_refused_with_errno_11_and_accepted_later() {
    let Cut { faulty, ann, bob, .. } = &mut cluster().await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "insistent", "mid": fresh_mid()});

    faulty.cut();
    let refused = ann.refused(message.clone(), 11).await;
    for request in [json!({"msgid": 26}), json!({"msgid": 7, "friendid": 99}), json!({"msgid": 17, "toid": bob.id})] {
        assert!(ann.refused(request, 11).await["retry_ms"].is_u64());
    }
    assert!(refused["retry_ms"].is_u64(), "{refused}");
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
    faulty.heal();

    assert_eq!(insist(ann, &message).await["seq"], 1);
    assert_eq!(bob.push().await["msg"], "insistent");
}

#[tokio::test]
async fn without_the_database_relayed_messages_reach_who_is_here_and_others_are_refused() {
    let Cut { faulty, ann, bob, .. } = &mut cluster().await;
    let dee = ann.done(json!({"msgid": 4, "name": "dee", "password": PASSWORD})).await["id"].clone();
    ann.done(json!({"msgid": 7, "friendid": dee})).await;
    let message = |toid: &Value| json!({"msgid": 6, "toid": toid, "msg": "hello", "qos": 0, "mid": fresh_mid()});

    faulty.cut();
    ann.done(message(&json!(bob.id))).await;
    for _ in 0..UNREACHABLE {
        ann.send(message(&dee)).await;
    }

    assert_eq!(bob.push().await["msg"], "hello");
    for _ in 0..UNREACHABLE {
        let refused = ann.frame().await;
        assert!(refused["errno"] == 11 && refused["retry_ms"].is_u64(), "{refused}");
    }
    faulty.heal();
    assert_eq!(ann.done(message(&dee)).await["seq"], 1);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_said_once() {
    let Cut { faulty, ann, bob, .. } = &mut cluster().await;
    let message = json!({"msgid": 6, "toid": bob.id, "msg": "once", "mid": fresh_mid()});

    faulty.lose_commits();
    ann.refused(message.clone(), 11).await;
    faulty.heal();
    let ack = insist(ann, &message).await;
    ann.tell(bob.id, "marker").await;

    assert_eq!(ack["seq"], 1);
    assert_eq!(texts(&bob.pushes(2).await), ["once", "marker"]);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_delivered_even_if_it_is_never_sent_again() {
    let Cut { faulty, ann, bob, .. } = &mut cluster().await;

    faulty.lose_commits();
    ann.refused(json!({"msgid": 6, "toid": bob.id, "msg": "committed"}), 11).await;
    faulty.heal();

    assert_eq!(bob.push().await["msg"], "committed");
}

#[tokio::test]
async fn a_node_without_its_lease_suspends_its_sessions_and_resumes_those_that_stayed() {
    let Cut { faulty, ann, bob, elsewhere, .. } = &mut cluster().await;
    let mut second_ann = Peer::connect(*elsewhere).await;
    let (ann_id, bob_id) = (ann.id, bob.id);

    faulty.cut();
    let login = json!({"msgid": 1, "name": "ann", "password": PASSWORD, "takeover": true});
    eventually(BUDGET, "the lease runs out and Ann gets in elsewhere", async || {
        let ack = second_ann.ask(login.clone()).await;
        if ack["errno"] == 11 {
            wait_as_told(&ack).await;
        }
        (ack["errno"] == 0).then_some(())
    })
    .await;
    second_ann.tell(bob.id, "while you were cut off").await;
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0], "a suspended session is pushed nothing");
    for (peer, toid) in [(&mut *ann, bob_id), (&mut *bob, ann_id)] {
        let refused =
            peer.refused(json!({"msgid": 6, "toid": toid, "msg": "x", "qos": 0, "mid": fresh_mid()}), 11).await;
        assert!(refused["retry_ms"].is_u64(), "{refused}");
    }
    faulty.heal();

    assert_eq!(ann.notice().await, 13);
    assert_eq!(bob.push().await["msg"], "while you were cut off");
    let anns = second_ann.done(json!({"msgid": 26})).await["friends"][0]["id"].clone();
    assert_eq!(anns, bob.id);
    insist(bob, &json!({"msgid": 6, "toid": ann.id, "msg": "back", "mid": fresh_mid()})).await;
    assert_eq!(second_ann.push().await["msg"], "back");
}

#[tokio::test]
async fn takeover_that_its_client_gave_up_replaces_nobody() {
    let Cut { faulty, first, elsewhere, mut ann, mut bob, _nodes } = cluster().await;
    ann.done(json!({"msgid": 3})).await;
    let mut impatient = Peer::connect(first).await;

    faulty.hang();
    impatient.send(json!({"msgid": 1, "name": "ann", "password": PASSWORD, "takeover": true})).await;
    drop(impatient);
    let mut second_ann = Peer::connect(elsewhere).await;
    second_ann.login("ann").await;
    faulty.heal();

    // Whatever was asked on the first node before is done when this is.
    insist(&mut bob, &json!({"msgid": 6, "toid": second_ann.id, "msg": "still there?", "mid": fresh_mid()})).await;
    assert_eq!(second_ann.push().await["msg"], "still there?");
    let mut late = Peer::connect(first).await;
    let refused = late.ask(json!({"msgid": 1, "name": "ann", "password": PASSWORD})).await;
    assert_eq!(refused["errno"], 2, "{refused}");
    second_ann.done(json!({"msgid": 26})).await;
}
