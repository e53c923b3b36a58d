//! Two Redis that know nothing of each other: whatever becomes of one, items arrive through the other, none twice.

use super::*;
use tokio::time::{Instant, sleep};

/// Between two items of a conversation that goes on.
const PACE: Duration = Duration::from_millis(20);

async fn join(redis: &[&Redis], name: &str) -> Node {
    let urls: Vec<String> = redis.iter().map(|redis| redis.url()).collect();
    let mut node = connect_with(&settings(urls.join(",")), NodeKey { id: name.into(), boot: 1 }, &SECRET);
    assert_eq!(node.arrival().await, Arrival::Resubscribed);
    eventually(SOON, "every Redis works", async || node.bus.links().iter().all(|link| link.works).then_some(())).await;
    node
}

/// Two nodes that know each other.
async fn pair(one: &[&Redis], two: &[&Redis]) -> (Node, Node) {
    let (one, two) = (join(one, "one").await, join(two, "two").await);
    let peers = [one.key.clone(), two.key.clone()];
    one.bus.set_peers(&peers);
    two.bus.set_peers(&peers);
    (one, two)
}

/// What a node has heard.
#[derive(Default)]
struct Heard {
    users: Vec<u64>,
    losses: usize,
}

impl Heard {
    /// Takes what has arrived by now.
    fn take(&mut self, node: &mut Node) {
        while let Ok(arrival) = node.arrivals.try_recv() {
            match arrival {
                Arrival::Items { items, .. } => self.users.extend(users_of(items)),
                Arrival::Lost { .. } => self.losses += 1,
                Arrival::Resubscribed => {}
            }
        }
        assert!(self.users.is_sorted_by(|one, next| one < next), "doubled or out of order: {:?}", self.users);
    }

    fn from(&self, first: u64, last: u64) -> bool {
        (first..=last).all(|user| self.users.contains(&user))
    }
}

/// Sends one item after the other until `is_enough` says so of what was sent and what is heard.
async fn chat(
    one: &Node,
    two: &mut Node,
    heard: &mut Heard,
    next: &mut u64,
    claim: &str,
    is_enough: impl Fn(u64, &Heard) -> bool,
) {
    let give_up_at = Instant::now() + RECOVERY;
    loop {
        one.send(two, *next);
        *next += 1;
        sleep(PACE).await;
        heard.take(two);
        if is_enough(*next, heard) {
            return;
        }
        assert!(Instant::now() < give_up_at, "{claim} did not come true; heard {:?}", heard.users);
    }
}

/// Which of the two Redis the second node is reached through.
fn used(one: &Node) -> usize {
    // The own channel goes somewhere as well, so this counts only while both go the same way or one goes each.
    let links = one.bus.links();
    links.iter().position(|link| link.works && link.channels > 0).expect("one is used")
}

#[tokio::test]
async fn killed_redis_is_left_at_once() {
    for killed in 0..2 {
        let mut redis = [start().await, start().await];
        let (one, mut two) = pair(&[&redis[0], &redis[1]], &[&redis[0], &redis[1]]).await;
        let (mut heard, mut next) = (Heard::default(), 1);
        chat(&one, &mut two, &mut heard, &mut next, "chatting", |next, _| next > 50).await;

        redis[killed].kill().expect("redis can be killed");
        let first = next;
        chat(&one, &mut two, &mut heard, &mut next, "going on", |next, _| next > first + 150).await;
        let last = next - 1;
        chat(&one, &mut two, &mut heard, &mut next, "all arrive", |_, heard| heard.users.contains(&last)).await;

        assert!(heard.from(1, last) || heard.losses > 0, "what died inside redis is told: {:?}", heard.users);
        assert!(heard.from(first + 50, last), "{:?}", heard.users);
        assert!(!one.bus.links()[killed].works && one.bus.links()[1 - killed].works);
    }
}

