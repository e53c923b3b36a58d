//! Items waiting to be published, by receiving node, and the numbers of their envelopes.
//!
//! [`Outbox::send`] runs once per message: one shared lock, one short lock, a push. The publisher takes whatever has
//! queued up since its last publish as one envelope per node. A number is used up when it is taken, whatever becomes of
//! the envelope, so that a failed publish shows as a gap. A full queue drops what comes until it has been emptied, then
//! uses up one number for all that was dropped.

use super::{BusStats, Item};
use crate::bus::{ENVELOPE_BYTES, QUEUE_BYTES, QUEUE_ITEMS};
use crate::cluster::NodeId;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// What an emptied queue keeps room for, so that filling it again need not allocate for every few items.
const KEPT_CAPACITY: usize = 256;

pub(super) struct Outbox {
    own: NodeId,
    /// What a channel's name has before the node's.
    channel_prefix: String,
    targets: RwLock<Targets>,
    /// Signalled when an empty queue gets its first item.
    ready: Notify,
    stats: Arc<BusStats>,
}

/// One envelope's content, taken out to be published.
#[derive(Debug, PartialEq)]
pub(super) struct Parcel {
    pub(super) channel: Arc<str>,
    pub(super) number: u64,
    /// Empty: a heartbeat.
    pub(super) items: VecDeque<Item>,
}

struct Targets {
    by_id: BTreeMap<NodeId, Target>,
    /// The highest number that any forgotten target got. New targets count on from here, so that one that was forgotten
    /// and comes back is never sent a number again; at worst it sees a gap where there is none.
    floor: u64,
}

struct Target {
    channel: Arc<str>,
    /// Gets heartbeats, and is kept while idle.
    is_peer: bool,
    queue: Mutex<Queue>,
}

struct Queue {
    items: VecDeque<Item>,
    /// Sum of the items' weights.
    bytes: usize,
    /// Items were dropped behind those that are queued.
    overflowed: bool,
    /// The number used last.
    number: u64,
}

impl Outbox {
    /// An outbox of `own`, which gets heartbeats to itself too.
    pub(super) fn new(own: NodeId, channel_prefix: String, stats: Arc<BusStats>) -> Self {
        let targets = RwLock::new(Targets { by_id: BTreeMap::new(), floor: 0 });
        let outbox = Outbox { own, channel_prefix, targets, ready: Notify::new(), stats };
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
        let target = targets.get_or_add(to, || self.channel(to));
        self.push(target, item, weight);
    }

    /// Says who gets heartbeats from now on (the own node always does). Others are forgotten once they are idle.
    pub(super) fn set_peers(&self, peers: &[NodeId]) {
        let mut targets = self.targets.write();
        for target in targets.by_id.values_mut() {
            target.is_peer = false;
        }
        for peer in peers.iter().chain([&self.own]) {
            targets.get_or_add(peer, || self.channel(peer)).is_peer = true;
        }
        targets.forget_idle();
    }

    /// Waits until something is queued.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes up to one envelope's worth for each node, and with `heartbeat` an empty parcel for each peer without
    /// items.
    pub(super) fn take(&self, heartbeat: bool) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let mut is_more = false;
        for target in self.targets.read().by_id.values() {
            let mut queue = target.queue.lock();
            let before = parcels.len();
            parcels.extend(queue.take_items().map(|items| target.parcel(queue.number, items)));
            if queue.settle_overflow() || (heartbeat && target.is_peer && parcels.len() == before) {
                parcels.push(target.parcel(queue.number, VecDeque::new()));
            }
            is_more |= !queue.items.is_empty();
        }
        if is_more {
            self.ready.notify_one();
        }
        parcels
    }

    fn push(&self, target: &Target, item: Item, weight: usize) {
        let mut queue = target.queue.lock();
        let was_empty = queue.items.is_empty();
        let fits = queue.items.len() < QUEUE_ITEMS && queue.bytes + weight <= QUEUE_BYTES;
        if fits && !queue.overflowed {
            queue.bytes += weight;
            queue.items.push_back(item);
        } else {
            queue.overflowed = true;
            BusStats::add(&self.stats.dropped_items, 1);
        }
        drop(queue);
        if was_empty {
            self.ready.notify_one();
        }
    }
}

impl Targets {
    fn get_or_add(&mut self, id: &NodeId, channel: impl FnOnce() -> Arc<str>) -> &mut Target {
        let number = self.floor;
        self.by_id.entry(id.clone()).or_insert_with(|| Target {
            channel: channel(),
            is_peer: false,
            queue: Mutex::new(Queue { items: VecDeque::new(), bytes: 0, overflowed: false, number }),
        })
    }

    fn forget_idle(&mut self) {
        let floor = &mut self.floor;
        self.by_id.retain(|_, target| {
            let queue = target.queue.get_mut();
            let kept = target.is_peer || !queue.items.is_empty() || queue.overflowed;
            if !kept {
                *floor = queue.number.max(*floor);
            }
            kept
        });
    }
}

impl Target {
    fn parcel(&self, number: u64, items: VecDeque<Item>) -> Parcel {
        Parcel { channel: Arc::clone(&self.channel), number, items }
    }
}

