//! What a test server does wrong, and how often it did.

use std::collections::HashMap;
use std::time::Duration;

/// A wrong that a server does; counts are of chat messages in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// Every so manieth message goes nowhere.
    Drop(u64),
    Double(u64),
    /// Everything is also stored for the next login, whose answer lists it again.
    StoreAll,
    /// The same, pushed after the answer.
    StoreAllAndPush,
    /// What waited comes with every login from then on.
    Keep,
    /// Every so manieth message is stored for the next login, although its recipient is there.
    StoreOnly(u64),
    /// The message changes places with the next of the same sender to the same recipient.
    Swap(u64),
    /// It goes to a user whom it is not for.
    Misdeliver(u64),
    /// Everything stands still for a while, once.
    Stall {
        at: u64,
        lasting: Duration,
    },
    /// Users can log in, and nothing arrives anywhere.
    Swallow,
    /// Nothing is ever answered.
    Silent,
    /// Every so manieth message breaks the recipient's connection instead of arriving.
    Break(u64),
    /// Everything ends at this message.
    Die(u64),
}

/// Messages of a pair after which no more are held back, so that each is followed by another.
const SWAPS_UNTIL: u64 = 20;

/// What is to become of one message.
#[derive(Debug, PartialEq)]
pub enum Verdict<T> {
    Deliver(Vec<T>),
    Store(T),
    ToSomebodyElse(T),
    Break,
    Die,
    Stall(Duration, T),
}

/// Decides message by message, and counts what it did.
pub struct Faults<T> {
    fault: Fault,
    seen: u64,
    by_pair: HashMap<(u64, u64), u64>,
    held: HashMap<(u64, u64), T>,
    pub done: u64,
}

impl<T: Clone> Faults<T> {
    pub fn new(fault: Fault) -> Faults<T> {
        Faults { fault, seen: 0, by_pair: HashMap::new(), held: HashMap::new(), done: 0 }
    }

    pub fn fault(&self) -> Fault {
        self.fault
    }

    pub fn judge(&mut self, pair: (u64, u64), message: T) -> Verdict<T> {
        self.seen += 1;
        let of_pair = self.by_pair.entry(pair).or_default();
        *of_pair += 1;
        let of_pair = *of_pair;
        let turn = |every: u64| self.seen.is_multiple_of(every);
        let faulty = match self.fault {
            Fault::Drop(every) | Fault::Double(every) | Fault::Misdeliver(every) => turn(every),
            Fault::Break(every) | Fault::StoreOnly(every) => turn(every),
            Fault::Swap(every) => of_pair <= SWAPS_UNTIL && of_pair.is_multiple_of(every),
            Fault::Stall { at, .. } | Fault::Die(at) => self.seen == at,
            Fault::Swallow => true,
            // Done, and counted, as somebody logs in.
            Fault::StoreAll | Fault::StoreAllAndPush | Fault::Keep => false,
            Fault::None | Fault::Silent => false,
        };
        if let Some(held) = self.held.remove(&pair) {
            return Verdict::Deliver(vec![message, held]);
        }
        if !faulty {
            return Verdict::Deliver(vec![message]);
        }
        self.done += 1;
        match self.fault {
            Fault::Double(_) => Verdict::Deliver(vec![message.clone(), message]),
            Fault::Swap(_) => {
                self.held.insert(pair, message);
                Verdict::Deliver(Vec::new())
            }
            Fault::Misdeliver(_) => Verdict::ToSomebodyElse(message),
            Fault::Stall { lasting, .. } => Verdict::Stall(lasting, message),
            Fault::Break(_) => Verdict::Break,
            Fault::StoreOnly(_) => Verdict::Store(message),
            Fault::Die(_) => Verdict::Die,
            _ => Verdict::Deliver(Vec::new()),
        }
    }
}
