//! How a node ends when one of its tasks has died, and how it starts and stops at awkward moments: always in order, in
//! time, and with its lease given back.

use crate::support::classic::Bare;
use crate::support::cluster::{database, make_cheap, start_node};
use crate::support::faulty::Faulty;
use crate::support::{BUDGET, PASSWORD, Peer, Value, eventually, fresh_mid, json, within};
use chat::bus::local::LocalHub;
use chat::cluster::NodeKey;
use chat::config::Config;
use chat::node::{Embedded, Error, Node};
use chat::shutdown::Shutdown;
use chat::storage::{NodeStart, Storage};
use chat_protocol::conversation::Conversation;
use std::sync::Arc;

/// Messages that wait when a task dies.
const WAITING: usize = 40;
/// More than an envelope of the bus lists by name.
const CROWD: usize = 70;

/// One node whose database can be made to misbehave, and Ann and Bob, friends, on it. Dee is their friend as well, and
/// offline.
struct Stage {
    storage: Arc<dyn Storage>,
    faulty: Arc<Faulty>,
    hub: LocalHub,
    node: Node,
    ann: Peer,
    bob: Peer,
    dee: u64,
}

async fn stage() -> Stage {
    let (storage, hub) = (database().await, LocalHub::default());
    let faulty = Faulty::new(storage.clone());
    let node = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &hub, |_| {}).await;
    let mut ann = Peer::new_user(node.address(), "ann").await;
    let bob = Peer::new_user(node.address(), "bob").await;
    ann.befriend(bob.id).await;
    let dee = ann.done(json!({"msgid": 4, "name": "dee", "password": PASSWORD})).await["id"].as_u64().expect("an id");
    ann.befriend(dee).await;
    Stage { storage, faulty, hub, node, ann, bob, dee }
}

/// Whether another run can have the name at once.
async fn is_free(storage: &Arc<dyn Storage>, name: &str) -> bool {
    let other = NodeKey { id: name.into(), boot: 1 };
    storage.start_node(&other).await.expect("the database answers") == NodeStart::Ready
}

/// The node tells its clients to go elsewhere, and ends with an error that names the task; its lease is free.
async fn ends_for(stage: Stage, task: &str) {
    let Stage { storage, node, mut ann, .. } = stage;
    assert_eq!(ann.notice().await, 14, "after the death of {task}");
    has_ended_for(&storage, node, task).await;
}

async fn has_ended_for(storage: &Arc<dyn Storage>, node: Node, task: &str) {
    let ended = within("the node ends", node.stopped()).await;
    let Err(Error::Task(died)) = ended else { panic!("{task} died, and the node ended with {ended:?}") };
    assert_eq!(died.task.trim_end_matches(|last: char| last.is_ascii_digit()).trim_end(), task);
    assert!(died.why.contains("injected by a test"), "{died}");
    assert!(is_free(storage, "a").await, "the lease is given back after the death of {task}");
}

/// Sends messages, of which those that the node still takes must be answered with errno 11, before it says that it
/// drains.
async fn all_refused(peer: &mut Peer, message: &Value) {
    for _ in 0..WAITING {
        let mut message = message.clone();
        message["mid"] = fresh_mid().into();
        peer.send(message).await;
    }
    let frames = peer.raw.expect_close().await.expect("the node closes");
    let (notice, answers) = frames.split_last().expect("a NOTICE");
    assert_eq!((&notice["msgid"], &notice["errno"]), (&json!(21), &json!(14)), "{frames:?}");
    assert!(!answers.is_empty());
    for answer in answers {
        assert!(answer["errno"] == 11 && answer["retry_ms"].is_u64(), "{answer}");
    }
}

#[tokio::test]
async fn dead_writer_ends_the_node_and_answers_what_waited() {
    let Stage { storage, faulty, node, mut ann, bob, .. } = stage().await;

    faulty.panic_in("append");
    all_refused(&mut ann, &json!({"msgid": 6, "toid": bob.id, "msg": "into the void"})).await;

    has_ended_for(&storage, node, "writer").await;
}

#[tokio::test]
async fn dead_relay_ends_the_node_and_answers_what_waited() {
    let Stage { storage, faulty, node, mut ann, dee, .. } = stage().await;

    faulty.panic_in("routes");
    all_refused(&mut ann, &json!({"msgid": 6, "toid": dee, "msg": "into the void", "qos": 0})).await;

    has_ended_for(&storage, node, "relay").await;
}

