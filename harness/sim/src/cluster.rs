//! Real nodes in simulated surroundings: started, crashed, paused, drained.

use crate::bus::{Wire, Wires};
use crate::chance::Chance;
use crate::counters::Counters;
use crate::database::{Database, SharedEngine};
use crate::environment::{Process, ProcessGate};
use crate::network::Network;
use crate::trace::Trace;
use crate::troubles::Troubles;
use anyhow::{Context, Result};
use chat::bus::carried::{self, Carrier};
use chat::cluster::{ClusterSecret, NodeKey};
use chat::config::Config;
use chat::net::entrance::Entrance;
use chat::node::{self, Node, Surroundings};
use chat::shutdown::Shutdown;
use chat::storage;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Connections that may wait for a node to accept them.
const BACKLOG: usize = 1_024;
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at how a node is.
const LOOK: Duration = Duration::from_millis(50);
/// Wall clocks are off by this at most, either way.
const CLOCK_OFF_US: i64 = 2_000_000;

pub struct Cluster {
    seed: u64,
    begun: Instant,
    trace: Arc<Trace>,
    troubles: Arc<Troubles>,
    network: Arc<Network>,
    database: Arc<Database>,
    buses: Vec<Arc<Wires>>,
    slots: Vec<Mutex<Slot>>,
    /// What no fault explains.
    problems: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Slot {
    runs: u32,
    run: Option<Run>,
}

/// One run of a node, from its start to its end.
#[derive(Clone)]
struct Run {
    gate: Arc<ProcessGate>,
    shutdown: Shutdown,
    is_up: bool,
    /// Once it is up.
    counters: Option<Arc<Counters>>,
}

/// What the cluster lives in.
pub struct World {
    pub seed: u64,
    pub begun: Instant,
    pub trace: Arc<Trace>,
    pub troubles: Arc<Troubles>,
    pub network: Arc<Network>,
    pub database: Arc<Database>,
    pub buses: Vec<Arc<Wires>>,
}

impl Cluster {
    pub fn new(world: World, nodes: usize) -> Arc<Cluster> {
        let World { seed, begun, trace, troubles, network, database, buses } = world;
        let slots = (0..nodes).map(|_| Mutex::default()).collect();
        let problems = Mutex::default();
        Arc::new(Cluster { seed, begun, trace, troubles, network, database, buses, slots, problems })
    }

    pub fn address(node: usize) -> String {
        format!("node-{node}:12345")
    }

    /// Starts a node that does not run; it is up some time later.
    pub fn start(self: &Arc<Self>, node: usize) {
        let mut slot = self.slots[node].lock();
        if slot.run.is_some() {
            return;
        }
        slot.runs += 1;
        let name = format!("node-{node}.{}", slot.runs);
        let offset = Chance::new(self.seed, &format!("clock of {node}")).below(2 * CLOCK_OFF_US.unsigned_abs());
        let (offset_us, troubles) = (offset as i64 - CLOCK_OFF_US, self.troubles.clone());
        let off_us = Box::new(move || offset_us + troubles.clock_off_us(node));
        let process = Process::start(self.seed, &name, self.begun, off_us);
        let shutdown = Shutdown::new();
        let (gate, shut) = (process.gate.clone(), shutdown.clone());
        slot.run = Some(Run { gate, shutdown: shut, is_up: false, counters: None });
        drop(slot);
        self.trace.note("start", &name);
        let cluster = self.clone();
        tokio::spawn(async move {
            let gate = process.gate.clone();
            let ended = cluster.run(node, process, shutdown).await;
            cluster.network.close(&Cluster::address(node));
            cluster.trace.note("ended", format_args!("{name} {ended:?}"));
            if let Err(error) = ended.filter_crash(&gate) {
                cluster.problems.lock().push(format!("{name} ended: {error:#}"));
            }
            if let Some(Run { counters: Some(counters), .. }) = cluster.slots[node].lock().run.take() {
                cluster.count(&name, &counters);
            }
        });
    }

    /// Starts a node as soon as its earlier run has ended.
    pub async fn start_again(self: &Arc<Self>, node: usize) {
        while self.run_of(node).is_some_and(|run| run.gate.is_crashed() || run.shutdown.is_draining()) {
            tokio::time::sleep(LOOK).await;
        }
        self.start(node);
    }

    async fn run(self: &Arc<Self>, node: usize, process: Process, shutdown: Shutdown) -> Result<()> {
        let (door, clients) = mpsc::channel(BACKLOG);
        let (cluster, environment) = (self.clone(), process.environment.clone());
        let starting = async move { cluster.start_in(node, environment, clients, shutdown).await };
        let started = process.environment.tasks.spawn_short("start", starting).await.context("it was aborted")?;
        let running = started??;
        self.network.open(&Cluster::address(node), door);
        if let Some(run) = &mut self.slots[node].lock().run {
            run.is_up = true;
            run.counters = Some(Arc::new(Counters::of(&running)));
        }
        running.stopped().await?;
        Ok(())
    }

