//! Frames that are none, and requests that make no sense, before and after login.

use super::beside_a_healthy_pair;
use crate::support::{Cluster, PASSWORD, Peer, Value, fresh_mid, json};
use chat_client::append_frame;

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes().to_vec();
    frame.extend(payload);
    frame
}

/// Both a stranger and a user get this errno in a NOTICE, and are closed.
async fn check_notice(cluster: &Cluster, name: &str, bytes: &[u8], errno: u8) {
    for mut peer in [cluster.connect().await, cluster.user(name).await] {
        peer.raw.send_bytes(bytes).await.expect("sends");
        assert_eq!(peer.notice().await, errno, "{name}");
    }
}

#[tokio::test]
async fn broken_frames_get_a_notice_and_are_closed() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let deep = |open: &str, close: &str| {
                frame(format!("{{\"msgid\":19,\"x\":{}{}}}", open.repeat(10_000), close.repeat(10_000)).as_bytes())
            };
            let cases: [(&str, Vec<u8>, u8); 16] = [
                ("length 0", frame(b""), 4),
                ("one byte too long", vec![0, 1, 0, 1], 9),
                ("the longest", vec![0, 0xFF, 0xFF, 0xFF], 9),
                ("invalid UTF-8", frame(b"{\"msgid\":19,\"x\":\"\xff\"}"), 4),
                ("overlong UTF-8", frame(b"{\"msgid\":19,\"x\":\"\xc0\x80\"}"), 4),
                ("a surrogate half", frame(b"{\"msgid\":19,\"x\":\"\xed\xa0\x80\"}"), 4),
                ("a NUL", frame(b"{\"msgid\":19}\0"), 4),
                ("a NUL in a string", frame(b"{\"msgid\":19,\"x\":\"\0\"}"), 4),
                ("arrays 10,000 deep", deep("[", "]"), 4),
                ("objects 5,000 deep", frame("{\"x\":".repeat(5_000).as_bytes()), 4),
                ("duplicate keys", frame(b"{\"msgid\":19,\"msgid\":3}"), 4),
                ("escaped duplicate keys", frame(b"{\"msgid\":19,\"x\":1,\"\\u0078\":2}"), 4),
                ("no object", frame(b"[19]"), 4),
                ("two objects", frame(b"{\"msgid\":19}{\"msgid\":19}"), 4),
                ("no msgid", frame(b"{\"id\":19}"), 4),
                ("cut off", frame(b"{\"msgid\":19"), 4),
            ];
            for (name, bytes, errno) in cases {
                check_notice(cluster, name, &bytes, errno).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_negative_length_is_no_dialect_at_first_and_too_long_later() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let mut stranger = cluster.connect().await;
            stranger.raw.send_bytes(&[0xFF; 4]).await.expect("sends");
            assert_eq!(stranger.raw.expect_close().await.expect("closes"), [] as [Value; 0]);
            let mut user = cluster.user("user").await;
            user.raw.send_bytes(&[0xFF; 4]).await.expect("sends");
            assert_eq!(user.notice().await, 9);
        },
    )
    .await;
}

#[tokio::test]
async fn a_msgid_that_is_no_integer_closes() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            for (place, msgid) in ["null", "\"1\"", "1.5", "[]", "{}", "true", "1e-1"].iter().enumerate() {
                check_notice(cluster, &place.to_string(), &frame(format!("{{\"msgid\":{msgid}}}").as_bytes()), 4).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn wrong_types_and_huge_numbers_get_an_errno_and_the_connection_lives_on() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let mut user = cluster.user("user").await;
            let huge: Value = serde_json::from_str("123456789012345678901234567890").expect("a number");
            for bad in
                [json!(null), json!("1"), json!(true), json!([1]), json!({"a": 1}), json!(1.5), json!(-1), json!(0)]
            {
                for (msgid, field) in [(6, "toid"), (7, "friendid"), (9, "groupid"), (17, "toid"), (24, "groupid")] {
                    user.refused(json!({"msgid": msgid, field: bad, "msg": "x"}), 4).await;
                }
                user.refused(json!({"msgid": 17, "groupid": 1, "limit": bad}), 4).await;
            }
            for id in [json!(1u64 << 53), json!(u64::MAX), json!(1e300), huge] {
                user.refused(json!({"msgid": 7, "friendid": id}), 5).await;
                user.refused(json!({"msgid": 9, "groupid": id}), 6).await;
                user.refused(json!({"msgid": 26, "id": id}), 7).await;
            }
            for bad in [json!(null), json!(1), json!([]), json!({})] {
                user.refused(json!({"msgid": 6, "toid": 1, "msg": bad}), 4).await;
                user.refused(json!({"msgid": 8, "groupname": bad, "groupdesc": ""}), 4).await;
            }
            user.refused(json!({"msgid": 6, "toid": 1, "msg": "x", "qos": 2}), 4).await;
            user.done(json!({"msgid": 26})).await;
        },
    )
    .await;
}

#[tokio::test]
async fn requests_before_login_and_for_someone_else_are_refused() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let mut stranger = cluster.connect().await;
            for msgid in [3, 6, 7, 8, 9, 10, 17, 22, 24, 26, 28] {
                stranger.refused(json!({"msgid": msgid, "id": 1, "toid": 2, "msg": "x"}), 3).await;
            }
            stranger.refused(json!({"msgid": 99}), 17).await;
            let mut user = cluster.user("user").await;
            user.refused(json!({"msgid": 6, "id": 1, "toid": 2, "msg": "x"}), 7).await;
            user.refused(json!({"msgid": 3, "id": 1}), 7).await;
            user.refused(json!({"msgid": 1, "name": "healthy sender", "password": PASSWORD}), 2).await;
            stranger.refused(json!({"msgid": 1, "name": "healthy sender", "password": PASSWORD}), 2).await;
            stranger.refused(json!({"msgid": 1, "name": "' OR 1=1 --", "password": "' OR 1=1 --"}), 1).await;
        },
    )
    .await;
}

/// Ends a connection with a reset: what it had not read is destroyed.
fn reset(peer: Peer) {
    let address = peer.raw.local_address().expect("an address");
    crate::support::with_socket_from(address, |socket| {
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("lingers")
    });
    drop(peer);
}

#[tokio::test]
async fn truncation_and_reset_in_the_middle_of_a_frame_leave_nothing_behind() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let sessions = cluster.node(0).metrics().sessions.get();
            let mut half = Vec::new();
            append_frame(&json!({"msgid": 6, "toid": 1, "msg": "x".repeat(1_000), "mid": fresh_mid()}), &mut half);
            half.truncate(500);
            for n in 0..10 {
                for mut peer in [cluster.connect().await, cluster.user(&format!("user {n}")).await] {
                    peer.raw.send_bytes(&half).await.expect("sends");
                    if n % 2 == 0 { reset(peer) } else { drop(peer) }
                }
            }
            crate::support::eventually(crate::support::BUDGET, "their sessions have ended", async || {
                (cluster.node(0).metrics().sessions.get() == sessions).then_some(())
            })
            .await;
            cluster.login("user 0").await;
        },
    )
    .await;
}