#[tokio::test]
async fn dead_delivery_ends_the_node_and_loses_nothing() {
    let mut stage = stage().await;
    let (storage, hub, ann, dee) = (stage.storage.clone(), stage.hub.clone(), stage.ann.id, stage.dee);

    stage.faulty.panic_in("routes");
    stage.ann.tell(dee, "committed").await;

    ends_for(stage, "delivery").await;
    let next = start_node("b", &storage, &hub, |_| {}).await;
    let mut peer = Peer::connect(next.address()).await;
    peer.login("dee").await;
    let push = peer.push().await;
    assert_eq!((&push["msg"], &push["id"]), (&json!("committed"), &json!(ann)));
}

#[tokio::test]
async fn dead_claims_end_the_node_and_cursors_are_saved() {
    let mut stage = stage().await;
    let (storage, ann, bob) = (stage.storage.clone(), stage.ann.id, stage.bob.id);
    stage.ann.tell(bob, "hello").await;
    let push = stage.bob.push().await;
    let mut dee = Peer::connect(stage.node.address()).await;

    stage.faulty.panic_in("claim_sessions");
    stage.bob.received(&push).await;
    dee.refused(json!({"msgid": 1, "name": "dee", "password": PASSWORD}), 11).await;

    ends_for(stage, "claims").await;
    let cursor = storage.cursors(&[(Conversation::direct(ann, bob), bob, 0)]).await.expect("reading works");
    assert_eq!(cursor[0].map(|position| position.received_seq), Some(1));
}

#[tokio::test]
async fn dead_catch_up_worker_ends_the_node() {
    let mut stage = stage().await;
    stage.ann.tell(stage.dee, "while you were away").await;
    let mut dee = Peer::connect(stage.node.address()).await;

    stage.faulty.panic_in("messages_after");
    dee.login("dee").await;

    ends_for(stage, "catch-up worker").await;
}

#[tokio::test]
async fn dead_saver_of_cursors_ends_the_node() {
    let mut stage = stage().await;
    stage.ann.tell(stage.bob.id, "hello").await;
    let push = stage.bob.push().await;

    stage.faulty.panic_in("mark_received");
    stage.bob.received(&push).await;

    ends_for(stage, "cursors").await;
}

#[tokio::test]
async fn dead_handler_of_bus_arrivals_ends_the_node() {
    let mut stage = stage().await;
    let second = start_node("b", &stage.storage, &stage.hub, |_| {}).await;
    let mut eve = Peer::new_user(second.address(), "eve").await;
    let group = eve.create_group("crowd").await;
    stage.ann.join(group).await;
    for nth in 0..CROWD {
        let user = stage.storage.register(&format!("user {nth}"), "no hash").await.expect("it works").expect("free");
        stage.storage.join_group(&user.into(), group, 1_000).await.expect("joining works");
    }

    stage.faulty.panic_in("audiences");
    eventually(BUDGET, "the nodes know each other, and the bus brings a message for the whole group", async || {
        eve.tell_group(group, "hello, everybody").await;
        stage.node.shutdown().is_draining().then_some(())
    })
    .await;

    ends_for(stage, "bus arrivals").await;
}

#[tokio::test]
async fn tasks_that_die_by_themselves_end_the_node() {
    for (operation, task) in [("renew_lease", "lease keeper"), ("changes", "repair")] {
        let stage = stage().await;
        stage.faulty.panic_in(operation);
        ends_for(stage, task).await;
    }
}

#[tokio::test]
async fn death_during_the_drain_ends_it_with_an_error() {
    let Stage { faulty, node, mut ann, .. } = stage().await;

    faulty.panic_in("stop_node");
    node.shutdown().drain();

    assert_eq!(ann.notice().await, 14);
    let ended = within("the node ends", node.stopped()).await;
    assert!(matches!(&ended, Err(Error::Task(died)) if died.task == "lease"), "{ended:?}");
}

