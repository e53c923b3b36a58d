//! The account of every message: sent, acknowledged, and received by each recipient exactly once, in order.
//!
//! A *stream* is what one user sends to one friend or one group; its messages are numbered 0, 1, 2 …, and the number
//! travels in the text. A stream remembers only what is open (not acknowledged, or not received by all) and what went
//! wrong, so that its memory does not grow with the length of a run that goes well.

mod account;
mod receiver;

pub use account::{Account, Offence};
pub use receiver::Arrival;

use crate::recorder::Path;
use parking_lot::Mutex;
use receiver::Receiver;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Open messages of one stream beyond which the oldest is closed: what it still misses is then found at the end from the
/// receivers' own lists, only its first and last latencies are not.
const MAX_OPEN: usize = 65_536;

/// What became of a request to send, as far as the sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was said, or that it is not known.
    Unknown,
    Acknowledged,
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    due: u64,
    fate: Fate,
    received_by: u16,
}

#[derive(Debug)]
struct Stream {
    next: u64,
    /// The messages before `next`, back to the oldest that is open.
    open: VecDeque<Open>,
    /// Closed and not acknowledged: few.
    exceptions: Vec<(u64, Fate)>,
    /// The generator itself sent again, so that lateness of one message proves nothing.
    resent: bool,
    receivers: Box<[Receiver]>,
    account: Account,
}

/// All streams of a run; usable from any thread.
#[derive(Debug)]
pub struct Ledger {
    streams: Box<[Mutex<Stream>]>,
    /// Whether acknowledgements exist: without them what was sent is owed.
    acknowledged: bool,
    open: AtomicU64,
    sent: AtomicU64,
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
    pub fn new(recipients: impl IntoIterator<Item = Vec<u32>>, acknowledged: bool) -> Self {
        let streams = recipients.into_iter().map(|users| Mutex::new(Stream::new(users))).collect();
        Ledger {
            streams,
            acknowledged,
            open: AtomicU64::new(0),
            sent: AtomicU64::new(0),
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
        let mut stream = self.streams[stream as usize].lock();
        let numbers = stream.next..stream.next + count;
        stream.next = numbers.end;
        stream.account.sent += count;
        stream.open.extend(numbers.clone().map(|_| Open { due, fate: Fate::Unknown, received_by: 0 }));
        self.sent.fetch_add(count, Ordering::Relaxed);
        self.open.fetch_add(count, Ordering::Relaxed);
        let closed = stream.close_beyond(MAX_OPEN, self.acknowledged);
        self.open.fetch_sub(closed, Ordering::Relaxed);
        numbers
    }

    /// Notes that the generator sends something in `stream` a second time.
    pub fn resend(&self, stream: u32) {
        let mut stream = self.streams[stream as usize].lock();
        stream.resent = true;
        stream.account.resent += 1;
    }

    /// The sender learned what became of a message; returns when it was due. `None`: that was known, or never sent.
    pub fn settle(&self, stream: u32, number: u64, fate: Fate) -> Option<u64> {
        let mut due = None;
        self.settle_all(stream, [number], fate, |at| due = Some(at));
        due
    }

    /// The sender learned of several messages of one stream what became of them. Tells when each was due whose fate was not known.
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
        let closed = stream.close(self.acknowledged);
        self.open.fetch_sub(closed, Ordering::Relaxed);
    }

    /// When a message that is still open was due.
    pub fn due(&self, stream: u32, number: u64) -> Option<u64> {
        let stream = self.streams.get(stream as usize)?.lock();
        let oldest = stream.next - stream.open.len() as u64;
        let open = stream.open.get(usize::try_from(number.checked_sub(oldest)?).ok()?)?;
        Some(open.due)
    }

