//! The bus over media that fail: killed, hanging, deaf, split. In virtual time, without sockets.

mod random;

use super::*;
use crate::bus::medium::{Failure, Letter, Publisher};
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

/// For whatever happens at once in virtual time.
const SOON: Duration = Duration::from_millis(100);
/// Within this whatever is wrong has been noticed.
const NOTICED: Duration = Duration::from_secs(3);
/// For media that are there again.
const RECOVERY: Duration = Duration::from_secs(12);

/// A Redis in memory.
#[derive(Default)]
struct Broker {
    health: Mutex<Health>,
    ends: Mutex<BTreeMap<String, Vec<UnboundedSender<Vec<u8>>>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Health {
    #[default]
    Good,
    /// Refuses everything.
    Down,
    /// Takes everything and answers nothing.
    Hanging,
    /// Takes and answers everything, and delivers nothing.
    Deaf,
}

impl Broker {
    fn set_health(&self, health: Health) {
        *self.health.lock() = health;
        if health == Health::Down {
            self.ends.lock().clear();
        }
    }

    /// Whoever is subscribed to the channel is so no more.
    fn cut_off(&self, node: &str) {
        self.ends.lock().remove(&format!("chat:node:{node}"));
    }

    async fn answer(&self) -> Result<(), Failure> {
        let health = *self.health.lock();
        match health {
            Health::Good | Health::Deaf => Ok(()),
            Health::Down => Err(Failure("it is down".into())),
            Health::Hanging => std::future::pending().await,
        }
    }

