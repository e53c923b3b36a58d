//! Every request of the table: what its reply says, and which errno it gets where it cannot be done.

use crate::support::{Cluster, PASSWORD, Peer, Value, json, texts};

const NOBODY: u64 = 999_999;

#[tokio::test]
async fn login_ack_says_who_where_and_what_waits() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let group = ann.create_group("go").await;
    ann.tell(bob, "wake up").await;

    let ack = cluster.connect().await.login("bob").await;

    assert_eq!(ack["id"], bob);
    assert_eq!((&ack["name"], &ack["node"], &ack["version"]), (&json!("bob"), &json!("a"), &json!(1)));
    assert_eq!(ack["friends"], json!([{"id": ann.id, "name": "ann", "state": "online"}]));
    assert_eq!((&ack["groups"], &ack["offline"]), (&json!([]), &json!(1)));
    assert_eq!((&ack["heartbeat_s"], &ack["max_frame_bytes"]), (&json!(30), &json!(65_536)));
    assert_eq!(ack["caps"], json!(["events"]));
    assert!(ack["token"].is_string() && ack["server"].is_string() && ack["time"].is_u64(), "{ack}");
    assert!(group > 0);
}

#[tokio::test]
async fn login_works_by_id_and_by_name() {
    let cluster = Cluster::one().await;
    let id = cluster.account("ann").await;
    let mut ann = cluster.connect().await;

    assert_eq!(ann.login_with(json!({"id": id, "password": PASSWORD})).await["name"], "ann");
    ann.log_out().await;
    assert_eq!(ann.login_with(json!({"name": "ann", "password": PASSWORD, "v": 1, "caps": []})).await["id"], id);
}

#[tokio::test]
async fn a_wrong_login_is_refused_in_the_same_words_whatever_was_wrong() {
    let cluster = Cluster::one().await;
    let id = cluster.account("ann").await;
    let mut peer = cluster.connect().await;
    let mut words = Vec::new();
    for fields in [
        json!({"msgid": 1, "name": "ann", "password": "wrong"}),
        json!({"msgid": 1, "id": id, "password": "wrong"}),
        json!({"msgid": 1, "name": "nobody", "password": PASSWORD}),
        json!({"msgid": 1, "id": NOBODY, "password": PASSWORD}),
        json!({"msgid": 1, "id": 1u64 << 60, "password": PASSWORD}),
        json!({"msgid": 1, "name": "ann", "token": "wrong"}),
    ] {
        let reply = peer.refused(fields, 1).await;
        assert_eq!(reply["msgid"], 2);
        words.push(reply["errmsg"].clone());
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
}

#[tokio::test]
async fn register_gives_an_id_once_per_name() {
    let cluster = Cluster::one().await;
    let mut peer = cluster.connect().await;
    let register = |name: &str| json!({"msgid": 4, "name": name, "password": PASSWORD});

    let first = peer.done(register("ann")).await;
    assert_eq!(first["msgid"], 5);
    assert_ne!(peer.done(register("Ann")).await["id"], first["id"]);
    assert_eq!(peer.refused(register("ann"), 8).await["msgid"], 5);
    for bad in ["", " ann", "ann ", "a\u{7}n", &"n".repeat(51)] {
        peer.refused(register(bad), 4).await;
    }
    peer.refused(json!({"msgid": 4, "name": "cem", "password": ""}), 4).await;
    peer.refused(json!({"msgid": 4, "name": "cem", "password": "p".repeat(129)}), 4).await;
    peer.done(json!({"msgid": 4, "name": "n".repeat(50), "password": "p".repeat(128)})).await;
}

#[tokio::test]
async fn names_are_one_whatever_their_unicode_form() {
    let cluster = Cluster::one().await;
    let mut peer = cluster.connect().await;

    peer.done(json!({"msgid": 4, "name": "Zoe\u{308}", "password": PASSWORD})).await;

    peer.refused(json!({"msgid": 4, "name": "Zo\u{eb}", "password": PASSWORD}), 8).await;
    peer.login("Zo\u{eb}").await;
}

#[tokio::test]
async fn everything_but_login_register_and_ping_needs_a_login() {
    let cluster = Cluster::one().await;
    let mut peer = cluster.connect().await;
    for (msgid, ack) in
        [(3, 11), (6, 12), (7, 13), (8, 14), (9, 15), (10, 12), (17, 18), (22, 23), (24, 25), (26, 27), (28, 29)]
    {
        let reply = peer.refused(json!({"msgid": msgid}), 3).await;
        assert_eq!(reply["msgid"], ack);
    }
    peer.send(json!({"msgid": 16, "conv": "d1-2", "seq": 1})).await;
    assert_eq!(peer.done(json!({"msgid": 19})).await["msgid"], 20);
}

#[tokio::test]
async fn add_friend_is_mutual_and_says_whether_the_friend_is_online() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user("bob").await);
    let cem = cluster.account("cem").await;

    let ack = ann.done(json!({"msgid": 7, "friendid": bob.id})).await;
    assert_eq!(
        (&ack["msgid"], &ack["id"], &ack["name"], &ack["state"]),
        (&json!(13), &json!(bob.id), &json!("bob"), &json!("online"))
    );
    assert_eq!(ann.done(json!({"msgid": 7, "friendid": cem})).await["state"], "offline");

    bob.refused(json!({"msgid": 7, "friendid": ann.id}), 8).await;
    bob.tell(ann.id, "hello").await;
    assert_eq!(ann.push().await["msg"], "hello");
    ann.refused(json!({"msgid": 7, "friendid": NOBODY}), 5).await;
    ann.refused(json!({"msgid": 7, "friendid": ann.id}), 4).await;
}

