//! Items waiting to be published, by receiving node, and the numbers of their envelopes.
//!
//! [`Outbox::send`] runs once per message: one shared lock, one short lock, a push. Each medium's publisher takes
//! whatever has queued up since its last publish for the nodes that are reached through it, as one envelope per node. A
//! number is used up when it is taken, whatever becomes of the envelope, so that one that is given up shows as a gap. A
//! full queue drops what comes until it has been emptied, then uses up one number for all that was dropped.
//!
//! Heartbeats go through every medium that works, so that one which loses what it is given is found out by another.
//! Through those that do not carry a node's envelopes they say what was sent a heartbeat ago, for they may overtake.

mod target;
#[cfg(test)]
mod tests;

use super::routing::Media;
use super::{BusStats, Item};
use crate::cluster::NodeId;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use target::Target;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Outbox {
    own: NodeId,
    /// What a channel's name has before the node's.
    channel_prefix: String,
    targets: RwLock<Targets>,
    /// Locked after `targets` and before any queue.
    media: Mutex<Media>,
    /// One for each medium, signalled when something waits that is to go through it.
    ready: Box<[Notify]>,
    stats: Arc<BusStats>,
}

/// One envelope's content, taken out to be published.
#[derive(Debug, PartialEq)]
pub(super) struct Parcel {
    pub(super) to: NodeId,
    pub(super) channel: Arc<str>,
    pub(super) number: u64,
    /// Empty: a heartbeat.
    pub(super) items: VecDeque<Item>,
    /// How often it has failed.
    tries: usize,
}

struct Targets {
    by_id: BTreeMap<NodeId, Target>,
    /// The highest number that any forgotten target got. New targets count on from here, so that one that was forgotten
    /// and comes back is never sent a number again; at worst it sees a gap where there is none.
    floor: u64,
}

impl Outbox {
    /// An outbox of `own`, which gets heartbeats to itself too.
    pub(super) fn new(own: NodeId, channel_prefix: String, media: Media, stats: Arc<BusStats>) -> Self {
        let targets = RwLock::new(Targets { by_id: BTreeMap::new(), floor: 0 });
        let ready = (0..media.count()).map(|_| Notify::new()).collect();
        let outbox = Outbox { own, channel_prefix, targets, media: Mutex::new(media), ready, stats };
        outbox.set_peers(&[]);
        outbox
    }

    /// The channel that a node listens on.
    pub(super) fn channel(&self, node: &NodeId) -> Arc<str> {
        format!("{}:node:{node}", self.channel_prefix).into()
    }

    /// Queues an item, or drops it if its node's queue is full.
    pub(super) fn send(&self, to: &NodeId, item: Item) {
        let weight = item.weight_bytes();
        let targets = self.targets.read();
        if let Some(target) = targets.by_id.get(to) {
            return self.push(target, item, weight);
        }
        drop(targets);
        let mut targets = self.targets.write();
        let target = self.get_or_add(&mut targets, to);
        self.push(target, item, weight);
    }

    /// Says who gets heartbeats from now on (the own node always does). Others are forgotten once they are idle.
    pub(super) fn set_peers(&self, peers: &[NodeId]) {
        let mut targets = self.targets.write();
        for target in targets.by_id.values_mut() {
            target.is_peer = false;
        }
        for peer in peers.iter().chain([&self.own]) {
            self.get_or_add(&mut targets, peer).is_peer = true;
        }
        targets.forget_idle();
    }

    /// Looks at the media.
    pub(super) fn media<T>(&self, look: impl FnOnce(&Media) -> T) -> T {
        look(&self.media.lock())
    }

    /// Takes note of what has become of a medium; channels move where they have to.
    pub(super) fn note<T>(&self, note: impl FnOnce(&mut Media) -> T) -> T {
        let noted = note(&mut self.media.lock());
        self.reroute(Instant::now());
        noted
    }

    /// One more own heartbeat came back through a medium that is known to work.
    pub(super) fn echoed(&self, medium: usize, now: Instant) {
        self.media.lock().echoed(medium, now);
    }

    /// Something from this node came through a medium.
    pub(super) fn heard(&self, node: &NodeId, medium: usize, now: Instant) {
        if let Some(target) = self.targets.read().by_id.get(node) {
            target.queue.lock().heard.note(medium, now);
        }
    }

