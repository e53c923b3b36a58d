//! What the classic servers believe a client.

use crate::support::classic::{Bare, Checked};
use crate::support::{Cluster, PASSWORD, Peer, Value, json};
use chat_protocol::message::Who;

#[tokio::test]
async fn ids_are_trusted_to_send_log_out_and_post_as_anyone() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    let group = ann.create_group("go").await;
    bob.join(group).await;
    let eve = cluster.account("eve").await;
    let (anns, bobs) = (ann.id, bob.id);

    let mut bare = Bare::connect(cluster.address(0)).await;
    bare.login(eve).await;
    for forged in [
        json!({"msgid": 6, "id": anns, "toid": bobs, "msg": "forged", "name": "ann"}),
        json!({"msgid": 10, "id": anns, "groupid": group, "msg": "forged"}),
        json!({"msgid": 7, "id": anns, "friendid": eve}),
        json!({"msgid": 9, "id": anns, "groupid": group}),
        json!({"msgid": 3, "id": anns}),
    ] {
        bare.send(forged).await;
        let refused = bare.next().await;
        assert_eq!((&refused["id"], &refused["name"]), (&json!(0), &json!("server")), "{refused}");
    }
    bare.send(json!({"msgid": 3, "id": eve})).await;
    cluster.gone(eve).await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    checked.login(eve).await;
    checked.send(json!({"msgType": 3, "id": anns})).await;
    assert_eq!(checked.next().await["id"], 0);
    checked.send(json!({"msgType": 6, "id": anns, "toid": bobs, "msg": "forged"})).await;
    assert_eq!(checked.next().await["code"], 7);

    // Ann is still there, and nobody has heard from her.
    ann.tell(bobs, "the real one").await;
    let push = bob.push().await;
    assert_eq!((&push["msg"], &push["id"]), (&json!("the real one"), &json!(anns)));
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_name_in_a_message_is_trusted() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;

    ann.done(json!({"msgid": 6, "toid": bob.id, "msg": "x", "name": "the bank", "time": 1, "seq": 99})).await;

    let push = bob.push().await;
    assert_eq!((&push["name"], &push["seq"]), (&json!("ann"), &json!(1)));
    assert_ne!(push["time"], 1);
}

#[tokio::test]
async fn a_non_member_posts() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user("bob").await);
    let mut eve = cluster.user("eve").await;
    let group = ann.create_group("go").await;
    bob.join(group).await;

    for qos in [0, 1] {
        eve.refused(json!({"msgid": 10, "groupid": group, "msg": "spam", "qos": qos}), 7).await;
        eve.refused(json!({"msgid": 6, "toid": ann.id, "msg": "spam", "qos": qos}), 7).await;
    }
    ann.tell_group(group, "marker").await;

    assert_eq!(bob.push().await["msg"], "marker");
    assert_eq!(ann.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn sql_injection_through_names_and_messages() {
    const ATTACKS: [&str; 7] = [
        "'; DROP TABLE user; --",
        "' OR '1'='1",
        "\\'; DELETE FROM message; #",
        "\" OR \"\"=\"",
        "1); INSERT INTO friend VALUES (1, 2); --",
        "%' AND SLEEP(1) AND '%",
        "`; SHUTDOWN; --",
    ];
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    for attack in ATTACKS {
        let mut mallory = cluster.connect().await;
        for field in ["name", "password", "token"] {
            let mut login = json!({"msgid": 1, "name": "ann", "password": "x"});
            if field == "token" {
                login = json!({"msgid": 1, "name": "ann", "token": "x"});
            }
            login[field] = attack.into();
            mallory.refused(login, 1).await;
        }
        mallory.done(json!({"msgid": 4, "name": attack, "password": PASSWORD})).await;
        assert_eq!(mallory.login(attack).await["name"], attack);
        mallory.done(json!({"msgid": 8, "groupname": attack, "groupdesc": attack})).await;
        let roster = mallory.done(json!({"msgid": 26})).await;
        assert_eq!(
            (&roster["groups"][0]["groupname"], &roster["groups"][0]["groupdesc"]),
            (&json!(attack), &json!(attack))
        );
        mallory.refused(json!({"msgid": 7, "friendid": attack}), 4).await;
        mallory.send(json!({"msgid": 16, "conv": attack, "seq": 1})).await;

        ann.tell(bob.id, attack).await;
        assert_eq!(bob.push().await["msg"], attack);
    }
    assert_eq!(ann.done(json!({"msgid": 17, "toid": bob.id})).await["messages"].as_array().map(Vec::len), Some(7));
}

#[tokio::test]
async fn duplicate_names() {
    let cluster = Cluster::two().await;
    let mut peers = Vec::new();
    for place in [0, 1, 0, 1, 0, 1] {
        peers.push(Peer::connect(cluster.address(place)).await);
    }
    let tries = peers
        .iter_mut()
        .map(async |peer| peer.ask(json!({"msgid": 4, "name": "ann", "password": PASSWORD})).await["errno"].clone());
    let mut outcomes = futures_util::future::join_all(tries).await;

    outcomes.sort_by_key(|errno| errno.as_u64());
    assert_eq!(outcomes, [0, 8, 8, 8, 8, 8]);
}

#[tokio::test]
async fn names_that_look_like_another_or_like_the_nodes() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    for (name, why) in [("an\u{200b}n", "U+200B"), ("\u{202e}nna", "U+202E"), ("Ｓerver", "another name than server")]
    {
        let mut mallory = cluster.connect().await;
        let reply = mallory.refused(json!({"msgid": 4, "name": name, "password": PASSWORD}), 4).await;
        assert!(
            reply["errmsg"].as_str().is_some_and(|text| text.contains("field name") && text.contains(why)),
            "{reply}"
        );
    }
    ann.refused(json!({"msgid": 8, "groupname": "te\u{2060}a", "groupdesc": ""}), 4).await;
    ann.done(json!({"msgid": 8, "groupname": "server", "groupdesc": ""})).await;
}

#[tokio::test]
async fn accounts_whose_names_could_not_be_made_today_still_log_in() {
    let cluster = Cluster::one().await;
    let ann = cluster.account("ann").await;
    let account = cluster.storage.account(&Who::Id(ann)).await.expect("the database answers").expect("it is there");
    for name in ["an\u{200b}n", "server"] {
        cluster.storage.register(name, &account.password).await.expect("the database answers").expect("a free name");

        let mut peer = cluster.connect().await;
        assert_eq!(peer.login(name).await["name"], name);
    }
}
