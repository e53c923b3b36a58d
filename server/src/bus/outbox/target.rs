//! What waits for one node, and through which medium it is to go.
//!
//! Pure bookkeeping. One envelope is under way to a node at a time, so that nothing overtakes it where a medium is left
//! for another: an envelope of unknown outcome goes again under its number, and whoever had it already drops it.

use super::Parcel;
use crate::bus::routing::{Heard, Media};
use crate::bus::{ENVELOPE_BYTES, Item, QUEUE_BYTES, QUEUE_ITEMS};
use crate::cluster::NodeId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

/// What an emptied queue keeps room for, so that filling it again need not allocate for every few items.
const KEPT_CAPACITY: usize = 256;

pub(super) struct Target {
    pub(super) channel: Arc<str>,
    /// Gets heartbeats, and is kept while idle.
    pub(super) is_peer: bool,
    /// The media, the preferred first.
    pub(super) order: Box<[usize]>,
    pub(super) queue: Mutex<Queue>,
}

pub(super) struct Queue {
    /// What everything goes through now.
    pub(super) medium: usize,
    pub(super) heard: Heard,
    items: VecDeque<Item>,
    /// Sum of the items' weights.
    bytes: usize,
    /// Items were dropped behind those that are queued.
    overflowed: bool,
    /// The number used last.
    pub(super) number: u64,
    /// What the latest heartbeat said, and the one before.
    beats: [u64; 2],
    progress: Progress,
}

enum Progress {
    Idle,
    /// The envelope with this number has been taken, and nobody knows yet what became of it.
    UnderWay(u64),
    /// That one has to go again.
    Returned(Parcel),
}

impl Target {
    pub(super) fn new(node: &NodeId, channel: Arc<str>, number: u64, media: &Media, now: Instant) -> Self {
        let (order, heard) = (media.order_for(node), Heard::new(media.count()));
        let queue = Queue {
            medium: media.choose(&order, &heard, now),
            heard,
            items: VecDeque::new(),
            bytes: 0,
            overflowed: false,
            number,
            beats: [number; 2],
            progress: Progress::Idle,
        };
        Target { channel, is_peer: false, order, queue: Mutex::new(queue) }
    }

    pub(super) fn parcel(&self, to: &NodeId, number: u64, items: VecDeque<Item>) -> Parcel {
        Parcel { to: to.clone(), channel: Arc::clone(&self.channel), number, items, tries: 0 }
    }
}

impl Queue {
    /// Queues the item unless the queue is full; whether it took it.
    pub(super) fn push(&mut self, item: Item, weight: usize) -> bool {
        let fits = self.items.len() < QUEUE_ITEMS && self.bytes + weight <= QUEUE_BYTES && !self.overflowed;
        if fits {
            self.bytes += weight;
            self.items.push_back(item);
        }
        self.overflowed |= !fits;
        fits
    }

    /// Whether there is something to take.
    pub(super) fn is_ready(&self) -> bool {
        match self.progress {
            Progress::UnderWay(_) => false,
            Progress::Returned(_) => true,
            Progress::Idle => !self.items.is_empty() || self.overflowed,
        }
    }

    /// Nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.progress, Progress::Idle) && !self.is_ready()
    }

    /// The next envelope, which is under way from here on.
    pub(super) fn take(&mut self, parcel: impl FnOnce(u64, VecDeque<Item>) -> Parcel) -> Option<Parcel> {
        let parcel = match std::mem::replace(&mut self.progress, Progress::Idle) {
            Progress::Idle => self.take_items().map(|items| parcel(self.number, items))?,
            Progress::Returned(parcel) => parcel,
            under_way @ Progress::UnderWay(_) => {
                self.progress = under_way;
                return None;
            }
        };
        self.progress = Progress::UnderWay(parcel.number);
        Some(parcel)
    }

    /// What was under way has arrived, or is given up.
    pub(super) fn settle(&mut self) {
        self.progress = Progress::Idle;
    }

    /// What was under way has to go again.
    pub(super) fn give_back(&mut self, parcel: Parcel) {
        self.progress = Progress::Returned(parcel);
    }

    /// Uses up a number for what was dropped, once all before it is taken; whether there was such.
    pub(super) fn settle_overflow(&mut self) -> bool {
        let settled = self.overflowed && self.items.is_empty() && !matches!(self.progress, Progress::Returned(_));
        if settled {
            self.overflowed = false;
            self.number += 1;
        }
        settled
    }

    /// For a heartbeat through the medium that everything goes through: the newest number sent before it.
    pub(super) fn beat(&mut self) -> u64 {
        let sent = match &self.progress {
            Progress::Idle => self.number,
            Progress::UnderWay(number) => number - 1,
            Progress::Returned(parcel) => parcel.number - 1,
        };
        self.beats = [sent, self.beats[0]];
        sent
    }

    /// For a heartbeat through any other medium: a number that must have arrived by now.
    pub(super) fn beat_before(&self) -> u64 {
        self.beats[1]
    }

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
}
