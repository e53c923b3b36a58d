//! Whether the bus can be relied on: would this node know by now if the members of a conversation had changed?
//!
//! Who changes members tells every other node over the bus. So what was read from the database before still holds if
//! nothing can have been lost on the way, and nothing can be under way any more. The latter is proved by asking: a peer
//! that answers a ping has, before its answer, sent all that it had to tell when the ping reached it. The answer says
//! so about the moment at which the ping was sent, by this node's own clock, however long either took.
//!
//! Only relayed messages (`qos` 0) need to know it, so a node asks only while some are sent.

use crate::bus::Item;
use crate::cluster::NodeId;
use crate::membership::peers::Peers;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How old knowledge of a conversation's members may be, be it from the database or from a peer's answer.
pub const BELIEVED: Duration = Duration::from_secs(1);
/// Time between two pings. Answers may take what is left of [`BELIEVED`].
const INTERVAL: Duration = Duration::from_millis(400);
/// Pings that follow on the last message which needed them.
const LINGER: u32 = 25;

pub struct Pulse {
    origin: Instant,
    /// In microseconds after `origin`, as all times here: what was read before may have missed a change.
    unbroken_since: AtomicU64,
    /// Until when every peer's last answer counts.
    covered_until: AtomicU64,
    /// Somebody wanted to know since the last ping.
    is_wanted: AtomicBool,
    /// Told when that becomes so.
    wanted: Notify,
    /// The live peers, and the newest answer of each.
    peers: Mutex<BTreeMap<NodeId, Option<Answer>>>,
}

#[derive(Clone, Copy)]
struct Answer {
    /// Of the run of the peer that gave it.
    boot: i64,
    /// When the ping was sent.
    asked_at: u64,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse {
            origin: Instant::now(),
            unbroken_since: AtomicU64::new(0),
            covered_until: AtomicU64::new(u64::MAX),
            is_wanted: AtomicBool::new(false),
            wanted: Notify::new(),
            peers: Mutex::default(),
        }
    }
}

impl Pulse {
    /// Whether any change to what was read at `read_at` would be known, but for what is younger than [`BELIEVED`].
    pub fn covers(&self, read_at: Instant, now: Instant) -> bool {
        if !self.is_wanted.load(Ordering::Relaxed) {
            self.is_wanted.store(true, Ordering::Release);
            self.wanted.notify_one();
        }
        self.micros(now) < self.covered_until.load(Ordering::Acquire) && self.is_unbroken_since(read_at)
    }

    /// Whether nothing is known to have been lost of what was told since then.
    pub fn is_unbroken_since(&self, read_at: Instant) -> bool {
        self.micros(read_at) >= self.unbroken_since.load(Ordering::Acquire)
    }

    /// These are the live peers now.
    pub fn set_peers(&self, live: &[NodeId], now: Instant) {
        let mut peers = self.peers.lock();
        let before = peers.len();
        peers.retain(|peer, _| live.contains(peer));
        if peers.len() < before {
            // Its last changes may never have been told.
            self.broken(now);
        }
        for peer in live {
            peers.entry(peer.clone()).or_insert(None);
        }
        self.count(&peers);
    }

    /// A peer answers the ping that was sent at `asked_at`.
    pub fn answered(&self, from: &NodeId, boot: i64, asked_at: u64, now: Instant) {
        let mut peers = self.peers.lock();
        let Some(answer) = peers.get_mut(from) else { return };
        if answer.is_none_or(|answer| answer.boot != boot) {
            // What it, or an earlier run of it, had to tell before may have been lost.
            self.broken(now);
        }
        let newest = answer.filter(|answer| answer.boot == boot).map_or(0, |answer| answer.asked_at);
        *answer = Some(Answer { boot, asked_at: asked_at.min(self.micros(now)).max(newest) });
        self.count(&peers);
    }

    /// Something may have been lost.
    pub fn broken(&self, now: Instant) {
        self.unbroken_since.fetch_max(self.micros(now), Ordering::AcqRel);
    }

    fn count(&self, peers: &BTreeMap<NodeId, Option<Answer>>) {
        let until = |answer: &Option<Answer>| answer.map_or(0, |answer| answer.asked_at + BELIEVED.as_micros() as u64);
        let covered = peers.values().map(until).min().unwrap_or(u64::MAX);
        self.covered_until.store(covered, Ordering::Release);
    }

    fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_micros() as u64
    }

    /// Asks the peers while somebody wants to know. Runs until the node stops.
    pub async fn run(self: Arc<Self>, peers: Arc<Peers>) {
        let mut quiet = LINGER;
        loop {
            let asked_at = self.due(&mut quiet).await;
            peers.tell(|| Item::Ping { asked_at });
        }
    }

    /// Waits until the next ping is due; returns what it is to carry.
    async fn due(&self, quiet: &mut u32) -> u64 {
        if *quiet < LINGER {
            tokio::time::sleep(INTERVAL).await;
        } else {
            self.wanted.notified().await;
        }
        *quiet = if self.is_wanted.swap(false, Ordering::AcqRel) { 0 } else { *quiet + 1 };
        self.micros(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench;
    use crate::bus::local::LocalHub;
    use crate::config::{self, Config, Database};
    use crate::node::{Embedded, Node};

    const DATABASE: &str = "sqlite::memory:";
    const STEP: Duration = Duration::from_millis(100);

    fn with_peers(peers: &[&str]) -> (Pulse, Instant) {
        let pulse = Pulse::default();
        let now = pulse.origin;
        let peers: Vec<NodeId> = peers.iter().map(|peer| NodeId::from(*peer)).collect();
        pulse.set_peers(&peers, now);
        (pulse, now)
    }

    async fn embedded(name: &str, embedded: &Embedded) -> Node {
        let config = Config { node: config::Node { id: name.into(), ..Default::default() }, ..bench::config(DATABASE) };
        Node::start_embedded(config, embedded).await.expect("a node starts")
    }

    #[tokio::test]
    async fn node_relies_on_the_bus_once_its_peers_answer() {
        let database = Database { url: DATABASE.into(), ..Database::default() };
        let storage = crate::storage::open(&database).await.expect("SQLite opens");
        let here = Embedded { storage: storage.clone(), hub: LocalHub::default() };
        let elsewhere = Embedded { storage, hub: LocalHub::default() };
        let _first = embedded("a", &here).await;
        let deaf = embedded("b", &elsewhere).await;
        let node = embedded("c", &here).await;
        let covers = |node: &Node| {
            let now = Instant::now();
            node.context().delivery.members.pulse.covers(now, now)
        };

        assert!(!covers(&deaf), "there is a node that it does not hear");
        assert!(!covers(&node));
        // Of its two peers one does not answer.
        let pulse = &node.context().delivery.members.pulse;
        while pulse.peers.lock().values().flatten().count() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!covers(&node));
        node.context().delivery.members.pulse.set_peers(&["a".into()], Instant::now());
        while !covers(&node) {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn node_without_peers_relies_on_what_it_has_read() {
        let (pulse, start) = with_peers(&[]);
        assert!(pulse.covers(start, start + Duration::from_secs(1_000_000)));
    }

    #[test]
    fn every_peer_must_have_answered_lately() {
        let (pulse, start) = with_peers(&["b", "c"]);
        let at = start + STEP;
        pulse.answered(&"b".into(), 1, pulse.micros(start), at);
        assert!(!pulse.covers(at, at), "c has said nothing yet");

        pulse.answered(&"c".into(), 1, pulse.micros(start), at);

        assert!(pulse.covers(at, at));
        let last = start + BELIEVED - Duration::from_micros(1);
        assert!(pulse.covers(at, last) && !pulse.covers(at, start + BELIEVED), "counted from when it was asked");
        pulse.answered(&"b".into(), 1, pulse.micros(at), last);
        assert!(!pulse.covers(at, start + BELIEVED), "c is silent");
    }

    #[test]
    fn what_was_read_before_a_loss_is_not_relied_on() {
        let (pulse, start) = with_peers(&["b"]);
        let times: Vec<Instant> = (1..8).map(|step| start + STEP * step).collect();
        pulse.answered(&"b".into(), 1, pulse.micros(start), times[0]);
        assert!(!pulse.covers(start, times[0]), "read before the first answer");

        pulse.broken(times[2]);
        assert!(!pulse.covers(times[1], times[3]) && pulse.covers(times[2], times[3]));
        // It was started anew: the run before may have had something to tell.
        pulse.answered(&"b".into(), 2, pulse.micros(times[3]), times[4]);
        assert!(!pulse.covers(times[3], times[5]) && pulse.covers(times[4], times[5]));
        // It has died, perhaps before it told something.
        pulse.set_peers(&[], times[6]);
        assert!(!pulse.covers(times[5], times[6]) && pulse.covers(times[6], times[6]));
    }

    #[test]
    fn answer_from_the_future_or_from_a_stranger_counts_for_nothing() {
        let (pulse, start) = with_peers(&["b"]);
        pulse.answered(&"stranger".into(), 1, 0, start);
        pulse.answered(&"b".into(), 1, u64::MAX, start + STEP);
        assert!(!pulse.covers(start + STEP, start + STEP + BELIEVED));
    }
}