#[tokio::test]
async fn panic_in_a_connection_ends_it_and_its_session_alone() {
    let Stage { faulty, node, mut ann, mut bob, dee, .. } = stage().await;
    let metrics = node.metrics();
    ann.tell(dee, "for later").await;

    faulty.panic_in("group_page");
    ann.send(json!({"msgid": 26, "groupid": 1})).await;
    assert!(ann.try_frame().await.is_err(), "Ann's connection is closed");
    // Dee's login gets as far as a session, and no further: what waits is to travel inside the answer.
    faulty.panic_in("messages_after");
    let mut classic = Bare::connect(node.address()).await;
    classic.send(json!({"msgid": 1, "id": dee, "password": PASSWORD})).await;
    let answer = classic.raw.next_bytes().await;
    assert!(answer.is_ok_and(|bytes| bytes.is_empty()), "Dee's connection is closed");
    faulty.heal();

    let (mut again, mut late) = (Peer::connect(node.address()).await, Peer::connect(node.address()).await);
    for (peer, name) in [(&mut again, "ann"), (&mut late, "dee")] {
        eventually(BUDGET, "both get in again, without a takeover", async || {
            let ack = peer.ask(json!({"msgid": 1, "name": name, "password": PASSWORD})).await;
            (ack["errno"] == 0).then_some(())
        })
        .await;
    }
    assert_eq!(late.push().await["msg"], "for later");
    bob.tell(ann.id, "still here").await;
    assert_eq!(again.push().await["msg"], "still here");
    assert_eq!((metrics.task_panics_total.get(), metrics.sessions.get()), (2, 3));
    eventually(BUDGET, "three connections are left", async || (metrics.connections.get() == 3).then_some(())).await;
    assert!(!node.shutdown().is_draining());
    node.shutdown().drain();
    within("the node ends in order", node.stopped()).await.expect("no task of the node itself has died");
}

#[tokio::test]
async fn panic_in_a_read_that_is_made_for_many_fails_the_request_alone() {
    let Stage { faulty, node, mut ann, mut bob, .. } = stage().await;

    faulty.panic_in("friends");
    ann.refused(json!({"msgid": 26}), 11).await;
    faulty.heal();

    ann.done(json!({"msgid": 26})).await;
    bob.tell(ann.id, "still here").await;
    assert_eq!(ann.push().await["msg"], "still here");
    assert!(!node.shutdown().is_draining());
}

#[tokio::test]
async fn port_opens_although_tidying_hangs_or_fails() {
    let storage = database().await;
    for is_hanging in [true, false] {
        let faulty = Faulty::new(storage.clone());
        match is_hanging {
            true => faulty.hang_in("next_holder"),
            false => faulty.fail_in("next_holder", 1_000),
        }

        let node = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;

        Peer::connect(node.address()).await.done(json!({"msgid": 19})).await;
        node.shutdown().drain();
        within("the node ends in order", node.stopped()).await.expect("nothing has gone wrong");
    }
}

#[tokio::test]
async fn tidying_is_tried_again_until_it_succeeds() {
    let faulty = Faulty::new(database().await);
    faulty.fail_in("next_holder", 1);
    faulty.fail_in("tidy_sessions", 2);

    let _node = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;

    for operation in ["next_holder", "tidy_sessions"] {
        let claim = format!("{operation} is tried until it has failed often enough");
        eventually(BUDGET, &claim, async || faulty.has_failed_enough(operation).then_some(())).await;
    }
}

#[tokio::test]
async fn start_gets_over_a_busy_database() {
    let faulty = Faulty::new(database().await);
    for step in ["start_node", "renew_lease", "token_key"] {
        faulty.fail_in(step, 1);
    }

    let node = start_node("a", &(faulty.clone() as Arc<dyn Storage>), &LocalHub::default(), |_| {}).await;

    Peer::connect(node.address()).await.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn node_told_to_stop_while_it_starts_gives_its_lease_back() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let mut config = Config::default();
    make_cheap(&mut config);
    config.node.id = "a".into();
    let embedded = Embedded { storage: faulty.clone(), hub: LocalHub::default() };
    let shutdown = Shutdown::new();

    faulty.hang_in("token_key");
    let start = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { Node::start_embedded_under(config, &embedded, shutdown).await }
    });
    let onlooker = NodeKey { id: "b".into(), boot: 1 };
    eventually(BUDGET, "the starting node has its lease", async || {
        let renewal = storage.renew_lease(&onlooker, false).await.expect("the database answers");
        renewal.live.iter().any(|peer| peer.key.id == "a".into()).then_some(())
    })
    .await;
    shutdown.drain();

    let started = within("the start ends", start).await.expect("it does not panic");
    assert!(matches!(started, Err(Error::Stopped)), "it was told to stop");
    assert!(is_free(&storage, "a").await, "the lease is given back");
}

#[tokio::test]
async fn second_signal_ends_a_node_whose_database_hangs() {
    let Stage { faulty, node, ann: _ann, bob: _bob, .. } = stage().await;

    faulty.hang();
    node.shutdown().drain();
    node.shutdown().force();

    within("the node ends", node.stopped()).await.expect("it was told to");
}
