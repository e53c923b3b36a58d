//! The account of every message: sent, acknowledged, and received by each recipient exactly once, in order.
//!
//! A *stream* is what one user sends to one friend or one group; its messages are numbered 0, 1, 2 …, and the number
//! travels in the text. A stream remembers only what is open (not acknowledged, or not received by all) and what went
//! wrong, so that its memory does not grow with the length of a run that goes well; what goes wrong is bounded as well.

mod account;
mod exceptions;
mod receiver;
mod stream;

pub use account::Account;
pub use receiver::{Arrival, Copies, Visit};

use crate::measure::LatencyKind;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::Stream;

/// Gaps and exceptions that are followed, of all streams together, and of one at least. Beyond it a stream forgets its
/// older half: what is missing there counts as unknown, and what still comes of it as lawful.
const MAX_FOLLOWED: usize = 4 * 1024 * 1024;
const MIN_FOLLOWED: usize = 64;

/// What became of a request to send, as far as the sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was said, or that it is not known.
    Unknown,
    Acknowledged,
    Refused,
}

/// What holds for all streams of a run.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Whether acknowledgements exist: without them what was sent is owed.
    acknowledged: bool,
    copies: Copies,
    /// Gaps and exceptions that one list of a stream may have.
    max_followed: usize,
}

/// All streams of a run; usable from any thread.
#[derive(Debug)]
pub struct Ledger {
    streams: Box<[Mutex<Stream>]>,
    rules: Rules,
    open: AtomicU64,
    sent: AtomicU64,
    arrivals: AtomicU64,
    deliveries: AtomicU64,
    foreign: AtomicU64,
    stray: Mutex<Account>,
}

/// What a delivery completes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub arrival: Arrival,
    /// The first recipient to have it.
    pub first: bool,
    /// The last recipient to have it.
    pub last: bool,
}

impl Ledger {
    /// `recipients` holds, for each stream, the users who must receive what is sent in it, ascending.
    pub fn new(recipients: impl IntoIterator<Item = Vec<u32>>, acknowledged: bool, copies: Copies) -> Self {
        let mut lists = 0;
        let streams: Box<[_]> = recipients
            .into_iter()
            .map(|users| {
                lists += 1 + users.len();
                Mutex::new(Stream::new(users))
            })
            .collect();
        let max_followed = (MAX_FOLLOWED / lists.max(1)).max(MIN_FOLLOWED);
        Ledger {
            streams,
            rules: Rules { acknowledged, copies, max_followed },
            open: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            arrivals: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            stray: Mutex::default(),
        }
    }

    /// Enters a message that is about to be sent; returns its number. `due` is in microseconds of the run's clock.
    pub fn send(&self, stream: u32, due: u64) -> u64 {
        self.send_all(stream, due, 1).start
    }

    /// Enters `count` messages that are about to be sent, all due at the same time; returns their numbers.
    pub fn send_all(&self, stream: u32, due: u64, count: u64) -> Range<u64> {
        let (numbers, closed) = self.streams[stream as usize].lock().send(due, count, self.rules);
        self.sent.fetch_add(count, Ordering::Relaxed);
        self.open.fetch_add(count, Ordering::Relaxed);
        self.open.fetch_sub(closed, Ordering::Relaxed);
        numbers
    }

    /// Notes that the generator sends something in `stream` a second time.
    pub fn resend(&self, stream: u32) {
        self.streams[stream as usize].lock().resend();
    }

    /// The sender learned what became of a message; returns when it was due. `None`: that was known, or never sent.
    pub fn settle(&self, stream: u32, number: u64, fate: Fate) -> Option<u64> {
        let mut due = None;
        self.settle_all(stream, [number], fate, |at| due = Some(at));
        due
    }

    /// The sender learned of several messages of one stream what became of them. Tells when each was due whose fate was
    /// not known.
    pub fn settle_all(
        &self,
        stream: u32,
        numbers: impl IntoIterator<Item = u64>,
        fate: Fate,
        mut settled: impl FnMut(u64),
    ) {
        let Some(stream) = self.streams.get(stream as usize) else { return };
        let mut stream = stream.lock();
        numbers.into_iter().filter_map(|number| stream.settle(number, fate)).for_each(&mut settled);
        let closed = stream.close(self.rules);
        self.open.fetch_sub(closed, Ordering::Relaxed);
    }

    /// When a message was due whose sender was not told yet what became of it.
    pub fn due(&self, stream: u32, number: u64) -> Option<u64> {
        self.streams.get(stream as usize)?.lock().due(number)
    }

    /// The messages whose sender was not told what became of them, with when they were due, oldest first.
    pub fn unsettled(&self, stream: u32) -> Vec<(u64, u64)> {
        self.streams.get(stream as usize).map_or_else(Vec::new, |stream| stream.lock().unsettled())
    }

    /// The recipients of a stream who miss something, in the order in which they were given.
    pub fn missing(&self, stream: u32) -> Vec<u32> {
        self.streams.get(stream as usize).map_or_else(Vec::new, |stream| stream.lock().missing())
    }

    /// `user` got messages of one stream in this visit, each a number and whether the server itself says that it is in
    /// order, where it says something. Tells what each completes, in turn.
    pub fn receive_all(
        &self,
        stream: u32,
        messages: impl IntoIterator<Item = (u64, Option<bool>)>,
        user: u32,
        visit: Visit,
        mut received: impl FnMut(Received),
    ) {
        let messages = messages.into_iter();
        let Some(stream) = self.streams.get(stream as usize) else {
            return messages.for_each(|_| {
                self.stray.lock().phantom += 1;
                received(Received { arrival: Arrival::Phantom, ..Received::default() });
            });
        };
        let mut arrivals = 0;
        let mut stream = stream.lock();
        let before = stream.delivered();
        messages.for_each(|(number, in_order)| {
            arrivals += 1;
            received(stream.receive(number, user, visit, in_order, self.rules.copies));
        });
        self.deliveries.fetch_add(stream.delivered() - before, Ordering::Relaxed);
        let closed = stream.close(self.rules);
        self.open.fetch_sub(closed, Ordering::Relaxed);
        self.arrivals.fetch_add(arrivals, Ordering::Relaxed);
    }

    /// The server answered a message without saying which.
    pub fn acknowledged_unnamed(&self) {
        self.stray.lock().acknowledged += 1;
    }

    /// A text that begins as ours do and is not as it was sent.
    pub fn altered(&self) {
        self.stray.lock().altered += 1;
    }

    /// A text that is not of this run: nobody's loss.
    pub fn foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that are not acknowledged, or not received by all, yet.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// First deliveries to a recipient, of all streams.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Everything of this run that arrived anywhere, copies included.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// What has gone wrong for certain so far: what is missing now may still come, and does not count.
    pub fn wrong(&self) -> Account {
        let mut total = self.stray.lock().clone();
        self.streams.iter().for_each(|stream| stream.lock().add_wrong(&mut total));
        total
    }

    /// Adds everything up; what is still open counts as it stands.
    pub fn account(&self) -> Account {
        let mut total = self.stray.lock().clone();
        total.foreign = self.foreign.load(Ordering::Relaxed);
        for stream in &self.streams {
            total.add(&stream.lock().final_account(self.rules));
        }
        total
    }

    /// The latencies that the delivery of a group's message ends, if any.
    pub fn group_kinds(received: Received) -> impl Iterator<Item = LatencyKind> {
        let first = received.first.then_some(LatencyKind::GroupFirst);
        first.into_iter().chain(received.last.then_some(LatencyKind::GroupLast))
    }
}

#[cfg(test)]
mod tests;