    /// The messages whose sender was not told what became of them, with when they were due, oldest first.
    pub fn unsettled(&self, stream: u32) -> Vec<(u64, u64)> {
        let Some(stream) = self.streams.get(stream as usize) else { return Vec::new() };
        let stream = stream.lock();
        let oldest = stream.next - stream.open.len() as u64;
        let numbered = stream.open.iter().zip(oldest..);
        numbered.filter(|(open, _)| open.fate == Fate::Unknown).map(|(open, number)| (number, open.due)).collect()
    }

    /// `user` got message `number` of `stream` in its `session`-th session. `in_order`: what the server itself says of its place,
    /// where it says something.
    pub fn receive(&self, stream: u32, number: u64, user: u32, session: u32, in_order: Option<bool>) -> Received {
        let mut received = Received::default();
        self.receive_all(stream, [(number, in_order)], user, session, |one| received = one);
        received
    }

    /// `user` got several messages of one stream, each a number and whether it is in order. Tells what each completes, in turn.
    pub fn receive_all(
        &self,
        stream: u32,
        messages: impl IntoIterator<Item = (u64, Option<bool>)>,
        user: u32,
        session: u32,
        mut received: impl FnMut(Received),
    ) {
        let messages = messages.into_iter();
        let Some(stream) = self.streams.get(stream as usize) else {
            return messages.for_each(|_| {
                self.stray.lock().phantom += 1;
                received(Received { arrival: Arrival::Phantom, ..Received::default() });
            });
        };
        let mut stream = stream.lock();
        let before = stream.account.delivered;
        messages.for_each(|(number, in_order)| received(stream.receive(number, user, session, in_order)));
        self.deliveries.fetch_add(stream.account.delivered - before, Ordering::Relaxed);
        let closed = stream.close(self.acknowledged);
        self.open.fetch_sub(closed, Ordering::Relaxed);
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

    /// Adds everything up; what is still open counts as it stands.
    pub fn account(&self) -> Account {
        let mut total = self.stray.lock().clone();
        total.foreign = self.foreign.load(Ordering::Relaxed);
        for stream in &self.streams {
            total.add(&stream.lock().final_account(self.acknowledged));
        }
        total
    }

    /// The streams in which something went wrong, with what: at most `limit`.
    pub fn offences(&self, limit: usize) -> Vec<Offence> {
        let accounts = self.streams.iter().enumerate().map(|(stream, book)| {
            let book = book.lock();
            Offence {
                stream: stream as u32,
                account: book.final_account(self.acknowledged),
                lost: book.lost(self.acknowledged),
            }
        });
        accounts.filter(|offence| !offence.account.is_clean()).take(limit).collect()
    }

    /// Which path the delivery of a group's message ends, if any.
    pub fn group_paths(received: Received) -> impl Iterator<Item = Path> {
        let first = received.first.then_some(Path::GroupFirst);
        first.into_iter().chain(received.last.then_some(Path::GroupLast))
    }
}

impl Stream {
    fn new(users: Vec<u32>) -> Self {
        Stream {
            next: 0,
            open: VecDeque::new(),
            exceptions: Vec::new(),
            resent: false,
            receivers: users.into_iter().map(Receiver::new).collect(),
            account: Account::default(),
        }
    }

    fn settle(&mut self, number: u64, fate: Fate) -> Option<u64> {
        let oldest = self.next - self.open.len() as u64;
        let open = self.open.get_mut(usize::try_from(number.checked_sub(oldest)?).ok()?)?;
        if open.fate != Fate::Unknown || fate == Fate::Unknown {
            return None;
        }
        open.fate = fate;
        match fate {
            Fate::Acknowledged => self.account.acknowledged += 1,
            _ => self.account.refused += 1,
        }
        Some(open.due)
    }

