//! The bus inside one process: for one node alone, and for embedded clusters.
//!
//! Each joined node has a mailbox, bounded like a Redis target's queue, that senders push into directly; one task per
//! node moves it on into the node's channel, everything that has queued up at a time. A full mailbox drops what comes
//! and remembers the senders, who are told to be [`Arrival::Lost`] behind what it held.

use super::{Arrival, Bus, BusStats, Item};
use crate::bus::{ARRIVALS, QUEUE_BYTES, QUEUE_ITEMS};
use crate::cluster::{NodeId, NodeKey};
use async_trait::async_trait;
use chat_environment::Tasks;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Where the nodes of one process meet. Clones are the same hub.
#[derive(Clone, Default)]
pub struct LocalHub {
    members: Arc<RwLock<BTreeMap<NodeId, Arc<Mailbox>>>>,
}

impl LocalHub {
    /// Starts a node's end of the bus; must be called inside a Tokio runtime. A node that joins under a name that is
    /// taken replaces the earlier one, whose arrivals end.
    pub fn join(&self, key: NodeKey, tasks: &Tasks) -> (Arc<dyn Bus>, mpsc::Receiver<Arrival>) {
        let mailbox = Arc::new(Mailbox::default());
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        tasks.spawn("bus mailbox", deliver(Arc::clone(&mailbox), sender));
        if let Some(earlier) = self.members.write().insert(key.id.clone(), Arc::clone(&mailbox)) {
            earlier.closing.cancel();
        }
        let bus = LocalBus { hub: self.clone(), id: key.id, mailbox, stats: BusStats::default() };
        (Arc::new(bus), arrivals)
    }
}

struct LocalBus {
    hub: LocalHub,
    id: NodeId,
    mailbox: Arc<Mailbox>,
    stats: BusStats,
}

#[derive(Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    ready: Notify,
    closing: CancellationToken,
}

/// What came in since the delivering task last looked.
#[derive(Default)]
struct Waiting {
    /// Neighbours of the same sender stand together.
    batches: Vec<(NodeId, Vec<Item>)>,
    items: usize,
    bytes: usize,
    /// Their items were dropped behind those in `batches`.
    lost: BTreeSet<NodeId>,
}

#[async_trait]
impl Bus for LocalBus {
    fn describe(&self) -> String {
        "in-process".into()
    }

    fn send(&self, to: &NodeId, item: Item) {
        let members = self.hub.members.read();
        // Whoever is not here has nothing to be told: it reads the log when it starts.
        let Some(mailbox) = members.get(to) else { return };
        let taken = mailbox.push(&self.id, item);
        BusStats::add(if taken { &self.stats.sent_items } else { &self.stats.dropped_items }, 1);
    }

    fn set_peers(&self, _peers: &[NodeKey]) {}

    fn is_connected(&self) -> bool {
        !self.mailbox.closing.is_cancelled()
    }

    fn stats(&self) -> &BusStats {
        &self.stats
    }

    async fn close(&self) {
        self.leave();
    }
}

impl LocalBus {
    fn leave(&self) {
        self.mailbox.closing.cancel();
        let mut members = self.hub.members.write();
        if members.get(&self.id).is_some_and(|current| Arc::ptr_eq(current, &self.mailbox)) {
            members.remove(&self.id);
        }
    }
}

impl Drop for LocalBus {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Mailbox {
    /// Whether there was room.
    fn push(&self, from: &NodeId, item: Item) -> bool {
        let weight = item.weight_bytes();
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        let taken = waiting.push(from, item, weight);
        drop(waiting);
        if was_empty {
            self.ready.notify_one();
        }
        taken
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.lost.is_empty()
    }

    fn push(&mut self, from: &NodeId, item: Item, weight: usize) -> bool {
        let fits = self.items < QUEUE_ITEMS && self.bytes + weight <= QUEUE_BYTES;
        // Behind a loss nothing of the same sender may go ahead of the word of it.
        if !fits || self.lost.contains(from) {
            if !self.lost.contains(from) {
                self.lost.insert(from.clone());
            }
            return false;
        }
        self.items += 1;
        self.bytes += weight;
        match self.batches.last_mut() {
            Some((sender, items)) if sender == from => items.push(item),
            _ => self.batches.push((from.clone(), vec![item])),
        }
        true
    }
}

/// Moves a mailbox's content on, waiting for the node where it must, until the node leaves.
async fn deliver(mailbox: Arc<Mailbox>, arrivals: mpsc::Sender<Arrival>) {
    let delivering = async {
        loop {
            mailbox.ready.notified().await;
            let Waiting { batches, lost, .. } = std::mem::take(&mut *mailbox.waiting.lock());
            let items = batches.into_iter().map(|(from, items)| Arrival::Items { from, items });
            let lost = lost.into_iter().map(|from| Arrival::Lost { from });
            for arrival in items.chain(lost) {
                if arrivals.send(arrival).await.is_err() {
                    return;
                }
            }
        }
    };
    mailbox.closing.run_until_cancelled(delivering).await;
}
