//! The two classic dialects, among themselves and with framed clients.

use crate::support::classic::{Bare, Checked, checked_frame, unpack};
use crate::support::{BUDGET, Cluster, PASSWORD, Value, eventually, json};

#[tokio::test]
async fn bare_client_registers_and_logs_in() {
    let cluster = Cluster::one().await;
    let mut bare = Bare::connect(cluster.address(0)).await;

    bare.send(json!({"msgid": 4, "name": "ann", "password": PASSWORD})).await;
    let registered = bare.next().await;
    bare.send(json!({"msgid": 4, "name": "ann", "password": PASSWORD})).await;
    let refused = bare.next().await;
    let ack = bare.login(registered["id"].as_u64().expect("an id")).await;

    assert_eq!((&registered["msgid"], &registered["errno"]), (&json!(5), &json!(0)));
    assert_eq!(refused["msgid"], 5);
    assert_ne!(refused["errno"], 0);
    assert_eq!(ack["name"], "ann");
    for absent in ["offlinemsg", "friends", "groups"] {
        assert_eq!(ack.get(absent), None, "only when not empty");
    }
}

#[tokio::test]
async fn bare_login_fails_with_errno_1_or_2() {
    let cluster = Cluster::one().await;
    let ann = cluster.user("ann").await;
    let mut bare = Bare::connect(cluster.address(0)).await;
    for (password, errno) in [("wrong", 1), (PASSWORD, 2)] {
        bare.send(json!({"msgid": 1, "id": ann.id, "password": password})).await;
        let ack = bare.next().await;
        assert_eq!((&ack["msgid"], &ack["errno"]), (&json!(2), &json!(errno)));
        assert!(ack["errmsg"].is_string());
    }
}

#[tokio::test]
async fn bare_login_brings_friends_groups_and_waiting_messages_as_strings() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let group = ann.create_group("go").await;
    cluster.storage.join_group(&bob.into(), group, 10).await.expect("joins");
    ann.tell(bob, "one").await;
    ann.tell_group(group, "two").await;

    let mut bare = Bare::connect(cluster.address(0)).await;
    let ack = bare.login(bob).await;

    let waiting = unpack(&ack["offlinemsg"]);
    assert_eq!(crate::support::texts(&waiting), ["one", "two"]);
    assert_eq!(
        (&waiting[0]["msgid"], &waiting[0]["toid"], &waiting[0]["id"]),
        (&json!(6), &json!(bob), &json!(ann.id))
    );
    assert_eq!((&waiting[1]["msgid"], &waiting[1]["groupid"]), (&json!(10), &json!(group)));
    assert_eq!(unpack(&ack["friends"]), [json!({"id": ann.id, "name": "ann", "state": "online"})]);
    let groups = unpack(&ack["groups"]);
    assert_eq!((&groups[0]["groupname"], &groups[0]["groupdesc"]), (&json!("go"), &json!("")));
    assert_eq!(unpack(&groups[0]["users"]).len(), 2);
}

#[tokio::test]
async fn what_a_classic_clients_kernel_took_counts_as_received() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    ann.tell(bob, "waited").await;
    let mut bare = Bare::connect(cluster.address(0)).await;
    bare.login(bob).await;
    ann.tell(bob, "live").await;
    bare.next().await;

    let nothing_waits = async || (cluster.storage.count_waiting(bob, 10).await.expect("a count") == 0).then_some(());
    eventually(BUDGET, "the cursor moves without RECEIVED", nothing_waits).await;

    drop(bare);
    cluster.gone(bob).await;
    assert_eq!(cluster.connect().await.login("bob").await["offline"], 0);
}

/// A message as a classic client writes it, its own name and time included.
fn classic_chat(key: &str, kind: u64, id: u64, toid: u64, msg: &str) -> Value {
    json!({key: kind, "id": id, "name": "as I like", "toid": toid, "msg": msg, "time": "2026-01-02 03:04:05"})
}

#[tokio::test]
async fn classic_and_framed_clients_talk_to_each_other_and_each_sees_its_own() {
    let cluster = Cluster::two().await;
    let mut ann = cluster.user("ann").await;
    let (bob, cem) = (cluster.account("bob").await, cluster.account("cem").await);
    for (user, friend) in [(ann.id, bob), (ann.id, cem), (bob, cem)] {
        cluster.storage.add_friend(&user.into(), friend).await.expect("befriends");
    }
    let mut bare = Bare::connect(cluster.address(1)).await;
    bare.login(bob).await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    checked.login(cem).await;

    bare.send(classic_chat("msgid", 6, bob, ann.id, "bare to framed")).await;
    let seen = ann.push().await;
    assert_eq!((&seen["msg"], &seen["name"], &seen["seq"]), (&json!("bare to framed"), &json!("bob"), &json!(1)));
    assert!(seen["time"].is_u64() && seen["mid"].is_string(), "{seen}");

    checked.send(classic_chat("msgType", 6, cem, ann.id, "checked to framed")).await;
    let acked = checked.next().await;
    assert_eq!((&acked["msgType"], &acked["code"]), (&json!(7), &json!(200)));
    assert_eq!((ann.push().await["msg"].clone(), ann.id > 0), (json!("checked to framed"), true));

    ann.tell(bob, "framed to bare").await;
    let seen = bare.next().await;
    assert_eq!(
        (&seen["msgid"], &seen["id"], &seen["name"], &seen["toid"], &seen["msg"]),
        (&json!(6), &json!(ann.id), &json!("ann"), &json!(bob), &json!("framed to bare"))
    );
    ann.tell(cem, "framed to checked").await;
    assert_eq!(checked.next().await["msg"], "framed to checked");

    bare.send(classic_chat("msgid", 6, bob, cem, "bare to checked")).await;
    let seen = checked.next().await;
    let expected = classic_chat("msgType", 6, bob, cem, "bare to checked");
    assert_eq!(seen, expected, "as sent");
    checked.send(classic_chat("msgType", 6, cem, bob, "checked to bare")).await;
    assert_eq!(bare.next().await, classic_chat("msgid", 6, cem, bob, "checked to bare"));
}

