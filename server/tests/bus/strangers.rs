//! Whoever can publish at Redis speaks for nobody: not with bytes of its own, not with what it recorded, and not with
//! what another cluster says there.

use super::*;

async fn join(redis: &Redis, key: NodeKey, secret: &ClusterSecret) -> Node {
    let mut node = connect_with(&settings(redis.url()), key, secret);
    assert_eq!(node.arrival().await, Arrival::Resubscribed);
    node
}

fn key(name: &str, boot: i64) -> NodeKey {
    NodeKey { id: name.into(), boot }
}

#[tokio::test]
async fn nobody_without_the_clusters_key_is_believed() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, key("one", 1), &SECRET).await, join(&redis, key("two", 1), &SECRET).await);
    one.send(&two, 1);
    assert_eq!(two.receive(&one, 1).await, [1]);

    let forged = envelope_for(&two, &OTHER_SECRET, &one.key, 2, [&item(99)]);
    let for_another = envelope_for(&one, &SECRET, &one.key, 2, [&item(99)]);
    let mut changed = envelope_for(&two, &SECRET, &one.key, 2, [&item(99)]);
    *changed.last_mut().expect("some bytes") ^= 1;
    let unsigned = [&[envelope::VERSION], &changed[33..]].concat();
    for payload in [&forged, &for_another, &changed, &unsigned] {
        publish(&redis, &two, payload).await;
    }
    one.send(&two, 2);

    assert_eq!(two.receive(&one, 1).await, [2], "and nothing counts as lost");
    assert_eq!(two.read(|stats| &stats.forged), 4);
    assert_eq!(two.read(|stats| &stats.undecodable), 0);
}

#[tokio::test]
async fn what_was_recorded_is_not_believed_again() {
    let redis = start().await;
    let mut two = join(&redis, key("two", 1), &SECRET).await;
    let recorded = |boot, number, user| envelope_for(&two, &SECRET, &key("one", boot), number, [&item(user)]);
    let envelopes = [recorded(1, 8, 1), recorded(2, 1, 2), recorded(2, 2, 3), recorded(2, 3, 4)];
    let [earlier, first, second, last] = &envelopes;

    for payload in [earlier, first, second, first, second, earlier, last] {
        publish(&redis, &two, payload).await;
    }

    let mut users = Vec::new();
    while users.last() != Some(&4) {
        match two.arrival().await {
            Arrival::Items { items, .. } => users.extend(users_of(items)),
            other => panic!("{other:?} instead of items"),
        }
    }
    assert_eq!(users, [1, 2, 3, 4]);
}

#[tokio::test]
async fn two_clusters_on_one_redis_do_not_hear_each_other() {
    let redis = start().await;
    let (one, mut two) = (join(&redis, key("one", 1), &SECRET).await, join(&redis, key("two", 1), &SECRET).await);
    let their_one = join(&redis, key("one", 2), &OTHER_SECRET).await;
    let mut their_two = join(&redis, key("two", 2), &OTHER_SECRET).await;

    for user in 0..100 {
        one.send(&two, user);
        their_one.send(&their_two, 1_000 + user);
        if user % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }

    assert!(two.receive(&one, 100).await.into_iter().eq(0..100));
    assert!(their_two.receive(&their_one, 100).await.into_iter().eq(1_000..1_100));
    assert!(two.read(|stats| &stats.forged) > 0 && their_two.read(|stats| &stats.forged) > 0);
}
