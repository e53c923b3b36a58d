//! The messages of one read: found frame by frame, then entered in the books at once.
//!
//! So a book is locked once for many entries. All that a read brought counts as received at the moment when the read
//! returned, which is also when the next messages of the closed model are due. Between two reads a batch is empty.

use super::Session;
use crate::measure::LatencyKind;
use crate::measure::ledger::{Arrival, Fate, Ledger};
use crate::world::{Audience, Stream};
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use strum::{EnumCount, IntoEnumIterator};

thread_local! {
    /// The batch of whichever session of this thread is reading, kept for its memory.
    static BATCH: RefCell<Batch> = RefCell::default();
}

/// Which message of which stream.
#[derive(Clone, Copy)]
pub(super) struct Message {
    pub stream: u32,
    pub number: u64,
}

/// A message that arrived as it was sent.
#[derive(Clone, Copy)]
pub(super) struct Delivery {
    pub message: Message,
    pub due: u64,
    /// What the server says of its place, where it says something.
    pub in_order: Option<bool>,
}

#[derive(Default)]
pub(super) struct Batch {
    /// When the read returned, by the run's clock.
    pub read_at: u64,
    pub acknowledged: Vec<Message>,
    pub deliveries: Vec<Delivery>,
    latencies: [Vec<u64>; LatencyKind::COUNT],
    /// Messages that have reached everybody.
    complete: Vec<Message>,
}

impl Batch {
    fn record(&mut self, kind: LatencyKind, since: u64) {
        self.latencies[kind as usize].push(self.read_at.saturating_sub(since));
    }
}

impl Session<'_> {
    /// Lets `find` put into a batch what was just read, and enters it in the books.
    pub(super) fn with_batch<T>(&mut self, find: impl FnOnce(&mut Self, &mut Batch) -> T) -> T {
        BATCH.with_borrow_mut(|batch| {
            batch.read_at = self.run.clock.now();
            let found = find(self, batch);
            self.enter_acknowledged(batch);
            self.enter_deliveries(batch);
            self.record_latencies(batch);
            found
        })
    }

    pub(super) fn enter_acknowledged(&self, batch: &mut Batch) {
        let acknowledged = std::mem::take(&mut batch.acknowledged);
        for messages in acknowledged.chunk_by(|one, next| one.stream == next.stream) {
            let stream = messages[0].stream;
            let mut settled = 0;
            let numbers = messages.iter().map(|message| message.number);
            self.run.ledger.settle_all(stream, numbers, Fate::Acknowledged, |due| {
                settled += 1;
                batch.record(LatencyKind::Ack, due);
            });
            self.run.refill(stream, batch.read_at, settled);
        }
        batch.acknowledged = emptied(acknowledged);
    }

    fn enter_deliveries(&self, batch: &mut Batch) {
        let deliveries = std::mem::take(&mut batch.deliveries);
        for of_stream in deliveries.chunk_by(|one, next| one.message.stream == next.message.stream) {
            let number = of_stream[0].message.stream;
            let stream = self.run.world.streams.get(number as usize);
            let mut deliveries = of_stream.iter();
            let entries = of_stream.iter().map(|delivery| (delivery.message.number, delivery.in_order));
            self.run.ledger.receive_all(number, entries, self.user.index, self.visit, |received| {
                let (Some(delivery), Some(stream)) = (deliveries.next(), stream) else { return };
                if !matches!(received.arrival, Arrival::New | Arrival::Late) {
                    return;
                }
                if self.run.is_closing() {
                    // Nobody would have had it without the last login.
                    self.run.stored.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                self.measure(batch, stream, delivery.due, Ledger::group_kinds(received));
                if received.last {
                    batch.complete.push(delivery.message);
                }
            });
        }
        batch.deliveries = emptied(deliveries);
        // With no stream locked any more.
        batch
            .complete
            .drain(..)
            .for_each(|Message { stream, number }| self.run.make_room(stream, number, batch.read_at));
    }

    fn measure(&self, batch: &mut Batch, stream: &Stream, due: u64, group_kinds: impl Iterator<Item = LatencyKind>) {
        match stream.to {
            // What waited for the recipient to come measures the wait.
            Audience::Friend(_) if due < self.due => {}
            Audience::Friend(_) => batch.record(self.kind_from(stream.sender), due),
            Audience::Group(_) => group_kinds.for_each(|kind| batch.record(kind, due)),
        }
    }

    fn record_latencies(&self, batch: &mut Batch) {
        for kind in LatencyKind::iter() {
            let latencies = &mut batch.latencies[kind as usize];
            if !latencies.is_empty() {
                self.run.record_all(self.user, kind, latencies);
                latencies.clear();
            }
        }
    }
}

fn emptied<T>(mut list: Vec<T>) -> Vec<T> {
    list.clear();
    list
}