impl Queue {
    /// The next envelope's items, whose number is `self.number` then; `None` if nothing waits.
    fn take_items(&mut self) -> Option<VecDeque<Item>> {
        if self.items.is_empty() {
            return None;
        }
        self.number += 1;
        if self.bytes <= ENVELOPE_BYTES {
            self.bytes = 0;
            let room = VecDeque::with_capacity(self.items.len().min(KEPT_CAPACITY));
            return Some(std::mem::replace(&mut self.items, room));
        }
        let mut weight = 0;
        let count = self.items.iter().take_while(|item| {
            let has_room = weight < ENVELOPE_BYTES;
            weight += if has_room { item.weight_bytes() } else { 0 };
            has_room
        });
        let count = count.count();
        self.bytes -= weight;
        Some(self.items.drain(..count).collect())
    }

    /// Uses up a number for what was dropped, once all before it is taken; whether there was such.
    fn settle_overflow(&mut self) -> bool {
        let settled = self.overflowed && self.items.is_empty();
        if settled {
            self.overflowed = false;
            self.number += 1;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn outbox() -> Outbox {
        Outbox::new("own".into(), "chat".into(), Arc::default())
    }

    fn item(user: u64) -> Item {
        Item::Yielded { user }
    }

    fn event(bytes: usize) -> Item {
        Item::Event { event: "x".repeat(bytes), users: vec![] }
    }

    fn parcel(node: &str, number: u64, items: &[Item]) -> Parcel {
        Parcel { channel: format!("chat:node:{node}").into(), number, items: items.to_vec().into() }
    }

    #[test]
    fn queued_items_share_one_envelope_in_order() {
        let outbox = outbox();
        outbox.send(&"a".into(), item(1));
        outbox.send(&"a".into(), item(2));
        assert_eq!(outbox.take(false), [parcel("a", 1, &[item(1), item(2)])]);
        outbox.send(&"a".into(), item(3));
        assert_eq!(outbox.take(false), [parcel("a", 2, &[item(3)])]);
        assert_eq!(outbox.take(false), []);
    }

    #[test]
    fn heartbeats_repeat_the_newest_number_to_peers_and_self() {
        let outbox = outbox();
        outbox.set_peers(&["a".into()]);
        outbox.send(&"a".into(), item(1));
        outbox.send(&"stranger".into(), item(2));
        outbox.take(false);

        let mut parcels = outbox.take(true);
        parcels.sort_by(|one, other| one.channel.cmp(&other.channel));
        assert_eq!(parcels, [parcel("a", 1, &[]), parcel("own", 0, &[])]);
    }

    #[test]
    fn full_queue_costs_one_number_behind_what_it_held() {
        let outbox = outbox();
        for user in 0..QUEUE_ITEMS as u64 + 3 {
            outbox.send(&"a".into(), item(user));
        }
        assert_eq!(outbox.stats.dropped_items.load(Ordering::Relaxed), 3);

        let mut next = 0;
        let mut parcels: VecDeque<_> = outbox.take(false).into();
        while let Some(parcel) = parcels.pop_front() {
            if parcel.items.is_empty() {
                break;
            }
            // Items that come while the queue still holds older ones are dropped too: they stand behind the gap.
            outbox.send(&"a".into(), item(0));
            for item in parcel.items {
                assert_eq!(item, Item::Yielded { user: next });
                next += 1;
            }
            parcels.extend(outbox.take(false));
        }
        assert_eq!(next, QUEUE_ITEMS as u64);
        assert!(!outbox.targets.read().by_id[&"a".into()].queue.lock().overflowed);
    }

    #[test]
    fn envelopes_and_queues_are_bounded_in_bytes() {
        let outbox = outbox();
        let large = ENVELOPE_BYTES / 4;
        for _ in 0..2 * QUEUE_BYTES / large {
            outbox.send(&"a".into(), event(large));
        }
        assert!(outbox.stats.dropped_items.load(Ordering::Relaxed) > 0);
        let parcel = outbox.take(false).remove(0);
        assert_eq!(parcel.items.len(), 4);
    }

    #[test]
    fn item_too_large_for_any_queue_becomes_a_gap() {
        let outbox = outbox();
        outbox.send(&"a".into(), event(QUEUE_BYTES));
        assert_eq!(outbox.take(false), [parcel("a", 1, &[])]);
    }

    #[tokio::test]
    async fn what_is_left_over_signals_again() {
        let outbox = outbox();
        for _ in 0..3 {
            outbox.send(&"a".into(), event(ENVELOPE_BYTES));
        }
        for number in 1..=3 {
            outbox.ready().await;
            assert_eq!(outbox.take(false)[0].number, number);
        }
    }

    #[test]
    fn forgotten_node_is_never_sent_an_old_number() {
        let outbox = outbox();
        outbox.set_peers(&["a".into()]);
        for _ in 0..5 {
            outbox.send(&"a".into(), item(1));
            outbox.take(false);
        }
        outbox.set_peers(&[]);
        assert!(!outbox.targets.read().by_id.contains_key(&"a".into()));

        outbox.send(&"a".into(), item(2));
        assert_eq!(outbox.take(false), [parcel("a", 6, &[item(2)])]);
    }
}