#[tokio::test]
async fn what_was_sent_as_is_kept_for_an_offline_classic_recipient() {
    let cluster = Cluster::one().await;
    let (ann, bob) = (cluster.account("ann").await, cluster.account("bob").await);
    cluster.storage.add_friend(&ann.into(), bob).await.expect("befriends");
    let mut sender = Checked::connect(cluster.address(0)).await;
    sender.login(ann).await;
    sender.send(classic_chat("msgType", 6, ann, bob, "for later")).await;
    assert_eq!(sender.next().await["code"], 200);

    let ack = Checked::connect(cluster.address(0)).await.login(bob).await;

    assert_eq!(unpack(&ack["offlinemessage"]), [classic_chat("msgType", 6, ann, bob, "for later")]);
}

#[tokio::test]
async fn bare_group_chat_reaches_the_members() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let bob = cluster.account("bob").await;
    let mut bare = Bare::connect(cluster.address(0)).await;
    bare.login(bob).await;

    bare.send(json!({"msgid": 8, "id": bob, "groupname": "go", "groupdesc": "d"})).await;
    let group = eventually(BUDGET, "the group is there", async || {
        cluster.storage.groups(&[bob], 1).await.expect("groups")[0].first().map(|group| group.id)
    })
    .await;
    ann.join(group).await;
    bare.send(json!({"msgid": 10, "id": bob, "groupid": group, "msg": "hello all"})).await;
    assert_eq!(ann.push().await["msg"], "hello all");
    ann.tell_group(group, "hello bob").await;

    let seen = bare.next().await;
    assert_eq!((&seen["msgid"], &seen["groupid"], &seen["msg"]), (&json!(10), &json!(group), &json!("hello bob")));
}

#[tokio::test]
async fn clients_that_say_to_and_msg_id_chat_and_each_is_answered_in_its_own_spelling() {
    let cluster = Cluster::one().await;
    let (ann, bob, cem) = (cluster.account("ann").await, cluster.account("bob").await, cluster.account("cem").await);
    let (mut says_to, mut says_msg_id) =
        (Bare::connect(cluster.address(0)).await, Bare::connect(cluster.address(0)).await);
    let mut usual = Bare::connect(cluster.address(0)).await;
    says_to.login(ann).await;
    says_msg_id.send(json!({"msgId": 1, "id": bob, "password": PASSWORD})).await;
    let ack = says_msg_id.next().await;
    assert_eq!((&ack["msgId"], &ack["errno"]), (&json!(2), &json!(0)), "{ack}");
    usual.login(cem).await;

    says_msg_id.send(json!({"msgId": 7, "id": bob, "friendId": ann})).await;
    says_msg_id.send(json!({"msgId": 6, "id": bob, "to_id": ann, "msg": "hello ann"})).await;
    let seen = says_to.next().await;
    assert_eq!((&seen["msgid"], &seen["toid"], &seen["msg"]), (&json!(6), &json!(ann), &json!("hello ann")));
    says_to.send(json!({"msgid": 6, "id": ann, "to": bob, "msg": "hello bob"})).await;
    let seen = says_msg_id.next().await;
    assert_eq!((&seen["msgId"], &seen["to_id"], &seen["msg"]), (&json!(6), &json!(bob), &json!("hello bob")));
    says_msg_id.send(json!({"msgId": 6, "id": bob, "to_id": ann, "msg": "again"})).await;
    let seen = says_to.next().await;
    assert_eq!((&seen["to"], seen.get("toid"), &seen["msg"]), (&json!(ann), None, &json!("again")));

    // One message for several clients: each gets its own.
    says_msg_id.send(json!({"msgId": 8, "id": bob, "group_name": "go"})).await;
    let group = eventually(BUDGET, "the group is there", async || {
        cluster.storage.groups(&[bob], 1).await.expect("groups")[0].first().map(|group| group.id)
    })
    .await;
    says_to.send(json!({"msgid": 9, "id": ann, "groupId": group})).await;
    usual.send(json!({"msgid": 9, "id": cem, "groupid": group})).await;
    eventually(BUDGET, "all have joined", async || {
        let users = cluster.storage.group_users(&[group], 5).await.expect("users");
        (users[0].len() == 3).then_some(())
    })
    .await;
    says_msg_id.send(json!({"msgId": 10, "id": bob, "groupid": group, "msg": "all"})).await;
    let seen = says_to.next().await;
    assert_eq!((&seen["groupId"], seen.get("groupid"), &seen["msg"]), (&json!(group), None, &json!("all")));
    let seen = usual.next().await;
    assert_eq!((&seen["groupid"], seen.get("groupId"), &seen["msg"]), (&json!(group), None, &json!("all")));
}

