//! Much of what is not allowed.

use super::beside_a_healthy_pair;
use crate::support::{Cluster, Peer, Value, fresh_mid, json};
use chat::config::Config;
use std::time::Duration;

/// Sends the request so many times at once; returns the errno of each reply.
async fn flood(peer: &mut Peer, count: usize, request: impl Fn(usize) -> Value) -> Vec<u64> {
    const AT_ONCE: usize = 100;
    let mut errnos = Vec::with_capacity(count);
    for n in 0..count {
        let mut request = request(n);
        request["mid"] = fresh_mid().into();
        peer.send(request).await;
        if (n + 1) % AT_ONCE == 0 {
            for _ in 0..AT_ONCE {
                errnos.push(peer.frame().await["errno"].as_u64().expect("a reply"));
            }
        }
    }
    errnos
}

/// A group of Ann's in which Eve has no business.
async fn closed_circle(cluster: &Cluster) -> (Peer, Peer, u64) {
    let (mut ann, eve) = (cluster.user("ann").await, cluster.user("eve").await);
    let group = ann.create_group("go").await;
    (ann, eve, group)
}

#[tokio::test]
async fn floods_of_a_non_member_are_refused_one_by_one() {
    const COUNT: usize = 1_000;
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let (mut ann, mut eve, group) = closed_circle(cluster).await;
            let toid = ann.id;
            for request in [
                json!({"msgid": 10, "groupid": group, "msg": "spam"}),
                json!({"msgid": 10, "groupid": group, "msg": "spam", "qos": 0}),
                json!({"msgid": 6, "toid": toid, "msg": "spam"}),
                json!({"msgid": 17, "groupid": group}),
            ] {
                let errnos = flood(&mut eve, COUNT, |_| request.clone()).await;
                assert!(errnos.iter().all(|errno| *errno == 7), "{request}: {errnos:?}");
            }
            let errnos = flood(&mut eve, COUNT, |n| json!({"msgid": 9, "groupid": 1_000_000 + n})).await;
            assert!(errnos.iter().all(|errno| *errno == 6), "{errnos:?}");
            assert_eq!(ann.pushed_by_now().await, [] as [Value; 0]);
        },
    )
    .await;
}

#[tokio::test]
async fn joining_and_leaving_over_and_over_leaves_the_group_as_it_was() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let (mut ann, mut eve, group) = closed_circle(cluster).await;
            let errnos =
                flood(&mut eve, 500, |n| json!({"msgid": if n % 2 == 0 { 9 } else { 24 }, "groupid": group})).await;
            assert!(errnos.iter().all(|errno| *errno == 0), "{errnos:?}");
            let users = ann.done(json!({"msgid": 26})).await["groups"][0]["users"].clone();
            assert_eq!(users.as_array().map(Vec::len), Some(1));
        },
    )
    .await;
}

#[tokio::test]
async fn a_flood_of_received_beyond_backwards_and_foreign_changes_nothing() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            let (mut ann, mut bob) = cluster.friends().await;
            ann.tell(bob.id, "waits").await;
            let push = bob.push().await;
            let mut eve = cluster.user("eve").await;
            for n in 0..2_000u64 {
                let seq = if n % 2 == 0 { 1_000_000 + n } else { 0 };
                bob.send(json!({"msgid": 16, "conv": push["conv"], "seq": seq})).await;
                eve.send(json!({"msgid": 16, "conv": push["conv"], "seq": 1})).await;
            }
            eve.done(json!({"msgid": 19})).await;
            bob.log_out().await;
            assert_eq!(bob.login("bob").await["offline"], 1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_thousand_wrong_passwords_are_slowed_down_and_lock_out_nobody_else() {
    beside_a_healthy_pair(
        |_| {},
        async |cluster| {
            cluster.account("ann").await;
            let mut thief = cluster.connect().await;
            let guess = |n: usize| json!({"msgid": 1, "name": "ann", "password": format!("guess {n}")});
            let errnos = flood(&mut thief, 1_000, guess).await;

            // The bucket holds 20, and fills by one in three seconds.
            let looked_at = errnos.iter().filter(|errno| **errno == 1).count();
            assert!((20..60).contains(&looked_at), "{looked_at} guesses were looked at");
            assert!(errnos.iter().all(|errno| matches!(errno, 1 | 10)), "{errnos:?}");
            let local_address = Some([127, 0, 0, 2].into());
            let elsewhere = chat_client::Options { local_address, ..crate::support::peer::options(cluster.address(0)) };
            Peer::connect_with(&elsewhere).await.login("ann").await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_that_only_asks_and_never_reads_is_read_no_further() {
    const QUEUE_BYTES: usize = 16 * 1_024;
    const PAGE_BYTES: usize = 100_000;
    beside_a_healthy_pair(
        |config| config.limits.queue_bytes = QUEUE_BYTES,
        async |cluster| {
            let (mut user, friend) = cluster.friend_offline().await;
            for _ in 0..2 {
                user.tell(friend, &"x".repeat(PAGE_BYTES / 2)).await;
            }
            let mut asked = Vec::new();
            for _ in 0..1_000 {
                chat_client::append_frame(&json!({"msgid": 17, "toid": friend}), &mut asked);
            }
            // The kernel's buffers fill up in both directions, and then somebody has to give way.
            while user.raw.send_bytes(&asked).await.is_ok() {
                let queued = cluster.node(0).metrics().queue_bytes.get();
                assert!(queued < (2 * QUEUE_BYTES + 2 * PAGE_BYTES) as i64, "{queued} bytes wait for clients");
            }
            cluster.gone(user.id).await;
        },
    )
    .await;
}

#[tokio::test]
async fn short_answers_that_nobody_reads_are_bounded_too() {
    const QUEUE_BYTES: usize = 16 * 1_024;
    /// So many chats may be under way to a writer when reading stops, and each is answered.
    const UNANSWERED: usize = 1_024;
    const ANSWER_BYTES: usize = 256;
    /// A full queue stays full until the client is given up.
    const LOOK_INTERVAL: Duration = Duration::from_millis(1);
    let set = |config: &mut Config| {
        config.limits.queue_bytes = QUEUE_BYTES;
        config.limits.messages_per_second = 0;
    };
    beside_a_healthy_pair(set, async |cluster| {
        let (mut user, friend) = cluster.friend_offline().await;
        let mut asked = Vec::new();
        for n in 0..1_000 {
            let chat = json!({"msgid": 6, "mid": fresh_mid(), "toid": friend, "msg": "hello"});
            let refused = json!({"msgid": 6, "mid": fresh_mid(), "toid": user.id, "msg": "hello"});
            let malformed = json!({"msgid": 10, "mid": fresh_mid(), "groupid": "five", "msg": n});
            for request in [json!({"msgid": 19}), chat, refused, malformed, json!({"msgid": 99})] {
                chat_client::append_frame(&request, &mut asked);
            }
        }
        let mut most_queued = 0;
        let sending = async { while user.raw.send_bytes(&asked).await.is_ok() {} };
        let watching = async {
            loop {
                most_queued = most_queued.max(cluster.node(0).metrics().queue_bytes.get());
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = watching => {}
        }
        cluster.gone(user.id).await;
        let bound = (2 * QUEUE_BYTES + UNANSWERED * ANSWER_BYTES) as i64;
        assert!(most_queued <= bound, "{most_queued} bytes waited for clients");
        assert!(most_queued > QUEUE_BYTES as i64, "{most_queued} bytes waited: the queue was never full");
    })
    .await;
}