    async fn start_in(
        &self,
        node: usize,
        environment: chat_environment::Environment,
        clients: mpsc::Receiver<(Box<dyn chat::net::entrance::Channel>, std::net::IpAddr)>,
        shutdown: Shutdown,
    ) -> Result<Node> {
        let engine = Box::new(SharedEngine { database: self.database.clone(), node });
        let storage = storage::open_on(engine, DATABASE_TIMEOUT, &environment).await?;
        let secret = ClusterSecret(storage.token_key().await?);
        let key = NodeKey { id: format!("node-{node}").as_str().into(), boot: environment.clock.now_us().max(1) };
        let carrier = |wires: &Arc<Wires>| -> Arc<dyn Carrier> { Arc::new(Wire { wires: wires.clone(), node }) };
        let carriers = self.buses.iter().map(carrier).collect();
        let (bus, arrivals) = carried::connect(carriers, &key, &secret, &environment);
        let address = SocketAddr::from(([127, 0, 0, 1], 12_345));
        let entrance = Entrance::Channels { address, clients };
        let surroundings = Surroundings { key, environment, storage, bus, arrivals, entrance };
        Ok(Node::start_in(config(self.seed), surroundings, shutdown).await?)
    }

    /// Ends a node as if its machine had lost its power; whether it ran.
    pub fn crash(&self, node: usize) -> bool {
        self.run_of(node).is_some_and(|run| {
            self.trace.note("crash", node);
            self.network.close(&Cluster::address(node));
            run.gate.crash();
            true
        })
    }

    /// The node stands still until [`Cluster::resume`]; whether it ran.
    pub fn pause(&self, node: usize) -> bool {
        self.run_of(node).is_some_and(|run| {
            self.trace.note("pause", node);
            run.gate.pause();
            true
        })
    }

    pub fn resume(&self, node: usize) {
        if let Some(run) = self.run_of(node) {
            self.trace.note("resume", node);
            run.gate.resume();
        }
    }

    /// Whether it ran.
    pub fn drain(&self, node: usize) -> bool {
        self.run_of(node).is_some_and(|run| {
            self.trace.note("drain", node);
            run.shutdown.drain();
            true
        })
    }

    /// Has all nodes run; whether they are up within `budget`.
    pub async fn be_up(self: &Arc<Self>, budget: Duration) -> bool {
        let deadline = Instant::now() + budget;
        while !(0..self.slots.len()).all(|node| self.is_up(node)) {
            if Instant::now() >= deadline {
                return false;
            }
            (0..self.slots.len()).for_each(|node| self.start(node));
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    fn is_up(&self, node: usize) -> bool {
        self.run_of(node).is_some_and(|run| run.is_up && !run.shutdown.is_draining())
    }

    fn run_of(&self, node: usize) -> Option<Run> {
        self.slots[node].lock().run.clone()
    }

    /// Nodes that ended though nobody ended them, and tasks that panicked.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }

    /// Adds up what the nodes that still run have counted.
    pub fn count_all(&self) {
        for node in 0..self.slots.len() {
            if let Some(Run { counters: Some(counters), .. }) = self.run_of(node) {
                self.count(&format!("node-{node}"), &counters);
            }
        }
    }

    fn count(&self, name: &str, counters: &Counters) {
        counters.add_to(&self.trace);
        if counters.panics() > 0 {
            self.problems.lock().push(format!("a task of {name} panicked"));
        }
    }
}

trait FilterCrash {
    fn filter_crash(self, gate: &ProcessGate) -> Self;
}

impl FilterCrash for Result<()> {
    /// What ended in a crash ended as it should, and so did one that could not start in a bad moment.
    fn filter_crash(self, gate: &ProcessGate) -> Self {
        match self {
            Err(error) if !gate.is_crashed() && !is_bad_moment(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_bad_moment(error: &anyhow::Error) -> bool {
    if let Some(storage::Error::Unavailable(_)) = error.downcast_ref() {
        return true;
    }
    matches!(
        error.downcast_ref(),
        Some(node::Error::Stopped | node::Error::NameTaken(_) | node::Error::Storage(storage::Error::Unavailable(_)))
    )
}

/// How long messages are kept at least. With the longest step of the cluster's age that is 20 s: within a run, so that
/// something goes.
pub(crate) const MID_WINDOW: Duration = Duration::from_secs(16);
/// In every second seed a log is kept only as far as it is needed.
const SHORTENS_ONCE_IN: u64 = 2;

fn config(seed: u64) -> Config {
    let mut config = Config::default();
    // Nobody is to guess these, and each costs real time.
    (config.password.memory_kib, config.password.iterations) = (8, 1);
    config.limits.drain_s = 2;
    config.limits.repair_interval_s = 5;
    config.limits.heartbeat_s = 5;
    if seed.is_multiple_of(SHORTENS_ONCE_IN) {
        config.retention.messages = 4;
        config.retention.mid_window_s = MID_WINDOW.as_secs();
        config.retention.interval_s = 1;
    }
    // So little that people who read slowly fall behind, and are sent away.
    (config.limits.queue_bytes, config.limits.write_timeout_s) = (4 * 1_024, 4);
    config
}