    fn deliver(&self, letter: &Letter) -> u64 {
        let is_deaf = *self.health.lock() == Health::Deaf;
        let mut ends = self.ends.lock();
        let Some(ends) = ends.get_mut(&*letter.channel) else { return 0 };
        ends.retain(|end| is_deaf || end.send(letter.envelope.clone()).is_ok());
        ends.len() as u64
    }
}

/// A node's way to a broker.
struct Way(&'static str, Arc<Broker>);

#[async_trait]
impl Medium for Way {
    fn name(&self) -> &str {
        self.0
    }

    async fn connect(&self) -> Result<Box<dyn Publisher>, Failure> {
        self.1.answer().await?;
        Ok(Box::new(Connection(self.1.clone())))
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, Vec<u8>>, Failure> {
        self.1.answer().await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.1.ends.lock().entry(channel.into()).or_default().push(sender);
        let next = async |mut receiver: mpsc::UnboundedReceiver<Vec<u8>>| Some((receiver.recv().await?, receiver));
        Ok(stream::unfold(receiver, next).boxed())
    }
}

struct Connection(Arc<Broker>);

#[async_trait]
impl Publisher for Connection {
    async fn publish(&mut self, letters: Vec<Letter>) -> Result<Vec<u64>, Failure> {
        self.0.answer().await?;
        Ok(letters.iter().map(|letter| self.0.deliver(letter)).collect())
    }
}

struct Node {
    key: NodeKey,
    bus: Arc<dyn Bus>,
    arrivals: mpsc::Receiver<Arrival>,
    sent: u64,
    /// The items that have arrived.
    received: Vec<u64>,
    /// How many items it had each time it was told that something is lost.
    told: Vec<usize>,
}

impl Node {
    fn join(name: &str, brokers: &[&Arc<Broker>]) -> Node {
        let key = NodeKey { id: name.into(), boot: 1 };
        let ways = ["a", "b", "c"].into_iter().zip(brokers);
        let media = ways.map(|(name, broker)| -> Box<dyn Medium> { Box::new(Way(name, Arc::clone(broker))) }).collect();
        let (bus, arrivals) = start(media, "chat", &key, &ClusterSecret([7; 32]), &Environment::default());
        Node { key, bus, arrivals, sent: 0, received: Vec::new(), told: Vec::new() }
    }

    fn send(&mut self, to: &Node) {
        self.sent += 1;
        self.bus.send(&to.key.id, Item::Yielded { user: self.sent });
    }

    /// Takes what arrives for so long.
    async fn listen(&mut self, within: Duration) {
        let until = Instant::now() + within;
        while let Ok(Some(arrival)) = timeout_at(until, self.arrivals.recv()).await {
            match arrival {
                Arrival::Items { items, .. } => self.received.extend(items.iter().map(|item| match item {
                    Item::Yielded { user } => *user,
                    other => panic!("{other:?} was not sent"),
                })),
                Arrival::Lost { .. } | Arrival::Resubscribed => self.told.push(self.received.len()),
            }
        }
    }

    fn losses(&self) -> usize {
        self.told.len()
    }
}

fn brokers<const N: usize>() -> [Arc<Broker>; N] {
    std::array::from_fn(|_| Arc::default())
}

/// Two nodes that know each other, over these brokers.
async fn pair(one: &[&Arc<Broker>], two: &[&Arc<Broker>]) -> (Node, Node) {
    let (one, two) = (Node::join("one", one), Node::join("two", two));
    let peers = [one.key.clone(), two.key.clone()];
    one.bus.set_peers(&peers);
    two.bus.set_peers(&peers);
    let (mut one, mut two) = (one, two);
    sleep(NOTICED).await;
    one.listen(Duration::ZERO).await;
    two.listen(Duration::ZERO).await;
    one.told.clear();
    two.told.clear();
    (one, two)
}

/// Sends one item after the other for so long; all that were sent and are not heard of have to be lost.
async fn chat(one: &mut Node, two: &mut Node, within: Duration) {
    let until = Instant::now() + within;
    while Instant::now() < until {
        one.send(two);
        two.listen(SOON).await;
    }
}

fn assert_in_order(node: &Node) {
    assert!(node.received.is_sorted_by(|one, next| one < next), "doubled or out of order: {:?}", node.received);
}

#[tokio::test(start_paused = true)]
async fn broker_that_dies_costs_no_item() {
    for dead in 0..2 {
        let [a, b] = brokers();
        let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
        chat(&mut one, &mut two, SOON * 5).await;

        [&a, &b][dead].set_health(Health::Down);
        chat(&mut one, &mut two, NOTICED).await;
        [&a, &b][dead].set_health(Health::Good);
        chat(&mut one, &mut two, RECOVERY).await;

        assert_eq!(two.received, (1..=one.sent).collect::<Vec<_>>());
        assert!(one.bus.links().iter().all(|link| link.works), "{:?}", one.bus.links());
    }
}

#[tokio::test(start_paused = true)]
async fn broker_that_hangs_holds_items_up_and_loses_none() {
    for hanging in 0..2 {
        let [a, b] = brokers();
        let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
        chat(&mut one, &mut two, SOON * 5).await;

        [&a, &b][hanging].set_health(Health::Hanging);
        chat(&mut one, &mut two, NOTICED).await;
        let before = two.received.len();
        chat(&mut one, &mut two, NOTICED).await;

        assert_eq!(two.received, (1..=one.sent).collect::<Vec<_>>());
        assert!(two.received.len() > before + 25, "what is sent arrives at once again");
    }
}

#[tokio::test(start_paused = true)]
async fn deaf_broker_is_left_and_what_it_swallowed_is_told() {
    for deaf in 0..2 {
        let [a, b] = brokers();
        let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
        [&a, &b][deaf].set_health(Health::Deaf);
        chat(&mut one, &mut two, NOTICED).await;
        let sent = one.sent;
        chat(&mut one, &mut two, NOTICED).await;

        assert_in_order(&two);
        assert!((sent + 1..=one.sent).all(|item| two.received.contains(&item)), "{:?}", two.received);
        assert!(two.received.len() as u64 == one.sent || two.losses() > 0);
        assert!(!one.bus.links()[deaf].works);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_with_one_broker_in_common_find_it() {
    let [a, other_a, b] = brokers();
    let (mut one, mut two) = pair(&[&a, &b], &[&other_a, &b]).await;

    chat(&mut one, &mut two, NOTICED).await;

    assert_eq!(two.received, (1..=one.sent).collect::<Vec<_>>());
    assert_eq!(two.losses(), 0);
}

#[tokio::test(start_paused = true)]
async fn nodes_without_a_broker_in_common_look_into_the_log_within_three_seconds() {
    let [a, b] = brokers();
    let (mut one, mut two) = pair(&[&a], &[&b]).await;

    for _ in 0..3 {
        let losses = two.losses();
        chat(&mut one, &mut two, NOTICED).await;
        assert!(two.losses() > losses);
    }

    assert_eq!(two.received, Vec::<u64>::new());
    assert!(two.bus.is_connected());
}

#[tokio::test(start_paused = true)]
async fn node_that_one_broker_has_cut_off_is_reached_through_another() {
    let [a, b] = brokers();
    let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
    for broker in [&a, &b, &a, &b] {
        broker.cut_off("two");
        chat(&mut one, &mut two, NOTICED).await;
    }
    two.listen(RECOVERY).await;

    assert_eq!(two.received, (1..=one.sent).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn peers_that_are_heard_are_not_looked_after() {
    let [a, b] = brokers();
    let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
    two.listen(RECOVERY).await;
    one.listen(SOON).await;
    assert_eq!((one.losses(), two.losses()), (0, 0));

    one.bus.close().await;
    two.listen(NOTICED).await;
    assert!(two.losses() > 0, "it lives in the database and says nothing");
}

#[tokio::test(start_paused = true)]
async fn all_brokers_may_be_gone_for_a_while() {
    let [a, b] = brokers();
    let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
    a.set_health(Health::Down);
    b.set_health(Health::Down);
    two.listen(SOON).await;
    assert!(!two.bus.is_connected());
    one.send(&two);
    two.listen(NOTICED).await;

    a.set_health(Health::Good);
    let resubscribed = async { while two.arrivals.recv().await != Some(Arrival::Resubscribed) {} };
    timeout(RECOVERY, resubscribed).await.expect("anything may have been lost");
    two.listen(RECOVERY).await;
    one.send(&two);
    two.listen(SOON).await;

    assert_eq!(two.received.last(), Some(&one.sent));
    assert_in_order(&two);
}
