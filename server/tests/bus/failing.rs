//! One Redis that fails in every way it can: nothing is lost without being told, and traffic resumes by itself.

use super::*;

async fn join(redis: &Redis, name: &str) -> Node {
    let mut node = connect(redis, NodeKey { id: name.into(), boot: 1 });
    assert_eq!(node.arrival().await, Arrival::Resubscribed);
    node
}

/// Skips what else arrives until the subscription is up again.
async fn resubscribed(node: &mut Node) {
    while arrival_within(RECOVERY, &mut node.arrivals).await != Arrival::Resubscribed {}
}

/// Sends until something arrives: what is published before the other side is subscribed is lost by design.
async fn traffic_resumes(from: &Node, to: &mut Node) {
    eventually(RECOVERY, "items arrive again", async || {
        from.send(to, 99);
        let next = timeout(Duration::from_millis(100), to.arrivals.recv()).await;
        matches!(next, Ok(Some(Arrival::Items { .. }))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn gap_is_told_before_what_follows_it() {
    let redis = start().await;
    let mut two = join(&redis, "two").await;
    let one = NodeKey { id: "one".into(), boot: 7 };

    publish(&redis, &two, &envelope_for(&two, &SECRET, &one, 1, [&item(1)])).await;
    publish(&redis, &two, &envelope_for(&two, &SECRET, &one, 3, [&item(3)])).await;
    publish(&redis, &two, &envelope_for(&two, &SECRET, &one, 3, [&item(3)])).await;
    publish(&redis, &two, &envelope_for(&two, &SECRET, &one, 4, [])).await;

    assert_eq!(two.arrival().await, items("one", &[1]));
    assert_eq!(two.arrival().await, lost("one"));
    assert_eq!(two.arrival().await, items("one", &[3]));
    assert_eq!(two.arrival().await, lost("one"));
    assert_eq!(two.read(|stats| &stats.gaps), 2);
}

#[tokio::test]
async fn failed_publish_is_told_by_the_next_heartbeat() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, "one").await, join(&redis, "two").await);
    one.bus.set_peers(std::slice::from_ref(&two.key));
    one.send(&two, 1);
    assert_eq!(two.receive(&one, 1).await, [1]);

    redis.command(&[b"ACL", b"SETUSER", b"default", b"-publish"]).await.expect("redis forbids publishing");
    one.send(&two, 2);
    eventually(RECOVERY, "the item is given up", async || (one.read(|stats| &stats.dropped_items) == 1).then_some(()))
        .await;
    redis.command(&[b"ACL", b"SETUSER", b"default", b"+publish"]).await.expect("redis allows publishing");

    // The other node cannot publish either; should that last, it takes its subscription for dead meanwhile.
    while arrival_within(RECOVERY, &mut two.arrivals).await != lost("one") {}
    assert!(one.read(|stats| &stats.publish_failures) > 0);
    traffic_resumes(&one, &mut two).await;
}

#[tokio::test]
async fn own_heartbeat_measures_the_round_trip() {
    let redis = start().await;
    let one = join(&redis, "one").await;

    eventually(SOON, "the own heartbeat comes back", async || {
        (one.read(|stats| &stats.round_trip_micros) > 0).then_some(())
    })
    .await;

    assert!(one.bus.is_connected());
    assert!(one.read(|stats| &stats.received_envelopes) > 0);
}

#[tokio::test]
async fn foreign_payload_is_counted_and_ignored() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, "one").await, join(&redis, "two").await);

    for payload in [b"".as_slice(), b"hello", b"\x01", b"\x02\x00", &[0xff; 4096]] {
        publish(&redis, &two, payload).await;
    }
    one.send(&two, 1);

    assert_eq!(two.receive(&one, 1).await, [1]);
    assert_eq!(two.read(|stats| &stats.undecodable), 5);
}

#[tokio::test]
async fn redis_may_come_up_after_the_node() {
    let mut redis = Redis::down().expect("a free port");
    let one = connect(&redis, NodeKey { id: "one".into(), boot: 1 });
    let mut two = connect(&redis, NodeKey { id: "two".into(), boot: 1 });
    assert!(!two.bus.is_connected());

    redis.restart_empty().await.expect("redis starts");

    resubscribed(&mut two).await;
    assert!(two.bus.is_connected());
    traffic_resumes(&one, &mut two).await;
}

#[tokio::test]
async fn empty_restart_is_told_and_traffic_resumes() {
    let mut redis = start().await;
    let (one, mut two) = (join(&redis, "one").await, join(&redis, "two").await);
    one.send(&two, 1);
    assert_eq!(two.receive(&one, 1).await, [1]);

    redis.restart_empty().await.expect("redis starts again");

    resubscribed(&mut two).await;
    traffic_resumes(&one, &mut two).await;
    assert!(two.read(|stats| &stats.reconnects) > 0);
}

#[tokio::test]
async fn killed_redis_shows_in_readiness() {
    let mut redis = start().await;
    let one = join(&redis, "one").await;
    assert!(one.bus.is_connected());

    redis.kill().expect("redis can be killed");

    eventually(SOON, "the node knows", async || (!one.bus.is_connected()).then_some(())).await;
}

#[tokio::test]
async fn cut_off_subscriber_subscribes_again() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, "one").await, join(&redis, "two").await);

    redis.command(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]).await.expect("redis cuts its subscribers off");

    resubscribed(&mut two).await;
    traffic_resumes(&one, &mut two).await;
}

#[tokio::test]
async fn cut_off_publisher_connects_again() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, "one").await, join(&redis, "two").await);
    one.send(&two, 1);
    assert_eq!(two.receive(&one, 1).await, [1]);

    redis.command(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]).await.expect("redis cuts its publishers off");

    eventually(RECOVERY, "the publisher has connected again", async || {
        (one.read(|stats| &stats.reconnects) > 0).then_some(())
    })
    .await;
    traffic_resumes(&one, &mut two).await;
}

#[tokio::test]
async fn hanging_redis_is_noticed_without_a_broken_connection() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, "one").await, join(&redis, "two").await);

    redis.pause().expect("redis can be paused");
    eventually(RECOVERY, "the node gives the subscription up", async || (!two.bus.is_connected()).then_some(())).await;
    redis.resume().expect("redis can go on");

    resubscribed(&mut two).await;
    traffic_resumes(&one, &mut two).await;
}
