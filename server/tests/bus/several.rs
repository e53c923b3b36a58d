//! Two Redis that know nothing of each other: whatever becomes of one, items arrive through the other, none twice.

use super::*;
use tokio::time::{Instant, timeout_at};

/// Between two items of a conversation that goes on.
const PACE: Duration = Duration::from_millis(20);

async fn join(redis: &[&Redis], name: &str) -> Node {
    let urls: Vec<String> = redis.iter().map(|redis| redis.url()).collect();
    let mut node = connect_with(&settings(urls.join(",")), NodeKey { id: name.into(), boot: 1 }, &SECRET);
    assert_eq!(node.arrival().await, Arrival::Resubscribed);
    eventually(SOON, "every Redis works", async || node.bus.links().iter().all(|link| link.works).then_some(())).await;
    node
}

/// Two nodes that know each other: one says items to the other, numbered from 1.
struct Talk {
    one: Node,
    two: Node,
    /// The item to be said next.
    next: u64,
    heard: Vec<u64>,
    /// How often the other was told that something is lost.
    losses: usize,
}

impl Talk {
    async fn between(one: &[&Redis], two: &[&Redis]) -> Talk {
        let (one, two) = (join(one, "one").await, join(two, "two").await);
        let peers = [one.key.clone(), two.key.clone()];
        one.bus.set_peers(&peers);
        two.bus.set_peers(&peers);
        Talk { one, two, next: 1, heard: Vec::new(), losses: 0 }
    }

    /// Both nodes over both Redis.
    async fn over(redis: &[Redis; 2]) -> Talk {
        let both = [&redis[0], &redis[1]];
        Talk::between(&both, &both).await
    }

    /// Says one item after the other until this is so.
    async fn until(&mut self, claim: &str, is_so: impl Fn(&Talk) -> bool) {
        let give_up_at = Instant::now() + RECOVERY;
        loop {
            self.one.send(&self.two, self.next);
            self.next += 1;
            self.listen().await;
            if is_so(self) {
                return;
            }
            assert!(Instant::now() < give_up_at, "{claim} did not come true; heard {:?}", self.heard);
        }
    }

    /// Says so many more items.
    async fn goes_on(&mut self, items: u64) {
        let end = self.next + items;
        self.until("so many items are said", |talk| talk.next >= end).await;
    }

    /// Goes on until the item that was said last has arrived; returns its number.
    async fn arrives(&mut self) -> u64 {
        let last = self.next - 1;
        self.until("what was said arrives", |talk| talk.heard.contains(&last)).await;
        last
    }

    /// Takes what arrives until the next item is due.
    async fn listen(&mut self) {
        let due_at = Instant::now() + PACE;
        while let Ok(Some(arrival)) = timeout_at(due_at, self.two.arrivals.recv()).await {
            match arrival {
                Arrival::Items { items, .. } => self.heard.extend(users_of(items)),
                Arrival::Lost { .. } => self.losses += 1,
                Arrival::Resubscribed => {}
            }
        }
        assert!(self.heard.is_sorted_by(|one, next| one < next), "doubled or out of order: {:?}", self.heard);
    }

    fn has_heard(&self, first: u64, last: u64) -> bool {
        (first..=last).all(|item| self.heard.contains(&item))
    }

    /// Whether a Redis works for the one who says something.
    fn works(&self, redis: usize) -> bool {
        self.one.bus.links()[redis].works
    }

    /// A Redis that something goes through: to the other node, or to the own one.
    fn used(&self) -> usize {
        let links = self.one.bus.links();
        links.iter().position(|link| link.works && link.channels > 0).expect("one is used")
    }
}

#[tokio::test]
async fn killed_redis_is_left_at_once() {
    for killed in 0..2 {
        let mut redis = [start().await, start().await];
        let mut talk = Talk::over(&redis).await;
        talk.goes_on(50).await;

        redis[killed].kill().expect("redis can be killed");
        let first = talk.next;
        talk.goes_on(150).await;
        let last = talk.arrives().await;

        assert!(talk.has_heard(1, last) || talk.losses > 0, "what died inside redis is told: {:?}", talk.heard);
        assert!(talk.has_heard(first + 50, last), "{:?}", talk.heard);
        assert!(!talk.works(killed) && talk.works(1 - killed));
    }
}

#[tokio::test]
async fn stopped_redis_is_left_and_used_again() {
    let redis = [start().await, start().await];
    let mut talk = Talk::over(&redis).await;
    talk.goes_on(50).await;
    let stopped = talk.used();

    redis[stopped].pause().expect("redis can be stopped");
    talk.until("it is left", |talk| !talk.works(stopped)).await;
    let first = talk.next;
    talk.goes_on(100).await;
    let last = talk.arrives().await;
    assert!(talk.has_heard(first, last), "{:?}", talk.heard);

    redis[stopped].resume().expect("redis can go on");
    talk.until("it is used again", |talk| talk.works(stopped)).await;
    talk.arrives().await;
}

#[tokio::test]
async fn split_nodes_meet_where_they_can() {
    let (own, others, common) = (start().await, start().await, start().await);
    let mut talk = Talk::between(&[&own, &common], &[&others, &common]).await;

    talk.until("items arrive", |talk| !talk.heard.is_empty()).await;
    let first = talk.next;
    talk.goes_on(100).await;
    let last = talk.arrives().await;

    assert!(talk.has_heard(first, last), "{:?}", talk.heard);
}

#[tokio::test]
async fn nodes_without_a_redis_in_common_look_into_the_log() {
    let (own, others) = (start().await, start().await);
    let mut talk = Talk::between(&[&own], &[&others]).await;

    talk.until("it is told, again and again", |talk| talk.losses >= 3).await;

    assert_eq!(talk.heard, Vec::<u64>::new());
    assert!(talk.two.bus.is_connected() && talk.two.read(|stats| &stats.silences) >= 3);
}

#[tokio::test]
async fn demoted_redis_doubles_nothing() {
    for demoted in 0..2 {
        let redis = [start().await, start().await];
        let mut talk = Talk::over(&redis).await;
        talk.goes_on(50).await;

        let port = redis[1 - demoted].address().port().to_string();
        redis[demoted].command(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]).await.expect("redis obeys");
        let linked = async || {
            let info = redis[demoted].command(&[b"INFO", b"replication"]).await.ok()?;
            info.contains("master_link_status:up").then_some(())
        };
        eventually(RECOVERY, "it follows the other", linked).await;
        let first = talk.next;
        talk.goes_on(150).await;
        let last = talk.arrives().await;

        assert!(talk.has_heard(first, last), "{:?}", talk.heard);
    }
}

#[tokio::test]
async fn redis_that_refuses_to_publish_is_left_at_once() {
    let redis = [start().await, start().await];
    let mut talk = Talk::over(&redis).await;
    talk.goes_on(50).await;

    redis[0].command(&[b"ACL", b"SETUSER", b"default", b"-publish"]).await.expect("redis forbids publishing");
    talk.goes_on(150).await;
    let last = talk.arrives().await;

    assert!(talk.has_heard(1, last), "{:?}", talk.heard);
    assert!(!talk.works(0));
}
