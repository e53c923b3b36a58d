//! Promise: Redis only speeds things up (G7). Whatever becomes of one of two, and where nodes see different ones,
//! messages come long before the next look into the log is due.
//! Fault: one Redis is killed, or stands still; nodes have none in common.

use crate::support::cluster::{count, database, start_node_over};
use crate::support::faulty::Faulty;
use crate::support::{BUDGET, Peer, eventually};
use chat::node::Node;
use chat::storage::Storage;
use services::redis::Redis;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks into the log: far beyond what a test waits for a message.
const REPAIR_INTERVAL_S: u64 = 3_600;

async fn redis() -> Redis {
    Redis::start().await.expect("redis starts")
}

async fn start_node(name: &str, storage: &Arc<dyn Storage>, redis: &[&Redis]) -> Node {
    start_node_over(redis, name, storage, |config| config.limits.repair_interval_s = REPAIR_INTERVAL_S).await
}

/// Says some things that all arrive, once and in order.
async fn chat(ann: &mut Peer, bob: &mut Peer, about: &str) {
    for number in 0..20 {
        let text = format!("{about} {number}");
        ann.tell(bob.id, &text).await;
        assert_eq!(bob.push().await["msg"], text.as_str());
    }
}

#[tokio::test]
async fn messages_reach_another_node_whichever_redis_dies() {
    let storage = database().await;
    let mut redis = [redis().await, redis().await];
    let here = start_node("a", &storage, &[&redis[0], &redis[1]]).await;
    let there = start_node("b", &storage, &[&redis[0], &redis[1]]).await;
    let (mut ann, mut bob) =
        (Peer::new_user(here.address(), "ann").await, Peer::new_user(there.address(), "bob").await);
    ann.befriend(bob.id).await;
    chat(&mut ann, &mut bob, "both").await;

    for dies in [0, 1] {
        redis[dies].kill().expect("redis can be killed");
        chat(&mut ann, &mut bob, "one is dead").await;
        redis[dies].restart_empty().await.expect("redis starts again");
        chat(&mut ann, &mut bob, "it is back").await;
        redis[dies].pause().expect("redis can be stopped");
        chat(&mut ann, &mut bob, "it stands still").await;
        redis[dies].resume().expect("redis can go on");
        chat(&mut ann, &mut bob, "it goes on").await;
    }
}

#[tokio::test]
async fn nodes_that_see_different_redis_read_the_log() {
    let storage = database().await;
    let (one, other) = (redis().await, redis().await);
    let faulty = Faulty::new(storage.clone());
    let here = start_node("a", &storage, &[&one]).await;
    let there = start_node("b", &(faulty.clone() as Arc<dyn Storage>), &[&other]).await;
    let (mut ann, mut bob) =
        (Peer::new_user(here.address(), "ann").await, Peer::new_user(there.address(), "bob").await);
    ann.befriend(bob.id).await;

    for text in ["first", "second", "third"] {
        ann.tell(bob.id, text).await;
        assert_eq!(bob.push().await["msg"], text);
    }
    // And oftener than it is noticed that the other node is silent.
    eventually(BUDGET, "the log is read again and again", async || {
        (count(&there, "chat_sweeps_total") > count(&there, "chat_bus_silences_total") + 10).then_some(())
    })
    .await;
    assert_eq!(count(&there, "chat_bus_unheard"), 1);

    // But seldom where the database does not answer.
    let began = Instant::now();
    faulty.fail_in("changes", 3);
    eventually(BUDGET, "three looks fail", async || faulty.has_failed_enough("changes").then_some(())).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "after {:?}", began.elapsed());
}