    fn receive(&mut self, number: u64, user: u32, session: u32, in_order: Option<bool>) -> Received {
        let arrival = match self.receivers.binary_search_by_key(&user, |receiver| receiver.user) {
            Err(_) => Arrival::Misdelivered,
            Ok(_) if number >= self.next => Arrival::Phantom,
            Ok(place) => self.receivers[place].receive(number, session),
        };
        let out_of_order = in_order == Some(false) || (arrival == Arrival::Late && !self.resent);
        match arrival {
            Arrival::Misdelivered => self.account.misdelivered += 1,
            Arrival::Phantom => self.account.phantom += 1,
            Arrival::Duplicate => self.account.duplicated += 1,
            Arrival::Redelivered => self.account.redelivered += 1,
            Arrival::New | Arrival::Late => {
                self.account.delivered += 1;
                self.account.reordered += u64::from(out_of_order);
                return self.count(number, arrival);
            }
        }
        Received { arrival, ..Received::default() }
    }

    fn count(&mut self, number: u64, arrival: Arrival) -> Received {
        let oldest = self.next - self.open.len() as u64;
        let open = number.checked_sub(oldest).and_then(|place| self.open.get_mut(place as usize));
        let Some(open) = open else { return Received { arrival, ..Received::default() } };
        open.received_by += 1;
        Received { arrival, first: open.received_by == 1, last: usize::from(open.received_by) == self.receivers.len() }
    }

    /// Forgets the oldest messages that are done with; returns how many.
    fn close(&mut self, acknowledged: bool) -> u64 {
        let all = self.receivers.len();
        let mut closed = 0;
        while let Some(open) = self.open.front() {
            let told = !acknowledged || open.fate != Fate::Unknown;
            let done = open.fate == Fate::Refused || usize::from(open.received_by) >= all;
            if !told || !done {
                break;
            }
            self.forget_oldest(acknowledged);
            closed += 1;
        }
        if self.open.is_empty() {
            self.open = VecDeque::new();
        }
        closed
    }

    fn close_beyond(&mut self, limit: usize, acknowledged: bool) -> u64 {
        let mut closed = 0;
        while self.open.len() > limit {
            self.forget_oldest(acknowledged);
            closed += 1;
        }
        closed
    }

    fn forget_oldest(&mut self, acknowledged: bool) {
        let number = self.next - self.open.len() as u64;
        if let Some(open) = self.open.pop_front()
            && (open.fate == Fate::Refused || (acknowledged && open.fate == Fate::Unknown))
        {
            self.exceptions.push((number, open.fate));
        }
    }

    fn fate(&self, number: u64) -> Fate {
        let oldest = self.next - self.open.len() as u64;
        match number.checked_sub(oldest) {
            Some(place) => self.open.get(place as usize).map_or(Fate::Unknown, |open| open.fate),
            None => {
                let known = self.exceptions.binary_search_by_key(&number, |(number, _)| *number);
                known.map_or(Fate::Acknowledged, |place| self.exceptions[place].1)
            }
        }
    }

    /// The numbers of the messages that some recipient was owed and did not get.
    fn lost(&self, acknowledged: bool) -> Vec<u64> {
        let mut lost: Vec<u64> = self.receivers.iter().flat_map(|receiver| receiver.missing(self.next)).collect();
        lost.sort_unstable();
        lost.dedup();
        lost.retain(|number| self.is_owed(*number, acknowledged));
        lost
    }

    fn is_owed(&self, number: u64, acknowledged: bool) -> bool {
        match self.fate(number) {
            Fate::Acknowledged => true,
            Fate::Refused => false,
            Fate::Unknown => !acknowledged,
        }
    }

    fn final_account(&self, acknowledged: bool) -> Account {
        let mut account = self.account.clone();
        account.expected = self.next * self.receivers.len() as u64;
        for receiver in &self.receivers {
            for number in receiver.missing(self.next) {
                match self.fate(number) {
                    Fate::Refused => account.expected -= 1,
                    _ if self.is_owed(number, acknowledged) => account.lost += 1,
                    _ => account.unknown += 1,
                }
            }
        }
        account
    }
}

#[cfg(test)]
mod tests;