#[tokio::test]
async fn a_refused_classic_request_comes_back_as_a_line_from_the_server() {
    let cluster = Cluster::one().await;
    let (ann, bob) = (cluster.account("ann").await, cluster.account("bob").await);
    let mut bare = Bare::connect(cluster.address(0)).await;
    bare.login(ann).await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    checked.login(bob).await;
    let from_server = |line: &Value| {
        assert_eq!((&line["id"], &line["name"]), (&json!(0), &json!("server")), "{line}");
        assert!(line["msg"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
    };

    // Not a friend, someone else's id, no such group, no such msgid.
    for request in [
        classic_chat("msgid", 6, ann, bob, "x"),
        classic_chat("msgid", 6, bob, ann, "x"),
        json!({"msgid": 9, "id": ann, "groupid": 999_999}),
        json!({"msgid": 77}),
    ] {
        bare.send(request).await;
        let line = bare.next().await;
        assert_eq!(line["msgid"], 6);
        from_server(&line);
    }
    for request in [
        json!({"msgType": 9, "id": bob, "friendid": 999_999}),
        json!({"msgType": 8, "id": bob, "groupid": 9, "msg": "x"}),
    ] {
        checked.send(request).await;
        let line = checked.next().await;
        assert_eq!(line["msgType"], 6);
        from_server(&line);
    }
    for request in [json!({"msgType": 77}), json!({"msgType": 4, "name": "ann", "password": "x"})] {
        checked.send(request).await;
        assert_eq!(checked.next().await["code"], 404);
    }
}

#[tokio::test]
async fn checked_client_registers_befriends_and_makes_groups() {
    let cluster = Cluster::one().await;
    let ann = cluster.account("ann").await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    checked.send(json!({"msgType": 4, "name": "bob", "password": PASSWORD})).await;
    let registered = checked.next().await;
    let bob = registered["id"].as_u64().expect("an id");
    assert_eq!((&registered["msgType"], &registered["code"]), (&json!(5), &json!(200)));
    checked.login(bob).await;

    checked.send(json!({"msgType": 9, "id": bob, "friendid": ann})).await;
    checked.send(json!({"msgType": 10, "id": bob, "groupname": "go", "groupdesc": "d"})).await;
    checked.send(json!({"msgType": 6, "id": bob, "toid": ann, "msg": "done"})).await;

    // The ack comes after all that went before it.
    assert_eq!(checked.next().await["code"], 200);
    assert_eq!(cluster.storage.friends(&[bob], 5).await.expect("friends")[0].len(), 1);
    assert_eq!(cluster.storage.groups(&[bob], 5).await.expect("groups")[0][0].groupname, "go");
}

#[tokio::test]
async fn classic_logout_lets_the_same_connection_log_in_again() {
    let cluster = Cluster::one().await;
    let (ann, bob) = (cluster.account("ann").await, cluster.account("bob").await);
    let mut bare = Bare::connect(cluster.address(0)).await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    for _ in 0..2 {
        bare.login(ann).await;
        bare.send(json!({"msgid": 3, "id": ann})).await;
        checked.login(bob).await;
        checked.send(json!({"msgType": 3, "id": bob})).await;
    }
}

#[tokio::test]
async fn the_dialect_is_told_from_the_first_byte() {
    let cluster = Cluster::one().await;
    let id = cluster.account("ann").await;
    for separator in ["", " ", "\n", "\t\r\n"] {
        let mut bare = Bare::connect(cluster.address(0)).await;
        bare.raw.send_bytes(separator.as_bytes()).await.expect("sends");
        bare.login(id).await;
        bare.send(json!({"msgid": 3, "id": id})).await;
        cluster.gone(id).await;
    }
    for other in [b'x', 0x01, 0xFF, b'[', b'"', 0x16] {
        let mut bare = Bare::connect(cluster.address(0)).await;
        bare.raw.send_bytes(&[other]).await.expect("sends");
        assert_eq!(bare.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
    }
    let mut checked = Checked::connect(cluster.address(0)).await;
    for byte in checked_frame(json!({"msgType": 1, "id": id, "password": PASSWORD}).to_string().as_bytes()) {
        checked.raw.send_bytes(&[byte]).await.expect("sends");
    }
    assert_eq!(checked.next().await["code"], 200);
}
