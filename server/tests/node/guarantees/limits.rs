//! What happens beyond each limit.

use crate::support::peer::options;
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, Value, eventually, fresh_mid, json};
use chat_client::RawConnection;
use tokio::time::Instant;

/// Connects, and sees the connection closed at once.
async fn is_closed_at_once(cluster: &Cluster) {
    let mut raw = RawConnection::connect(&options(cluster.address(0))).await.expect("the kernel accepts");
    assert_eq!(raw.expect_close().await.expect("closes"), [] as [Value; 0]);
}

#[tokio::test]
async fn beyond_connections_a_new_one_is_closed_and_the_others_stay() {
    let cluster = Cluster::of(1, |config| config.limits.connections = 2).await;
    let (mut first, mut second) = (cluster.connect().await, cluster.connect().await);
    first.done(json!({"msgid": 19})).await;
    second.done(json!({"msgid": 19})).await;

    is_closed_at_once(&cluster).await;

    first.done(json!({"msgid": 19})).await;
    drop(second);
    eventually(BUDGET, "there is room again", async || {
        let mut next = cluster.connect().await;
        next.send(json!({"msgid": 19})).await;
        next.try_frame().await.ok()
    })
    .await;
}

#[tokio::test]
async fn beyond_connections_per_ip_a_new_one_is_closed() {
    let cluster = Cluster::of(1, |config| config.limits.connections_per_ip = 2).await;
    let (mut first, mut second) = (cluster.connect().await, cluster.connect().await);
    first.done(json!({"msgid": 19})).await;
    second.done(json!({"msgid": 19})).await;

    is_closed_at_once(&cluster).await;

    let elsewhere = chat_client::Options { local_address: Some([127, 0, 0, 2].into()), ..options(cluster.address(0)) };
    Peer::connect_with(&elsewhere).await.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn behind_a_proxy_connections_are_counted_by_the_address_it_names() {
    let cluster = Cluster::of(1, |config| {
        config.listen.proxy_protocol = true;
        config.limits.connections_per_ip = 1;
    })
    .await;
    let connect = async |client: &str| {
        let mut peer = cluster.connect().await;
        let header = format!("PROXY TCP4 {client} 192.0.2.200 1000 12345\r\n");
        peer.raw.send_bytes(header.as_bytes()).await.expect("sends");
        peer
    };
    let (mut first, mut second) = (connect("192.0.2.1").await, connect("192.0.2.2").await);
    first.done(json!({"msgid": 19})).await;
    second.done(json!({"msgid": 19})).await;

    let mut third = connect("192.0.2.1").await;

    assert_eq!(third.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
    first.done(json!({"msgid": 19})).await;
}

#[tokio::test]
async fn beyond_prelogin_connections_the_oldest_silent_one_goes() {
    let cluster = Cluster::of(1, |config| config.limits.prelogin_connections = 2).await;
    let mut ann = cluster.user("ann").await;
    let mut oldest = cluster.connect().await;
    oldest.done(json!({"msgid": 19})).await;
    let mut second = cluster.connect().await;
    second.done(json!({"msgid": 19})).await;

    let mut third = cluster.connect().await;

    assert_eq!(oldest.notice().await, 16);
    for peer in [&mut ann, &mut second, &mut third] {
        peer.done(json!({"msgid": 19})).await;
    }
}

#[tokio::test]
async fn beyond_group_members_nobody_can_join() {
    let cluster = Cluster::of(1, |config| config.limits.group_members = 2).await;
    let (mut ann, mut bob, mut cem) = (cluster.user("ann").await, cluster.user("bob").await, cluster.user("cem").await);
    let group = ann.create_group("pair").await;
    bob.join(group).await;

    cem.refused(json!({"msgid": 9, "groupid": group}), 9).await;

    bob.done(json!({"msgid": 24, "groupid": group})).await;
    cem.join(group).await;
}

#[tokio::test]
async fn beyond_the_failed_logins_of_a_minute_comes_errno_10_for_that_address_and_user_only() {
    let cluster = Cluster::of(1, |config| config.limits.failed_logins_per_minute = 3).await;
    cluster.account("ann").await;
    cluster.account("bob").await;
    let mut thief = cluster.connect().await;
    for _ in 0..3 {
        thief.refused(json!({"msgid": 1, "name": "ann", "password": "guess"}), 1).await;
    }

    let reply = thief.refused(json!({"msgid": 1, "name": "ann", "password": PASSWORD}), 10).await;

    assert!(reply["retry_ms"].as_u64().is_some_and(|wait| (1..=20_000).contains(&wait)), "{reply}");
    thief.login("bob").await;
    let elsewhere = chat_client::Options { local_address: Some([127, 0, 0, 3].into()), ..options(cluster.address(0)) };
    Peer::connect_with(&elsewhere).await.login("ann").await;
}

#[tokio::test]
async fn guessing_by_name_and_by_id_counts_together() {
    let cluster = Cluster::of(1, |config| config.limits.failed_logins_per_minute = 4).await;
    let ann = cluster.account("ann").await;
    let mut thief = cluster.connect().await;
    for _ in 0..2 {
        thief.refused(json!({"msgid": 1, "name": "ann", "password": "guess"}), 1).await;
        thief.refused(json!({"msgid": 1, "id": ann, "password": "guess"}), 1).await;
    }

    thief.refused(json!({"msgid": 1, "name": "ann", "password": "guess"}), 10).await;
    thief.refused(json!({"msgid": 1, "id": ann, "password": "guess"}), 10).await;
}

#[tokio::test]
async fn good_logins_do_not_use_up_the_limit() {
    let cluster = Cluster::of(1, |config| config.limits.failed_logins_per_minute = 2).await;
    let mut ann = cluster.user("ann").await;
    for _ in 0..5 {
        ann.log_out().await;
        ann.login("ann").await;
    }
}

#[tokio::test]
async fn beyond_the_message_rate_reading_slows_and_nothing_is_refused_at_first() {
    let cluster = Cluster::of(1, |config| {
        config.limits.messages_per_second = 100;
        config.limits.message_burst = 10;
    })
    .await;
    let (mut ann, mut bob) = cluster.friends().await;
    let start = Instant::now();

    for n in 0..60 {
        ann.send(json!({"msgid": 6, "toid": bob.id, "msg": n.to_string(), "mid": fresh_mid()})).await;
    }

    assert_eq!(bob.pushes(60).await.len(), 60);
    // Fifty messages past the burst cannot be taken sooner than at this rate: a bound from below, whatever the machine.
    assert!(start.elapsed().as_millis() >= 490, "{:?}", start.elapsed());
    for _ in 0..60 {
        assert_eq!(ann.frame().await["errno"], 0);
    }
}

#[tokio::test]
async fn reconnecting_does_not_refill_the_burst() {
    const BURST: usize = 50;
    let cluster = Cluster::of(1, |config| {
        config.limits.messages_per_second = 100;
        config.limits.message_burst = BURST as u32;
    })
    .await;
    let (mut ann, bob) = cluster.friends().await;
    let start = Instant::now();

    for round in 0..4 {
        for n in 0..BURST {
            ann.send(json!({"msgid": 6, "toid": bob.id, "msg": n.to_string(), "mid": fresh_mid()})).await;
        }
        for _ in 0..BURST {
            assert_eq!(ann.frame().await["errno"], 0);
        }
        // By every way in which a session can end and the next begin.
        match round {
            0 => ann.log_out().await,
            1 => {
                let mut other = cluster.connect().await;
                other.take_over("ann").await;
                ann = other;
                continue;
            }
            _ => {
                let id = ann.id;
                ann = cluster.connect().await;
                cluster.gone(id).await;
            }
        }
        ann.login("ann").await;
    }

    // Three bursts past the first cannot be taken sooner than at this rate: a bound from below, whatever the machine.
    assert!(start.elapsed().as_millis() >= 1_490, "{:?}", start.elapsed());
}

#[tokio::test]
async fn after_five_seconds_of_that_comes_errno_10_and_nothing_refused_is_delivered() {
    const UNANSWERED: u64 = 100;
    let cluster = Cluster::of(1, |config| {
        config.limits.messages_per_second = 50;
        config.limits.message_burst = 50;
    })
    .await;
    let (mut ann, mut bob) = cluster.friends().await;

    // There is always more to read than the node wants to.
    let (mut sent, mut accepted, mut refused) = (0, 0, Vec::new());
    while refused.is_empty() || sent > accepted + refused.len() as u64 {
        while refused.is_empty() && sent < accepted + UNANSWERED {
            ann.send(json!({"msgid": 6, "toid": bob.id, "msg": sent.to_string(), "mid": fresh_mid()})).await;
            sent += 1;
        }
        let ack = ann.frame().await;
        match ack["errno"].as_u64() {
            Some(0) => accepted += 1,
            _ => refused.push(ack),
        }
    }

    for ack in refused {
        assert_eq!(ack["errno"], 10, "{ack}");
        assert!(ack["retry_ms"].is_u64(), "{ack}");
    }
    assert!(accepted >= 250, "five seconds at this rate, but only {accepted}");
    assert_eq!(bob.pushes(accepted as usize).await.len() as u64, accepted);
    assert_eq!(bob.pushed_by_now().await, [] as [Value; 0]);
}

#[tokio::test]
async fn beyond_max_frame_bytes_comes_notice_9() {
    let cluster = Cluster::of(1, |config| config.limits.max_frame_bytes = 1_000).await;
    let mut ann = cluster.user("ann").await;

    ann.send(json!({"msgid": 19, "filler": "x".repeat(1_000)})).await;

    assert_eq!(ann.notice().await, 9);
}
