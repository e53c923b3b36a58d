//! Clients that say nothing, or say it very slowly.

use super::beside_a_healthy_pair;
use crate::support::peer::options;
use crate::support::{BUDGET, Cluster, PASSWORD, Peer, Value, eventually, json};
use chat_client::RawConnection;
use chat_client::append_frame;
use std::time::Duration;

/// Between two bytes of a frame that drips in: it would take twenty minutes.
const DRIP: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_frame_that_drips_in_is_given_its_time_and_no_more() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let (mut stranger, mut user) = (cluster.connect().await, cluster.user("user").await);
            let mut long = Vec::new();
            append_frame(&json!({"msgid": 19, "filler": "x".repeat(60_000)}), &mut long);
            let mut left = [true, true];
            for byte in long {
                for (peer, left) in [&mut stranger, &mut user].into_iter().zip(&mut left) {
                    *left = *left && peer.raw.send_bytes(&[byte]).await.is_ok();
                }
                if left == [false, false] {
                    break;
                }
                tokio::time::sleep(DRIP).await;
            }
            assert_eq!(left, [false, false], "both were closed in the middle");
        },
    )
    .await;
}

#[tokio::test]
async fn a_frame_that_stops_in_the_middle_gets_notice_16() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let mut peers = Vec::new();
            for bytes in [&b"\0"[..], b"\0\0\0", b"\0\0\0\x10{\"msg"] {
                let mut peer = cluster.connect().await;
                peer.raw.send_bytes(bytes).await.expect("sends");
                peers.push(peer);
            }
            for mut peer in peers {
                assert_eq!(peer.notice().await, 16);
            }
        },
    )
    .await;
}

/// The next frame's time runs only while the node reads: a slow answer to the request before it is not the client's
/// fault.
#[tokio::test]
async fn a_frame_behind_a_slow_request_is_not_late() {
    let cluster = Cluster::of(1, |config| config.limits.frame_timeout_s = 1).await;
    // A dead node holds the session: the takeover waits for seconds, then says when to come back.
    let user = cluster.account("user").await;
    let key = chat::cluster::NodeKey { id: "dead".into(), boot: 1 };
    let claims = [chat::storage::Claim { user, takeover: None, token_generation: None }];
    cluster.storage.start_node(&key).await.expect("starts");
    cluster.storage.claim_sessions(&key, &claims).await.expect("claims");
    let mut bytes = Vec::new();
    append_frame(&json!({"msgid": 1, "id": user, "password": PASSWORD, "takeover": true}), &mut bytes);
    append_frame(&json!({"msgid": 19}), &mut bytes);
    let (first, rest) = bytes.split_at(1);
    let (most, last) = rest.split_at(rest.len() - 1);

    let mut peer = cluster.connect().await;
    let read = &cluster.node(0).metrics().bytes_received_total;
    let before = read.get();
    peer.raw.send_bytes(first).await.expect("sends");
    eventually(BUDGET, "the first byte is read by itself", async || (read.get() > before).then_some(())).await;
    peer.raw.send_bytes(most).await.expect("sends");
    assert_eq!(peer.frame().await["errno"], 11);
    peer.raw.send_bytes(last).await.expect("sends");

    assert_eq!(peer.frame().await["msgid"], 20);
}

#[tokio::test]
async fn silence_before_login_ends_at_its_time() {
    beside_a_healthy_pair(
        |config| config.limits.prelogin_timeout_s = 1,
        async |cluster| {
            let mut silent = cluster.connect().await;
            let mut spoke_once = cluster.connect().await;
            spoke_once.done(json!({"msgid": 19})).await;
            let mut logged_out = cluster.user("user").await;
            logged_out.log_out().await;

            assert_eq!(silent.raw.expect_close().await.expect("closes"), [] as [Value; 0], "no dialect, no notice");
            assert_eq!(spoke_once.notice().await, 16);
            assert_eq!(logged_out.notice().await, 16);
        },
    )
    .await;
}

#[tokio::test]
async fn a_user_who_answers_no_ping_is_given_up_after_two() {
    let cluster = Cluster::of(1, |config| config.limits.heartbeat_s = 1).await;
    let (mut mute, mut alive) = cluster.friends().await;
    let muted = mute.id;
    let answering = tokio::spawn(async move {
        let mut pings = 0;
        while pings < 4 {
            if alive.frame().await["msgid"] == 19 {
                alive.send(json!({"msgid": 20})).await;
                pings += 1;
            }
        }
    });

    let frames = mute.raw.expect_close().await.expect("closes");

    let msgids: Vec<_> = frames.iter().map(|frame| frame["msgid"].clone()).collect();
    assert_eq!(msgids, [19, 19, 21]);
    assert_eq!(frames[2]["errno"], 16);
    cluster.gone(muted).await;
    answering.await.expect("who answers stays");
}

/// Descriptors for both ends of five thousand connections, and for everything else in this process.
const DESCRIPTORS: u64 = 16_000;

fn allow_many_descriptors() {
    let limit = rlimit::increase_nofile_limit(DESCRIPTORS).expect("the limit on descriptors can be raised");
    assert!(limit >= DESCRIPTORS, "this test needs {DESCRIPTORS} descriptors, the hard limit is {limit}");
}

#[tokio::test]
async fn five_thousand_connections_that_say_nothing_are_in_nobodys_way() {
    const CONNECTIONS: usize = 5_000;
    allow_many_descriptors();
    beside_a_healthy_pair(
        |config| config.limits.prelogin_connections = 1_000,
        async |cluster| {
            let mut silent = Vec::with_capacity(CONNECTIONS);
            for _ in 0..CONNECTIONS {
                silent.push(RawConnection::connect(&options(cluster.address(0))).await.expect("connects"));
            }
            // Somebody who speaks gets in all the same.
            cluster.user("newcomer").await;
            eventually(BUDGET, "all but the newest are closed", async || {
                (cluster.node(0).metrics().connections.get() <= 1_010).then_some(())
            })
            .await;
            for raw in &mut silent[..CONNECTIONS - 1_000] {
                assert_eq!(raw.expect_close().await.expect("closes"), [] as [Value; 0]);
            }
        },
    )
    .await;
    Peer::connect(Cluster::one().await.address(0)).await.done(json!({"msgid": 19})).await;
}
