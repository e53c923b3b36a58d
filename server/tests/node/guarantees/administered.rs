//! What operators do: it holds on all nodes, whichever was asked, and no acknowledged message is lost over it.

use crate::support::cluster::{database, start_node};
use crate::support::faulty::Faulty;
use crate::support::{Cluster, PASSWORD, Peer, Value, json, texts, within};
use chat::admin::client::{Client, Error};
use chat::bus::local::LocalHub;
use chat::config::Config;
use chat::node::Node;
use chat::storage::Storage;
use serde_json::from_value;
use std::sync::Arc;

const SECRET: &str = "correct-horse-battery";

fn with_admin(config: &mut Config) {
    config.admin.address = "127.0.0.1:0".into();
    config.admin.secret = SECRET.into();
}

async fn two() -> Cluster {
    Cluster::of(2, with_admin).await
}

fn operator_at(cluster: &Cluster, place: usize) -> Client {
    operator_of(cluster.node(place))
}

fn operator_of(node: &Node) -> Client {
    let address = node.admin_address().expect("an admin port");
    Client::new(address.to_string(), SECRET.into(), false, None).expect("a client")
}

async fn order(operator: &Client, operation: &str, name: &str) -> Value {
    within(operation, operator.post(operation, &json!({"name": name}))).await.expect("it is done")
}

