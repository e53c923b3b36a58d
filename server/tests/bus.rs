//! The bus loses nothing without saying so.
//!
//! One suite holds for both buses: order, at most once, and `Lost` where something is missing. The rest is about Redis
//! failing in every way it can: down, restarted empty, hanging, refusing, and cutting connections; and about those who
//! publish there without belonging to the cluster.

use chat::bus::QUEUE_ITEMS;
use chat::bus::local::LocalHub;
use chat::bus::signature::BusKey;
use chat::bus::{Arrival, Bus, BusStats, Item, envelope, redis};
use chat::cluster::{ClusterSecret, NodeId, NodeKey};
use chat::config;
use chat_environment::{Environment, Tasks};
use services::eventually;
use services::redis::Redis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[path = "bus/failing.rs"]
mod failing;
#[path = "bus/over_tls.rs"]
mod over_tls;
#[path = "bus/several.rs"]
mod several;
#[path = "bus/strangers.rs"]
mod strangers;

/// For whatever takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(10);
/// For what waits for time-outs and waits between attempts.
const RECOVERY: Duration = Duration::from_secs(30);

/// What the nodes of a test share, unless it is about those that do not.
const SECRET: ClusterSecret = ClusterSecret([7; 32]);
const OTHER_SECRET: ClusterSecret = ClusterSecret([8; 32]);

/// What nodes are joined by.
enum Medium {
    Local(LocalHub),
    Redis(Redis),
}

/// One node's end of the bus.
struct Node {
    key: NodeKey,
    bus: Arc<dyn Bus>,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Medium {
    fn local() -> Medium {
        Medium::Local(LocalHub::default())
    }

    async fn redis() -> Medium {
        Medium::Redis(start().await)
    }

    /// Joins a node's first run and waits until it is subscribed.
    async fn join(&self, name: &str) -> Node {
        self.join_as(NodeKey { id: name.into(), boot: 1 }).await
    }

    async fn join_as(&self, key: NodeKey) -> Node {
        match self {
            Medium::Local(hub) => {
                let (bus, arrivals) = hub.join(key.clone(), &Tasks::default());
                Node { key, bus, arrivals }
            }
            Medium::Redis(redis) => {
                let mut node = connect(redis, key);
                assert_eq!(node.arrival().await, Arrival::Resubscribed);
                node
            }
        }
    }
}

async fn start() -> Redis {
    Redis::start().await.expect("redis starts")
}

/// Joins a node without waiting for anything.
fn connect(redis: &Redis, key: NodeKey) -> Node {
    connect_with(&settings(redis.url()), key, &SECRET)
}

fn settings(url: String) -> config::Bus {
    config::Bus { url, channel_prefix: "test".into(), ..config::Bus::default() }
}

fn connect_with(config: &config::Bus, key: NodeKey, secret: &ClusterSecret) -> Node {
    let (bus, arrivals) = redis::connect(config, &key, secret, &Environment::default()).expect("the settings are good");
    Node { key, bus, arrivals }
}

/// An envelope for this node, signed with that secret.
fn envelope_for<'a>(
    to: &Node,
    secret: &ClusterSecret,
    from: &NodeKey,
    number: u64,
    items: impl IntoIterator<Item = &'a Item>,
) -> Vec<u8> {
    envelope::encode(&BusKey::new(secret).seal(&channel(to)), from, number, items)
}

fn channel(of: &Node) -> String {
    format!("test:node:{}", of.key.id)
}

async fn publish(redis: &Redis, to: &Node, payload: &[u8]) {
    let heard = redis.command(&[b"PUBLISH", channel(to).as_bytes(), payload]).await.expect("redis publishes");
    assert_ne!(heard, "0", "the node is subscribed");
}

impl Node {
    fn send(&self, to: &Node, user: u64) {
        self.bus.send(&to.key.id, item(user));
    }

    async fn arrival(&mut self) -> Arrival {
        arrival_within(SOON, &mut self.arrivals).await
    }

    /// The next `count` items, all from `from` and with nothing else in between.
    async fn receive(&mut self, from: &Node, count: usize) -> Vec<u64> {
        let mut users = Vec::new();
        while users.len() < count {
            match self.arrival().await {
                Arrival::Items { from: sender, items } if sender == from.key.id => users.extend(users_of(items)),
                other => panic!("{other:?} instead of items, after {} of {count}", users.len()),
            }
        }
        users
    }

    fn read(&self, counter: impl Fn(&BusStats) -> &AtomicU64) -> u64 {
        counter(self.bus.stats()).load(Ordering::Relaxed)
    }
}

async fn arrival_within(budget: Duration, arrivals: &mut mpsc::Receiver<Arrival>) -> Arrival {
    timeout(budget, arrivals.recv()).await.expect("something arrives in time").expect("the bus is open")
}

/// An item that carries a number.
fn item(user: u64) -> Item {
    Item::Yielded { user }
}

fn users_of(items: Vec<Item>) -> impl Iterator<Item = u64> {
    items.into_iter().map(|item| match item {
        Item::Yielded { user } => user,
        other => panic!("{other:?} was not sent"),
    })
}

fn lost(from: &str) -> Arrival {
    Arrival::Lost { from: from.into() }
}