#[tokio::test]
async fn add_friend_works_by_name_in_any_unicode_form() {
    let cluster = Cluster::one().await;
    let (mut ann, mut zoe) = (cluster.user("ann").await, cluster.user("Zo\u{eb}").await);

    let ack = ann.done(json!({"msgid": 7, "name": "Zoe\u{308}"})).await;

    assert_eq!((&ack["msgid"], &ack["id"], &ack["state"]), (&json!(13), &json!(zoe.id), &json!("online")));
    zoe.tell(ann.id, "hello").await;
    assert_eq!(ann.push().await["msg"], "hello");
    ann.refused(json!({"msgid": 7, "name": "Zo\u{eb}"}), 8).await;
    ann.refused(json!({"msgid": 7, "name": "nobody"}), 5).await;
    ann.refused(json!({"msgid": 7, "name": "zo\u{eb}"}), 5).await;
    ann.refused(json!({"msgid": 7, "name": "ann"}), 4).await;
    ann.refused(json!({"msgid": 7, "name": 7}), 4).await;
}

#[tokio::test]
async fn remove_friend_ends_the_posting_on_both_sides() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;

    let ack = ann.done(json!({"msgid": 22, "friendid": bob.id})).await;

    assert_eq!((&ack["msgid"], &ack["friendid"]), (&json!(23), &json!(bob.id)));
    ann.refused(json!({"msgid": 6, "toid": bob.id, "msg": "x"}), 7).await;
    bob.refused(json!({"msgid": 6, "toid": ann.id, "msg": "x"}), 7).await;
    ann.refused(json!({"msgid": 22, "friendid": bob.id}), 7).await;
    ann.refused(json!({"msgid": 22, "friendid": NOBODY}), 5).await;
    assert_eq!(ann.done(json!({"msgid": 26})).await["friends"], json!([]));
}

#[tokio::test]
async fn removing_a_friend_does_not_take_back_what_waits() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    ann.tell(bob, "before").await;
    ann.done(json!({"msgid": 22, "friendid": bob})).await;

    let mut bob = cluster.login("bob").await;

    assert_eq!(bob.push().await["msg"], "before");
}

#[tokio::test]
async fn create_and_join_group_say_what_it_is() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user("bob").await);

    let created = ann.done(json!({"msgid": 8, "groupname": "go", "groupdesc": "the game"})).await;
    let joined = bob.done(json!({"msgid": 9, "groupid": created["groupid"]})).await;

    assert_eq!((&created["msgid"], &joined["msgid"]), (&json!(14), &json!(15)));
    assert_eq!((&joined["groupname"], &joined["groupdesc"]), (&json!("go"), &json!("the game")));
    bob.refused(json!({"msgid": 9, "groupid": created["groupid"]}), 8).await;
    bob.refused(json!({"msgid": 9, "groupid": NOBODY}), 6).await;
    bob.refused(json!({"msgid": 8, "groupname": "go", "groupdesc": ""}), 8).await;
    bob.refused(json!({"msgid": 8, "groupname": "x", "groupdesc": "d".repeat(201)}), 4).await;
}