#[tokio::test]
async fn stopped_redis_is_left_and_used_again() {
    let redis = [start().await, start().await];
    let (one, mut two) = pair(&[&redis[0], &redis[1]], &[&redis[0], &redis[1]]).await;
    let (mut heard, mut next) = (Heard::default(), 1);
    chat(&one, &mut two, &mut heard, &mut next, "chatting", |next, _| next > 50).await;
    let stopped = used(&one);

    redis[stopped].pause().expect("redis can be stopped");
    let links = |node: &Node| node.bus.links();
    chat(&one, &mut two, &mut heard, &mut next, "it is left", |_, _| !links(&one)[stopped].works).await;
    let first = next;
    let until = next + 100;
    chat(&one, &mut two, &mut heard, &mut next, "going on", |next, _| next > until).await;
    let last = next - 1;
    chat(&one, &mut two, &mut heard, &mut next, "all arrive", |_, heard| heard.users.contains(&last)).await;
    assert!(heard.from(first, last), "{:?}", heard.users);

    redis[stopped].resume().expect("redis can go on");
    chat(&one, &mut two, &mut heard, &mut next, "it is used again", |_, _| links(&one)[stopped].works).await;
    let last = next - 1;
    chat(&one, &mut two, &mut heard, &mut next, "all arrive", |_, heard| heard.users.contains(&last)).await;
}

#[tokio::test]
async fn split_nodes_meet_where_they_can() {
    let (own, others, common) = (start().await, start().await, start().await);
    let (one, mut two) = pair(&[&own, &common], &[&others, &common]).await;
    let (mut heard, mut next) = (Heard::default(), 1);

    chat(&one, &mut two, &mut heard, &mut next, "items arrive", |_, heard| !heard.users.is_empty()).await;
    let first = next;
    chat(&one, &mut two, &mut heard, &mut next, "going on", |next, _| next > first + 100).await;
    let last = next - 1;
    chat(&one, &mut two, &mut heard, &mut next, "all arrive", |_, heard| heard.users.contains(&last)).await;

    assert!(heard.from(first, last), "{:?}", heard.users);
}

#[tokio::test]
async fn nodes_without_a_redis_in_common_look_into_the_log() {
    let (own, others) = (start().await, start().await);
    let (one, mut two) = pair(&[&own], &[&others]).await;
    let (mut heard, mut next) = (Heard::default(), 1);

    chat(&one, &mut two, &mut heard, &mut next, "it is told, again and again", |_, heard| heard.losses >= 3).await;

    assert_eq!(heard.users, Vec::<u64>::new());
    assert!(two.bus.is_connected() && two.read(|stats| &stats.silences) >= 3);
}

#[tokio::test]
async fn demoted_redis_doubles_nothing() {
    for demoted in 0..2 {
        let redis = [start().await, start().await];
        let (one, mut two) = pair(&[&redis[0], &redis[1]], &[&redis[0], &redis[1]]).await;
        let (mut heard, mut next) = (Heard::default(), 1);
        chat(&one, &mut two, &mut heard, &mut next, "chatting", |next, _| next > 50).await;

        let port = redis[1 - demoted].address().port().to_string();
        redis[demoted].command(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]).await.expect("redis obeys");
        let linked = async || {
            let info = redis[demoted].command(&[b"INFO", b"replication"]).await.ok()?;
            info.contains("master_link_status:up").then_some(())
        };
        eventually(RECOVERY, "it follows the other", linked).await;
        let first = next;
        chat(&one, &mut two, &mut heard, &mut next, "going on", |next, _| next > first + 150).await;
        let last = next - 1;
        chat(&one, &mut two, &mut heard, &mut next, "all arrive", |_, heard| heard.users.contains(&last)).await;

        assert!(heard.from(first, last), "{:?}", heard.users);
    }
}

#[tokio::test]
async fn redis_that_refuses_to_publish_is_left_at_once() {
    let redis = [start().await, start().await];
    let (one, mut two) = pair(&[&redis[0], &redis[1]], &[&redis[0], &redis[1]]).await;
    let (mut heard, mut next) = (Heard::default(), 1);
    chat(&one, &mut two, &mut heard, &mut next, "chatting", |next, _| next > 50).await;

    redis[0].command(&[b"ACL", b"SETUSER", b"default", b"-publish"]).await.expect("redis forbids publishing");
    let until = next + 150;
    chat(&one, &mut two, &mut heard, &mut next, "going on", |next, _| next > until).await;
    let last = next - 1;
    chat(&one, &mut two, &mut heard, &mut next, "all arrive", |_, heard| heard.users.contains(&last)).await;

    assert!(heard.from(1, last), "{:?}", heard.users);
    assert!(!one.bus.links()[0].works);
}