fn items(from: &str, users: &[u64]) -> Arrival {
    Arrival::Items { from: from.into(), items: users.iter().copied().map(item).collect() }
}

/// Runs each claim over both buses.
macro_rules! over_both {
    ($($claim:ident),* $(,)?) => {
        mod over_local {
            $(#[tokio::test] async fn $claim() { super::$claim(super::Medium::local()).await; })*
        }
        mod over_redis {
            $(#[tokio::test] async fn $claim() { super::$claim(super::Medium::redis().await).await; })*
        }
    };
}

over_both!(
    items_arrive_once_and_in_order,
    senders_do_not_mix,
    node_can_send_to_itself,
    unknown_node_is_ignored,
    overflow_becomes_lost,
    close_sends_what_is_queued_and_ends_arrivals,
    new_boot_of_a_sender_is_understood,
    late_joiner_gets_what_is_sent_from_then_on,
);

async fn items_arrive_once_and_in_order(medium: Medium) {
    let (one, mut two) = (medium.join("one").await, medium.join("two").await);

    for user in 0..1_000 {
        one.send(&two, user);
        if user % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }

    assert!(two.receive(&one, 1_000).await.into_iter().eq(0..1_000));
    one.send(&two, 1_000);
    assert_eq!(two.receive(&one, 1).await, [1_000]);
}

async fn senders_do_not_mix(medium: Medium) {
    let (one, two, mut three) = (medium.join("one").await, medium.join("two").await, medium.join("three").await);

    for user in 0..100 {
        one.send(&three, user);
        two.send(&three, 1_000 + user);
    }

    let (mut from_one, mut from_two) = (Vec::new(), Vec::new());
    while from_one.len() + from_two.len() < 200 {
        match three.arrival().await {
            Arrival::Items { from, items } if from == one.key.id => from_one.extend(users_of(items)),
            Arrival::Items { from, items } if from == two.key.id => from_two.extend(users_of(items)),
            other => panic!("{other:?} instead of items"),
        }
    }
    assert!(from_one.into_iter().eq(0..100));
    assert!(from_two.into_iter().eq(1_000..1_100));
}

async fn node_can_send_to_itself(medium: Medium) {
    let mut one = medium.join("one").await;
    one.bus.send(&one.key.id, item(7));
    assert_eq!(one.arrival().await, items("one", &[7]));
}

async fn unknown_node_is_ignored(medium: Medium) {
    let (one, mut two) = (medium.join("one").await, medium.join("two").await);

    one.bus.send(&NodeId::from("nobody"), item(1));
    one.bus.set_peers(&[two.key.clone(), NodeKey { id: "nobody".into(), boot: 1 }]);
    one.send(&two, 2);

    assert_eq!(two.receive(&one, 1).await, [2]);
}

async fn overflow_becomes_lost(medium: Medium) {
    let (one, mut two) = (medium.join("one").await, medium.join("two").await);

    // Without a pause in between, so that nothing can leave the queue meanwhile.
    for user in 0..QUEUE_ITEMS as u64 + 10 {
        one.send(&two, user);
    }

    let taken = two.receive(&one, QUEUE_ITEMS).await;
    assert!(taken.into_iter().eq(0..QUEUE_ITEMS as u64));
    assert_eq!(two.arrival().await, lost("one"));
    assert_eq!(one.read(|stats| &stats.dropped_items), 10);
    one.send(&two, 1);
    assert_eq!(two.receive(&one, 1).await, [1]);
}

async fn close_sends_what_is_queued_and_ends_arrivals(medium: Medium) {
    let (mut one, mut two) = (medium.join("one").await, medium.join("two").await);
    // One item that has arrived shows that the connection is up: what waits for Redis is not waited for at the end.
    one.send(&two, 1_000);
    assert_eq!(two.receive(&one, 1).await, [1_000]);
    for user in 0..100 {
        one.send(&two, user);
    }

    one.bus.close().await;

    assert!(two.receive(&one, 100).await.into_iter().eq(0..100));
    assert_eq!(one.arrivals.recv().await, None);
    assert!(!one.bus.is_connected());
}

async fn new_boot_of_a_sender_is_understood(medium: Medium) {
    let (one, mut two) = (medium.join("one").await, medium.join("two").await);
    for user in 0..3 {
        one.send(&two, user);
        assert_eq!(two.receive(&one, 1).await, [user]);
    }
    one.bus.close().await;

    let again = medium.join_as(NodeKey { id: "one".into(), boot: 2 }).await;
    again.send(&two, 3);

    assert_eq!(two.receive(&again, 1).await, [3]);
}

async fn late_joiner_gets_what_is_sent_from_then_on(medium: Medium) {
    let one = medium.join("one").await;
    let early = medium.join("two").await;
    for user in 0..3 {
        one.send(&early, user);
    }
    early.bus.close().await;

    let mut late = medium.join_as(NodeKey { id: "two".into(), boot: 2 }).await;
    one.send(&late, 3);

    // What was queued for its earlier run may still come; it is no gap, and the new item ends it.
    let mut users = Vec::new();
    while users.last() != Some(&3) {
        users.extend(late.receive(&one, 1).await);
    }
}