#[tokio::test]
async fn leaving_creator_hands_the_role_to_the_longest_standing_member() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob, mut cem) = (cluster.user("ann").await, cluster.user("bob").await, cluster.user("cem").await);
    let group = ann.create_group("go").await;
    // Not in the order of their ids.
    cem.join(group).await;
    bob.join(group).await;

    let ack = ann.done(json!({"msgid": 24, "groupid": group})).await;

    assert_eq!((&ack["msgid"], &ack["groupid"]), (&json!(25), &json!(group)));
    let users = cem.done(json!({"msgid": 26})).await["groups"][0]["users"].clone();
    assert_eq!(roles(&users), [(bob.id, "normal"), (cem.id, "creator")]);
    ann.refused(json!({"msgid": 24, "groupid": group}), 7).await;
    ann.refused(json!({"msgid": 24, "groupid": NOBODY}), 6).await;
    ann.refused(json!({"msgid": 10, "groupid": group, "msg": "x"}), 7).await;
}

fn roles(users: &Value) -> Vec<(u64, &str)> {
    let users = users.as_array().expect("a list").iter();
    users.map(|user| (user["id"].as_u64().expect("an id"), user["role"].as_str().expect("a role"))).collect()
}

#[tokio::test]
async fn roster_shows_friends_and_groups_as_of_now() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    let group = ann.create_group("go").await;
    bob.join(group).await;
    let (anns, bobs) = (ann.id, bob.id);
    bob.log_out().await;

    let roster = ann.done(json!({"msgid": 26})).await;

    assert_eq!(roster["friends"], json!([{"id": bobs, "name": "bob", "state": "offline"}]));
    let users = json!([
        {"id": anns, "name": "ann", "state": "online", "role": "creator"},
        {"id": bobs, "name": "bob", "state": "offline", "role": "normal"},
    ]);
    assert_eq!(roster["groups"], json!([{"id": group, "groupname": "go", "groupdesc": "", "users": users}]));
    assert_eq!(roster.get("more"), None);
}

#[tokio::test]
async fn roster_pages_one_groups_users() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let group = ann.create_group("go").await;
    let mut ids = vec![ann.id];
    for n in 0..4 {
        let id = cluster.account(&format!("user {n}")).await;
        cluster.storage.join_group(&id.into(), group, 100).await.expect("joins");
        ids.push(id);
    }

    let (mut after, mut seen, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = ann.done(json!({"msgid": 26, "groupid": group, "after": after, "limit": 2})).await;
        let users = roles(&page["groups"][0]["users"]).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert!(users.len() <= 2, "{page}");
        seen.extend(&users);
        pages += 1;
        if page["more"] != true {
            break;
        }
        after = *users.last().expect("a page with more after it is not empty");
    }

    assert_eq!((seen, pages), (ids, 3));
    cluster.user("eve").await.refused(json!({"msgid": 26, "groupid": group}), 7).await;
    ann.refused(json!({"msgid": 26, "groupid": NOBODY}), 6).await;
    ann.refused(json!({"msgid": 26, "groupid": group, "limit": 201}), 4).await;
}

#[tokio::test]
async fn login_ack_lists_two_hundred_friends_and_says_that_there_are_more() {
    let cluster = Cluster::one().await;
    let ann = cluster.account("ann").await;
    add_friends(&cluster, ann, 201).await;

    let ack = cluster.connect().await.login("ann").await;

    assert_eq!(ack["friends"].as_array().map(Vec::len), Some(200));
    assert_eq!(ack["more"], true);
}

async fn add_friends(cluster: &Cluster, of: u64, count: usize) {
    for n in 0..count {
        let friend = cluster.storage.register(&format!("friend {n}"), "no hash").await.expect("registers");
        cluster.storage.add_friend(&of.into(), friend.expect("a free name")).await.expect("befriends");
    }
}

