//! Nodes in one thread and paused time, on a database that counts.

use crate::ageless::Ageless;
use crate::database::{Asked, CountingEngine, Tally};
use crate::people::{Person, Wire};
use anyhow::{Context as _, Result};
use chat::bus::local::LocalHub;
use chat::cluster::NodeKey;
use chat::config::Config;
use chat::net::entrance::{Channel, Entrance};
use chat::node::{Node, Surroundings};
use chat::shutdown::Shutdown;
use chat::storage::{self, Storage};
use chat_environment::{Environment, Gate, Tasks, Verdict};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

const DATABASE: &str = "sqlite::memory:";
/// Connections that may wait for a node to accept them.
const BACKLOG: usize = 16;
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than anything here takes: nodes do not look into the log for what the bus might have lost.
const NO_REPAIR_S: u64 = 3_600;
/// Nodes tidy up after earlier runs of theirs when they start, up to 5 s later, by chance.
const HAS_STARTED: Duration = Duration::from_secs(6);
/// What nodes do once a second is done so long after the second began.
const AFTER_EACH_SECOND: Duration = Duration::from_millis(100);
/// What is counted takes no longer, up to its reply: the next second is far enough then.
const LONGEST: Duration = Duration::from_millis(500);

pub struct World {
    pub storage: Arc<dyn Storage>,
    tally: Arc<Tally>,
    started: Instant,
    doors: Vec<mpsc::Sender<(Box<dyn Channel>, IpAddr)>>,
    _nodes: Vec<Node>,
}

impl World {
    /// So many nodes that know each other.
    pub async fn of(nodes: usize) -> Result<World> {
        let environment = Environment { tasks: Tasks::gated(Arc::new(Open)), ..Environment::default() };
        let tally = Arc::<Tally>::default();
        let below = storage::open_engine(&config().database, &environment).await?;
        let engine = Box::new(CountingEngine { below, tally: tally.clone() });
        let storage = storage::open_on(engine, DATABASE_TIMEOUT, &environment).await?;
        let (hub, started) = (LocalHub::default(), Instant::now());
        let (mut doors, mut running) = (Vec::new(), Vec::new());
        for number in 0..nodes {
            let environment = Environment { tasks: Tasks::gated(Arc::new(Open)), ..Environment::default() };
            let key = NodeKey { id: format!("node-{number}").as_str().into(), boot: 1 };
            let (bus, arrivals) = hub.join(key.clone(), &environment.tasks);
            let (door, clients) = mpsc::channel(BACKLOG);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let entrance = Entrance::Channels { address, clients };
            let storage: Arc<dyn Storage> = Arc::new(Ageless(storage.clone()));
            let surroundings = Surroundings { key, environment, storage, bus, arrivals, entrance };
            running.push(Node::start_in(config(), surroundings, Shutdown::new()).await?);
            doors.push(door);
        }
        tokio::time::sleep(HAS_STARTED).await;
        Ok(World { storage, tally, started, doors, _nodes: running })
    }

    /// A connection to a node.
    pub async fn connect(&self, node: usize) -> Result<Person> {
        let (wire, person) = Wire::pair();
        let visitor: (Box<dyn Channel>, _) = (Box::new(wire), IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.doors[node].send(visitor).await.ok().context("the node has stopped")?;
        Ok(person)
    }

    /// What the database is asked for `work`, and within `after` of its end. Begins when nodes have just done what they
    /// do once a second.
    ///
    /// # Errors
    /// The work's; and where it takes so long that they might do so again meanwhile, which would be counted with it.
    pub async fn count<T>(&self, after: Duration, work: impl AsyncFnOnce() -> Result<T>) -> Result<(Asked, T)> {
        let seconds = self.started.elapsed().as_secs() + 1;
        tokio::time::sleep_until(self.started + Duration::from_secs(seconds) + AFTER_EACH_SECOND).await;
        let before = self.tally.so_far();
        let too_long =
            || format!("not done within {LONGEST:?}: what nodes do once a second may be in the count; do less at once");
        let done = tokio::time::timeout(LONGEST, work()).await.with_context(too_long)??;
        tokio::time::sleep(after).await;
        Ok((self.tally.so_far() - before, done))
    }
}

/// Lets every task run. With a gate, passwords are hashed in the task that asks, and not beside it.
struct Open;

impl Gate for Open {
    fn poll_pass(&self, _: &mut Context<'_>) -> Poll<Verdict> {
        Poll::Ready(Verdict::Run)
    }
}

fn config() -> Config {
    let mut config = chat::bench::config(DATABASE);
    config.limits.repair_interval_s = NO_REPAIR_S;
    config
}