    /// Chooses anew for every channel what it goes through.
    pub(super) fn reroute(&self, now: Instant) {
        let targets = self.targets.read();
        let media = self.media.lock();
        for target in targets.by_id.values() {
            let mut queue = target.queue.lock();
            queue.medium = media.choose(&target.order, &queue.heard, now);
            if queue.is_ready() {
                self.ready[queue.medium].notify_one();
            }
        }
    }

    /// How many nodes are reached through each medium, this one included.
    pub(super) fn channels(&self) -> Vec<usize> {
        let mut channels = vec![0; self.ready.len()];
        for target in self.targets.read().by_id.values().filter(|target| target.is_peer) {
            channels[target.queue.lock().medium] += 1;
        }
        channels
    }

    /// Waits until something is queued for this medium.
    pub(super) async fn ready(&self, medium: usize) {
        self.ready[medium].notified().await;
    }

    /// Takes up to one envelope's worth for each node that is reached through this medium, and with `heartbeat` an
    /// empty parcel for each peer without items. Of each parcel with items has to be said what became of it.
    pub(super) fn take(&self, medium: usize, heartbeat: bool, now: Instant) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let targets = self.targets.read();
        let works = heartbeat && self.media.lock().works(medium, now);
        for (id, target) in &targets.by_id {
            let mut queue = target.queue.lock();
            if queue.medium != medium {
                if heartbeat && target.is_peer && (works || *id == self.own) {
                    parcels.push(target.parcel(id, queue.beat_before(), VecDeque::new()));
                }
                continue;
            }
            let before = parcels.len();
            parcels.extend(queue.take(|number, items| target.parcel(id, number, items)));
            let is_settled = queue.settle_overflow();
            let number = if heartbeat { queue.beat() } else { queue.number };
            if is_settled {
                parcels.push(target.parcel(id, queue.number, VecDeque::new()));
            } else if heartbeat && target.is_peer && parcels.len() == before {
                parcels.push(target.parcel(id, number, VecDeque::new()));
            }
        }
        parcels
    }

    /// The parcel is on its way, or nobody can be told.
    pub(super) fn settled(&self, parcel: &Parcel) {
        if !parcel.items.is_empty() {
            self.finish(&parcel.to, target::Queue::settle);
        }
    }

    /// The parcel failed, or nobody listened. It goes again, unless it has been tried as often as there are media: then
    /// its used-up number tells the receiver. Whether it is given up.
    pub(super) fn failed(&self, mut parcel: Parcel) -> bool {
        if parcel.items.is_empty() {
            return false;
        }
        parcel.tries += 1;
        let to = parcel.to.clone();
        if parcel.tries < self.ready.len() {
            self.finish(&to, |queue| queue.give_back(parcel));
            return false;
        }
        self.finish(&to, target::Queue::settle);
        true
    }

    /// Nobody listens for this node there: until it is heard there again another medium is better.
    pub(super) fn unheard(&self, node: &NodeId, medium: usize, now: Instant) {
        let targets = self.targets.read();
        let Some(target) = targets.by_id.get(node) else { return };
        let media = self.media.lock();
        let mut queue = target.queue.lock();
        queue.heard.forget(medium);
        queue.medium = media.choose(&target.order, &queue.heard, now);
    }

    fn finish(&self, to: &NodeId, finish: impl FnOnce(&mut target::Queue)) {
        // While something is under way its target is not forgotten.
        let targets = self.targets.read();
        let Some(target) = targets.by_id.get(to) else { return };
        let mut queue = target.queue.lock();
        finish(&mut queue);
        if queue.is_ready() {
            self.ready[queue.medium].notify_one();
        }
    }

    fn push(&self, target: &Target, item: Item, weight: usize) {
        let mut queue = target.queue.lock();
        let was_ready = queue.is_ready();
        if !queue.push(item, weight) {
            BusStats::add(&self.stats.dropped_items, 1);
        }
        if !was_ready && queue.is_ready() {
            self.ready[queue.medium].notify_one();
        }
    }

    fn get_or_add<'a>(&self, targets: &'a mut Targets, id: &NodeId) -> &'a mut Target {
        let number = targets.floor;
        targets
            .by_id
            .entry(id.clone())
            .or_insert_with(|| Target::new(id, self.channel(id), number, &self.media.lock(), Instant::now()))
    }
}

impl Targets {
    fn forget_idle(&mut self) {
        let floor = &mut self.floor;
        self.by_id.retain(|_, target| {
            let queue = target.queue.get_mut();
            let kept = target.is_peer || !queue.is_idle();
            if !kept {
                *floor = queue.number.max(*floor);
            }
            kept
        });
    }
}