#[tokio::test]
async fn friend_beyond_those_that_are_listed_is_told_of_a_login() {
    let cluster = Cluster::one().await;
    let ann = cluster.account("ann").await;
    add_friends(&cluster, ann, 200).await;
    let bob = cluster.account("bob").await;
    cluster.storage.add_friend(&ann.into(), bob).await.expect("befriends");
    let mut watcher = cluster.connect().await;
    watcher.login_for_events("bob").await;

    cluster.connect().await.login("ann").await;

    let presence = json!({"msgid": 31, "kind": "presence", "id": ann, "name": "ann", "state": "online"});
    assert_eq!(watcher.event().await, presence);
}

#[tokio::test]
async fn history_reads_a_conversation_backwards_in_pages() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = cluster.friends().await;
    for n in 1..=4 {
        ann.tell(bob.id, &format!("a{n}")).await;
        bob.tell(ann.id, &format!("b{n}")).await;
    }

    let newest = bob.done(json!({"msgid": 17, "toid": ann.id, "limit": 3})).await;
    let older = bob.done(json!({"msgid": 17, "toid": ann.id, "limit": 5, "before": 6})).await;
    let all = ann.done(json!({"msgid": 17, "toid": bob.id})).await;

    assert_eq!(newest["msgid"], 18);
    assert_eq!((texts(list(&newest)), &newest["more"]), (vec!["b3", "a4", "b4"], &json!(true)));
    assert_eq!((texts(list(&older)), &older["more"]), (vec!["a1", "b1", "a2", "b2", "a3"], &json!(false)));
    assert_eq!((list(&all).len(), &all["conv"], &all["more"]), (8, &newest["conv"], &json!(false)));
    assert_eq!(list(&all)[7]["seq"], 8);
    assert_eq!((&list(&all)[0]["id"], &list(&all)[0]["toid"]), (&json!(ann.id), &json!(bob.id)));
    for limit in [0, 201] {
        bob.refused(json!({"msgid": 17, "toid": ann.id, "limit": limit}), 4).await;
    }
}

fn list(page: &Value) -> &[Value] {
    page["messages"].as_array().expect("a list")
}

#[tokio::test]
async fn history_is_for_members_and_shows_what_was_said_before_they_joined() {
    let cluster = Cluster::one().await;
    let (mut ann, mut bob) = (cluster.user("ann").await, cluster.user("bob").await);
    let group = ann.create_group("go").await;
    ann.tell_group(group, "early").await;

    bob.refused(json!({"msgid": 17, "groupid": group}), 7).await;
    bob.join(group).await;
    let page = bob.done(json!({"msgid": 17, "groupid": group})).await;

    assert_eq!(texts(list(&page)), ["early"]);
    bob.refused(json!({"msgid": 17, "groupid": NOBODY}), 6).await;
    bob.refused(json!({"msgid": 17, "toid": ann.id}), 7).await;
    bob.refused(json!({"msgid": 17, "toid": NOBODY}), 5).await;
}

#[tokio::test]
async fn history_page_of_long_messages_stops_at_the_frame_limit() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let long = "\u{1}".repeat(10_000);
    for _ in 0..30 {
        ann.tell(bob, &long).await;
    }

    let (mut before, mut seen) = (31, 0);
    while seen < 30 {
        let page = ann.done(json!({"msgid": 17, "toid": bob, "before": before, "limit": 200})).await;
        let messages = list(&page);
        assert!(!messages.is_empty(), "a page has at least one message");
        assert_eq!(messages.last().expect("not empty")["seq"], before - 1);
        seen += messages.len();
        before = messages[0]["seq"].as_u64().expect("a seq");
        assert_eq!(page["more"], seen < 30);
    }
}

#[tokio::test]
async fn change_password_ends_all_tokens_but_the_new_one() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let old_token = ann.token.clone();

    ann.refused(json!({"msgid": 28, "old": "wrong", "new": "another"}), 1).await;
    let ack = ann.done(json!({"msgid": 28, "old": PASSWORD, "new": "another"})).await;
    ann.log_out().await;

    assert_eq!(ack["msgid"], 29);
    ann.refused(json!({"msgid": 1, "name": "ann", "password": PASSWORD}), 1).await;
    ann.refused(json!({"msgid": 1, "name": "ann", "token": old_token}), 1).await;
    ann.login_with(json!({"name": "ann", "token": ack["token"]})).await;
    ann.log_out().await;
    ann.login_with(json!({"name": "ann", "password": "another"})).await;
}