async fn refused(asking: impl Future<Output = Result<Value, Error>>, words: &str) {
    match within("a refusal", asking).await {
        Err(Error::Refused(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{other:?}"),
    }
}

async fn login(cluster: &Cluster, place: usize, fields: Value) -> Value {
    let mut fields = fields;
    fields["msgid"] = 1.into();
    Peer::connect(cluster.address(place)).await.ask(fields).await["errno"].clone()
}

async fn check_kick(cluster: &Cluster, asked: usize) {
    let (mut ann, mut bob) = cluster.friends_on(0, 1).await;
    bob.tell(ann.id, "to ann").await;
    assert_eq!(ann.push().await["msg"], "to ann");
    ann.tell(bob.id, "to bob").await;

    let done = order(&operator_at(cluster, asked), "kick", "ann").await;

    assert_eq!(done, json!({"id": ann.id, "name": "ann", "session": "ended", "node": "a"}));
    assert_eq!(ann.notice().await, 18);
    assert_eq!(bob.push().await["msg"], "to bob");
    bob.tell(ann.id, "after").await;
    // The token is still good, and what was not acknowledged comes again.
    let mut again = Peer::connect(cluster.address(1)).await;
    assert_eq!(again.login_with(json!({"name": "ann", "token": ann.token})).await["offline"], 2);
    assert_eq!(texts(&again.pushes(2).await), ["to ann", "after"]);
    bob.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn kicked_user_loses_no_acknowledged_message() {
    check_kick(&two().await, 0).await;
}

#[tokio::test]
async fn user_is_kicked_whichever_node_is_asked() {
    check_kick(&two().await, 1).await;
}

#[tokio::test]
async fn user_is_kicked_without_the_bus() {
    let cluster = Cluster::two_without_a_bus_and(with_admin).await;
    let mut ann = cluster.user_on(0, "ann").await;

    let done = order(&operator_at(&cluster, 1), "kick", "ann").await;

    assert_eq!(done["session"], "ended");
    assert_eq!(ann.notice().await, 18);
}

#[tokio::test]
async fn disabled_account_is_refused_on_every_node_at_once_and_its_session_and_tokens_end() {
    let cluster = two().await;
    let mut ann = cluster.user_on(0, "ann").await;
    let password = json!({"name": "ann", "password": PASSWORD, "takeover": true});

    let done = order(&operator_at(&cluster, 1), "disable", "ann").await;

    assert_eq!(done["session"], "ended");
    assert_eq!(ann.notice().await, 19);
    for place in [0, 1] {
        assert_eq!(login(&cluster, place, password.clone()).await, 19);
        assert_eq!(login(&cluster, place, json!({"name": "ann", "token": ann.token})).await, 1);
        assert_eq!(
            login(&cluster, place, json!({"name": "ann", "password": "guessed"})).await,
            1,
            "not told to others"
        );
    }

    assert_eq!(order(&operator_at(&cluster, 0), "enable", "ann").await["session"], "untouched");
    assert_eq!(login(&cluster, 1, json!({"name": "ann", "token": ann.token})).await, 1, "tokens stay dead");
    assert_eq!(login(&cluster, 1, password).await, 0);
}

#[tokio::test]
async fn disabled_user_misses_nothing_that_is_said_meanwhile() {
    let cluster = two().await;
    let (ann, mut bob) = cluster.friends_on(0, 1).await;
    order(&operator_at(&cluster, 1), "disable", "ann").await;

    bob.tell(ann.id, "meanwhile").await;
    order(&operator_at(&cluster, 1), "enable", "ann").await;

    assert_eq!(cluster.login_on(1, "ann").await.push().await["msg"], "meanwhile");
}

#[tokio::test]
async fn reset_password_ends_the_session_and_all_tokens_and_only_the_new_one_is_good() {
    let cluster = two().await;
    let mut ann = cluster.user_on(0, "ann").await;
    let operator = operator_at(&cluster, 1);

    let by_chance = order(&operator, "reset-password", "ann").await;

    assert_eq!((&by_chance["session"], ann.notice().await), (&json!("ended"), json!(18)));
    assert_eq!(login(&cluster, 0, json!({"name": "ann", "password": PASSWORD})).await, 1);
    assert_eq!(login(&cluster, 0, json!({"name": "ann", "token": ann.token})).await, 1);
    assert_eq!(login(&cluster, 0, json!({"name": "ann", "password": by_chance["password"]})).await, 0);
    cluster.gone(ann.id).await;

    let chosen = json!({"id": ann.id, "password": "chosen"});
    let done = operator.post("reset-password", &chosen).await.expect("it is done");
    assert_eq!((&done["session"], done.get("password")), (&json!("none"), None));
    assert_eq!(login(&cluster, 1, json!({"name": "ann", "password": "chosen"})).await, 0);
    refused(operator.post("reset-password", &json!({"name": "ann", "password": ""})), "1 to 128").await;
}

#[tokio::test]
async fn ended_tokens_are_dead_everywhere_and_the_open_session_goes_on() {
    let cluster = two().await;
    let mut ann = cluster.user_on(0, "ann").await;

    assert_eq!(order(&operator_at(&cluster, 1), "end-tokens", "ann").await["session"], "untouched");

    ann.done(json!({"msgid": 26})).await;
    ann.log_out().await;
    for place in [0, 1] {
        assert_eq!(login(&cluster, place, json!({"name": "ann", "token": ann.token})).await, 1);
    }
    assert_eq!(login(&cluster, 1, json!({"name": "ann", "password": PASSWORD})).await, 0);
}

#[tokio::test]
async fn who_is_online_where_is_told_by_every_node() {
    let cluster = two().await;
    let (mut ann, bob) = cluster.friends_on(0, 1).await;
    ann.tell(bob.id, "one").await;
    for place in [0, 1] {
        let operator = operator_at(&cluster, place);
        let get = async |operation, query: &[(&str, String)]| operator.get(operation, query).await.expect("an answer");

        let nodes = get("nodes", &[]).await;
        assert_eq!(nodes["nodes"][0], json!({"id": "a", "sessions": 1, "is_asked": place == 0}));
        let (ann_row, bob_row) =
            (json!({"id": ann.id, "name": "ann", "node": "a"}), json!({"id": bob.id, "name": "bob", "node": "b"}));
        assert_eq!(get("sessions", &[]).await, json!({"sessions": [ann_row, bob_row]}));
        let first = get("sessions", &[("limit", "1".into())]).await;
        assert_eq!(first, json!({"sessions": [ann_row], "next": ann.id}));
        let rest = get("sessions", &[("after", ann.id.to_string()), ("node", "b".into())]).await;
        assert_eq!(rest, json!({"sessions": [bob_row]}));
        let user = get("user", &[("name", "bob".into())]).await;
        assert_eq!(user, json!({"id": bob.id, "name": "bob", "is_disabled": false, "node": "b", "waiting": 1}));
        let conversations = get("conversations", &[]).await;
        let conv = format!("d{}-{}", ann.id, bob.id);
        let size = json!({"conv": conv, "name": null, "members": 2, "messages": 1, "first_seq": 1, "last_seq": 1});
        assert_eq!(conversations, json!({"conversations": [size]}));
    }
}

#[tokio::test]
async fn pruning_now_cuts_logs_by_the_rule_that_was_given() {
    let cluster = Cluster::of(1, |config| {
        with_admin(config);
        config.retention.mid_window_s = 0;
    })
    .await;
    let operator = operator_at(&cluster, 0);
    let (mut ann, bob) = cluster.friend_offline().await;
    for n in 1..=5 {
        ann.tell(bob, &n.to_string()).await;
    }
    refused(operator.post("prune", &json!({})), "nothing is too old").await;
    let kept = operator.post("prune", &json!({"messages": 2})).await.expect("an answer");

    assert_eq!(kept, json!({"conversations": 0, "messages": 0, "unreceived": 0}), "bob has not received them");
    let mut peer = cluster.login("bob").await;
    let pushes = peer.pushes(5).await;
    peer.received(&pushes[4]).await;
    peer.log_out().await;
    let cut = operator.post("prune", &json!({"messages": 2})).await.expect("an answer");
    assert_eq!(cut, json!({"conversations": 1, "messages": 3, "unreceived": 0}));
    let history = ann.done(json!({"msgid": 17, "toid": bob})).await;
    assert_eq!(history["first_seq"], 4);
}

#[tokio::test]
async fn node_is_drained_by_its_own_name_alone() {
    let mut cluster = two().await;
    let mut ann = cluster.user_on(0, "ann").await;
    let operator = operator_at(&cluster, 0);

    refused(operator.post("drain", &json!({"node": "b"})), "this is a: ask the admin port of b").await;
    ann.done(json!({"msgid": 26})).await;
    let draining = operator.post("drain", &json!({"node": "a"})).await.expect("it is done");

    assert_eq!(draining, json!({"node": "a", "sessions": 1, "grace_s": 2}));
    assert_eq!(ann.notice().await, 14);
    within("the node ends", cluster.take(0).stopped()).await.expect("in order");
}

#[tokio::test]
async fn nothing_is_done_for_whoever_is_not_named_or_not_there() {
    let cluster = two().await;
    cluster.account("ann").await;
    let operator = operator_at(&cluster, 0);

    refused(operator.post("kick", &json!({"name": "nobody"})), "no user is called nobody").await;
    refused(operator.post("kick", &json!({"id": 99})), "no user has the number 99").await;
    for body in [json!({}), json!({"id": 1, "name": "ann"})] {
        refused(operator.post("kick", &body), "either id or name").await;
    }
    refused(operator.post("kick", &json!({"user": "ann"})), "unknown field `user`").await;
    refused(operator.post("kick", &json!([null, "ann"])), "expected a JSON object").await;
    refused(operator.post("reset-password", &json!({"name": "ann", "password": null})), "expected a string").await;
    refused(operator.post("kick", &json!({"name": " ann"})), "white space").await;
    refused(operator.post("kick", &json!({"name": "x".repeat(20_000)})), "more than 16384 bytes").await;
    refused(operator.get("sessions", &[("limt", "1".into())]), "unknown key \"limt\"").await;
    refused(operator.get("sessions", &[("limit", "1001".into())]), "1 to 1000").await;
    refused(operator.get("kick", &[("name", "ann".into())]), "only POST").await;
    refused(operator.post("nodes", &json!({})), "only GET").await;
    refused(operator.get("nothing", &[]), "there are nodes, sessions").await;
    assert_eq!(order(&operator, "kick", "ann").await["session"], "none");
}

#[tokio::test]
async fn only_the_secret_lets_in_and_wrong_ones_are_limited() {
    let cluster = two().await;
    let address = cluster.node(0).admin_address().expect("an admin port").to_string();
    let guesser = Client::new(address.clone(), "a-wrong-secret-of-enough".into(), false, None).expect("a client");
    for _ in 0..20 {
        refused(guesser.get("nodes", &[]), "not the secret").await;
    }

    refused(guesser.get("nodes", &[]), "too many wrong secrets").await;
    refused(operator_at(&cluster, 0).get("nodes", &[]), "too many wrong secrets").await;

    let nodes: chat::admin::nodes::Nodes =
        from_value(operator_at(&cluster, 1).get("nodes", &[]).await.expect("another node lets in")).expect("nodes");
    assert_eq!(nodes.nodes.len(), 2);
    let metrics = cluster.node(0).metrics().encode();
    assert!(metrics.contains("chat_admin_refused_total 22\n"), "{metrics}");
}

#[tokio::test]
async fn without_a_secret_nothing_can_be_administered() {
    let cluster = Cluster::of(1, |config| config.admin.address = "127.0.0.1:0".into()).await;
    refused(operator_at(&cluster, 0).get("nodes", &[]), "set admin.secret").await;
}

/// The node has checked the old password, and not yet asked for the session.
#[tokio::test]
async fn login_under_way_with_the_old_password_does_not_pass_its_reset() {
    let storage = database().await;
    let faulty = Faulty::new(storage.clone());
    let hub = LocalHub::default();
    let slow = start_node("slow", &(faulty.clone() as Arc<dyn Storage>), &hub, |_| {}).await;
    let quick = start_node("quick", &storage, &hub, with_admin).await;
    let mut ann = Peer::connect(slow.address()).await;
    ann.done(json!({"msgid": 4, "name": "ann", "password": PASSWORD})).await;
    let login = json!({"msgid": 1, "name": "ann", "password": PASSWORD});
    faulty.hang_in("claim_sessions");
    ann.send(login.clone()).await;
    faulty.hangs_in("claim_sessions").await;

    let operator = operator_of(&quick);
    order(&operator, "reset-password", "ann").await;
    faulty.heal();

    assert_eq!(ann.frame().await["errno"], 11, "its proof has to be checked again");
    assert_eq!(ann.ask(login).await["errno"], 1);
}
