//! Who is online, and where: what the classic servers keep in a column that nobody corrects.

use crate::support::{BUDGET, Cluster, PASSWORD, Peer, eventually, json, within};

#[tokio::test]
async fn a_dead_nodes_users_stay_online_and_are_locked_out() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    // Nobody renews the lease of that node.
    cluster.held_by("dead", bob).await;
    assert_eq!(ann.done(json!({"msgid": 26})).await["friends"][0]["state"], "online");

    let mut again = cluster.connect().await;
    let login = json!({"msgid": 1, "name": "bob", "password": PASSWORD});
    eventually(BUDGET, "its node is not known to be alive", async || {
        again.refused(login.clone(), 2).await["retry_ms"].as_u64()
    })
    .await;
    eventually(BUDGET, "the lease of the dead node runs out", async || {
        (ann.done(json!({"msgid": 26})).await["friends"][0]["state"] == "offline").then_some(())
    })
    .await;

    again.done(login).await;
    assert_eq!(ann.done(json!({"msgid": 26})).await["friends"][0]["state"], "online");
}

/// The classic server runs `UPDATE user SET state = 'offline'` when any of its processes ends.
#[tokio::test]
async fn one_nodes_exit_marks_the_whole_cluster_offline() {
    let mut cluster = Cluster::two().await;
    let (mut ann, mut bob) = cluster.friends_on(1, 1).await;
    let mut cem = cluster.user_on(0, "cem").await;
    ann.befriend(cem.id).await;

    let leaving = cluster.take(0);
    leaving.shutdown().drain();
    within("the node stops", leaving.stopped()).await.expect("in good order");

    assert_eq!(cem.notice().await, 14);
    let states =
        |roster: crate::support::Value| [roster["friends"][0]["state"].clone(), roster["friends"][1]["state"].clone()];
    assert_eq!(states(ann.done(json!({"msgid": 26})).await), ["online", "offline"]);
    ann.tell(bob.id, "still here").await;
    assert_eq!(bob.push().await["msg"], "still here");
    let refused = cluster.connect().await.refused(json!({"msgid": 1, "name": "bob", "password": PASSWORD}), 2).await;
    assert_eq!(refused.get("retry_ms"), None);
}

#[tokio::test]
async fn several_of_four_simultaneous_logins_on_different_nodes_succeed() {
    let cluster = Cluster::of(4, |_| {}).await;
    let id = cluster.account("ann").await;
    for round in 0..10 {
        let mut peers = Vec::new();
        for node in 0..4 {
            peers.push(Peer::connect(cluster.address(node)).await);
        }
        let tries = peers.iter_mut().map(async |peer| {
            peer.ask(json!({"msgid": 1, "name": "ann", "password": PASSWORD})).await["errno"].clone()
        });
        let mut outcomes = futures_util::future::join_all(tries).await;

        outcomes.sort_by_key(|errno| errno.as_u64());
        assert_eq!(outcomes, [0, 2, 2, 2], "round {round}");
        drop(peers);
        cluster.gone(id).await;
    }
}

#[tokio::test]
async fn simultaneous_takeovers_leave_one_session() {
    let cluster = Cluster::of(3, |_| {}).await;
    let (mut ann, mut bob) = cluster.friends_on(0, 0).await;
    let bobs = bob.id;
    let mut peers = Vec::new();
    for node in 0..3 {
        peers.push(Peer::connect(cluster.address(node)).await);
    }
    let takeovers = peers.iter_mut().map(async |peer| {
        let login = json!({"msgid": 1, "name": "bob", "password": PASSWORD, "takeover": true, "mid": "takeover"});
        peer.send(login).await;
        // Each gets its session, then loses it to the next; all but the last end with NOTICE 13.
        let ack = peer.frame().await;
        assert!(matches!(ack["errno"].as_u64(), Some(0 | 11)), "{ack}");
        ack["errno"] == 0
    });
    let won = futures_util::future::join_all(takeovers).await;
    assert!(won.contains(&true), "{won:?}");
    assert_eq!(bob.notice().await, 13);

    ann.tell(bobs, "to the one that is left").await;

    let mut reached = 0;
    for (peer, _) in peers.iter_mut().zip(won).filter(|(_, won)| *won) {
        match peer.frame().await {
            frame if frame["msgid"] == 6 => reached += 1,
            frame => assert_eq!((&frame["msgid"], &frame["errno"]), (&json!(21), &json!(13))),
        }
    }
    assert_eq!(reached, 1);
}