#[tokio::test]
async fn ping_is_answered_before_and_after_login() {
    let cluster = Cluster::one().await;
    cluster.account("ann").await;
    let mut ann = cluster.connect().await;

    let before = ann.done(json!({"msgid": 19})).await;
    ann.login("ann").await;
    let after = ann.done(json!({"msgid": 19})).await;

    assert_eq!(before["msgid"], 20);
    assert!(before["time"].as_u64() <= after["time"].as_u64());
}

#[tokio::test]
async fn unknown_msgids_get_error_and_the_connection_lives_on() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    for msgid in [json!(0), json!(2), json!(12), json!(30), json!(31), json!(-1), json!(1u64 << 60), json!(1e300)] {
        let reply = ann.refused(json!({"msgid": msgid}), 17).await;
        assert_eq!(reply["msgid"], 0);
    }
    ann.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn mid_is_echoed_as_sent_also_where_it_was_refused() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;

    assert_eq!(ann.ask(json!({"msgid": 26, "mid": "any text"})).await["errno"], 0);
    let upper = "0199A0B1-0000-7000-8000-00000000000A";
    assert_eq!(ann.ask(json!({"msgid": 6, "toid": NOBODY, "msg": "x", "mid": upper})).await["errno"], 5);
    assert_eq!(ann.ask(json!({"msgid": 6, "toid": NOBODY, "msg": "x", "mid": "no uuid"})).await["errno"], 4);
    ann.send(json!({"msgid": 6, "toid": NOBODY, "msg": "x"})).await;
    let reply = ann.frame().await;
    assert_eq!((&reply["msgid"], &reply["errno"], reply.get("mid")), (&json!(12), &json!(4), None));
}

#[tokio::test]
async fn chats_to_nobody_and_to_oneself_are_refused() {
    let cluster = Cluster::one().await;
    let mut ann = cluster.user("ann").await;
    let stranger = cluster.account("bob").await;
    for qos in [0, 1] {
        ann.refused(json!({"msgid": 6, "toid": ann.id, "msg": "x", "qos": qos}), 4).await;
        ann.refused(json!({"msgid": 6, "toid": NOBODY, "msg": "x", "qos": qos}), 5).await;
        ann.refused(json!({"msgid": 6, "toid": 1u64 << 60, "msg": "x", "qos": qos}), 5).await;
        ann.refused(json!({"msgid": 6, "toid": stranger, "msg": "x", "qos": qos}), 7).await;
        ann.refused(json!({"msgid": 10, "groupid": NOBODY, "msg": "x", "qos": qos}), 6).await;
    }
}

#[tokio::test]
async fn events_go_to_those_who_asked_for_them() {
    let cluster = Cluster::two().await;
    let (ann, _) = (cluster.account("ann").await, cluster.account("bob").await);
    let mut watcher = Peer::connect(cluster.address(0)).await;
    watcher.login_for_events("ann").await;
    let mut bob = cluster.login_on(1, "bob").await;
    let group = watcher.create_group("go").await;

    bob.befriend(ann).await;
    let added = watcher.event().await;
    bob.join(group).await;
    let joined = watcher.event().await;
    bob.done(json!({"msgid": 24, "groupid": group})).await;
    let left = watcher.event().await;
    bob.log_out().await;
    let presence = watcher.event().await;
    cluster.login_on(1, "bob").await.done(json!({"msgid": 22, "friendid": ann})).await;
    let mut last = [watcher.event().await, watcher.event().await];
    last.sort_by_key(|event| event["kind"].to_string());

    assert_eq!(added, json!({"msgid": 31, "kind": "friend_added", "id": bob.id, "name": "bob"}));
    assert_eq!(joined, json!({"msgid": 31, "kind": "joined", "groupid": group, "id": bob.id, "name": "bob"}));
    assert_eq!(left, json!({"msgid": 31, "kind": "left", "groupid": group, "id": bob.id, "name": "bob"}));
    assert_eq!(presence, json!({"msgid": 31, "kind": "presence", "id": bob.id, "name": "bob", "state": "offline"}));
    assert_eq!((&last[0]["kind"], &last[1]["kind"]), (&json!("friend_removed"), &json!("presence")));
}
