//! One stream's messages: what is open, what went wrong, and what each recipient has.

use super::exceptions::Exceptions;
use super::receiver::Receiver;
use super::{Account, Arrival, Copies, Fate, Received, Rules, Visit};
use std::collections::VecDeque;
use std::ops::Range;

/// Open messages of one stream beyond which the oldest is closed: what it still misses is then found at the end from
/// the receivers' own lists, only its first and last latencies are not.
const MAX_OPEN: usize = 65_536;
/// Messages closed between two looks at how long the lists have become.
const LOOK_EVERY: u64 = 1_024;

#[derive(Clone, Copy, Debug)]
struct Open {
    due: u64,
    fate: Fate,
    received_by: u16,
}

#[derive(Debug)]
pub(super) struct Stream {
    next: u64,
    /// The messages before `next`, back to the oldest that is open.
    open: VecDeque<Open>,
    /// Closed and not acknowledged.
    exceptions: Exceptions,
    /// The generator itself sent again, so that lateness of one message proves nothing.
    resent: bool,
    receivers: Box<[Receiver]>,
    account: Account,
    /// Messages closed since the last look at how long the lists are.
    closed: u64,
    /// Refused messages that are not followed any more, once for each recipient who had none.
    forgotten_refused: u64,
}

/// What a range of messages comes to.
#[derive(Clone, Copy, Debug, Default)]
struct Census {
    refused: u64,
    unknown: u64,
    acknowledged: u64,
}

impl Stream {
    pub fn new(users: Vec<u32>) -> Self {
        Stream {
            next: 0,
            open: VecDeque::new(),
            exceptions: Exceptions::default(),
            resent: false,
            receivers: users.into_iter().map(Receiver::new).collect(),
            account: Account::default(),
            closed: 0,
            forgotten_refused: 0,
        }
    }

    /// Enters `count` messages; returns their numbers, and how many older ones were closed.
    pub fn send(&mut self, due: u64, count: u64, rules: Rules) -> (Range<u64>, u64) {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        self.account.sent += count;
        self.open.extend(numbers.clone().map(|_| Open { due, fate: Fate::Unknown, received_by: 0 }));
        (numbers, self.close_beyond(MAX_OPEN, rules))
    }

    pub fn resend(&mut self) {
        self.resent = true;
        self.account.resent += 1;
    }

    pub fn delivered(&self) -> u64 {
        self.account.delivered
    }

    fn oldest(&self) -> u64 {
        self.next - self.open.len() as u64
    }

    pub fn due(&self, number: u64) -> Option<u64> {
        let open = self.open.get(usize::try_from(number.checked_sub(self.oldest())?).ok()?)?;
        (open.fate == Fate::Unknown).then_some(open.due)
    }

    pub fn unsettled(&self) -> Vec<(u64, u64)> {
        let numbered = self.open.iter().zip(self.oldest()..);
        numbered.filter(|(open, _)| open.fate == Fate::Unknown).map(|(open, number)| (number, open.due)).collect()
    }

    pub fn missing(&self) -> Vec<u32> {
        let owed = |receiver: &&Receiver| {
            let census = receiver.missing(self.next).map(|range| self.census(&range));
            census.map(|census| census.acknowledged + census.unknown).sum::<u64>() > 0
        };
        self.receivers.iter().filter(owed).map(|receiver| receiver.user).collect()
    }

    pub fn settle(&mut self, number: u64, fate: Fate) -> Option<u64> {
        let oldest = self.oldest();
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

    pub fn receive(
        &mut self,
        number: u64,
        user: u32,
        visit: Visit,
        in_order: Option<bool>,
        copies: Copies,
    ) -> Received {
        let arrival = match self.receivers.binary_search_by_key(&user, |receiver| receiver.user) {
            Err(_) => Arrival::Misdelivered,
            Ok(_) if number >= self.next => Arrival::Phantom,
            Ok(place) => self.receivers[place].receive(number, visit, copies),
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
        let oldest = self.oldest();
        let open = number.checked_sub(oldest).and_then(|place| self.open.get_mut(place as usize));
        let Some(open) = open else { return Received { arrival, ..Received::default() } };
        open.received_by += 1;
        Received { arrival, first: open.received_by == 1, last: usize::from(open.received_by) == self.receivers.len() }
    }

    /// Closes the oldest messages that are done with; returns how many.
    pub fn close(&mut self, rules: Rules) -> u64 {
        let all = self.receivers.len();
        let mut closed = 0;
        while let Some(open) = self.open.front() {
            let told = !rules.acknowledged || open.fate != Fate::Unknown;
            let done = open.fate == Fate::Refused || usize::from(open.received_by) >= all;
            if !told || !done {
                break;
            }
            self.close_oldest(rules);
            closed += 1;
        }
        if self.open.is_empty() {
            self.open = VecDeque::new();
        }
        self.stay_small(closed, rules);
        closed
    }

    fn close_beyond(&mut self, limit: usize, rules: Rules) -> u64 {
        let mut closed = 0;
        while self.open.len() > limit {
            self.close_oldest(rules);
            closed += 1;
        }
        self.stay_small(closed, rules);
        closed
    }

    fn close_oldest(&mut self, rules: Rules) {
        let number = self.oldest();
        if let Some(open) = self.open.pop_front()
            && (open.fate == Fate::Refused || (rules.acknowledged && open.fate == Fate::Unknown))
        {
            self.exceptions.push(number, open.fate);
        }
    }

    /// Forgets the older half of a list that has become too long, and what the other lists have of the same messages.
    fn stay_small(&mut self, closed: u64, rules: Rules) {
        self.closed += closed;
        if self.closed < LOOK_EVERY {
            return;
        }
        self.closed = 0;
        let (limit, kept) = (rules.max_followed, rules.max_followed / 2);
        let last_forgotten = |length: usize| (length > limit).then(|| length - kept - 1);
        let exceptions = last_forgotten(self.exceptions.runs()).and_then(|place| self.exceptions.end_of(place));
        // Gaps among open messages are as few as those are.
        let oldest = self.oldest();
        let gaps = self.receivers.iter().filter_map(|receiver| {
            last_forgotten(receiver.gaps_below(oldest)).and_then(|place| receiver.end_of_gap(place))
        });
        if let Some(end) = exceptions.max(gaps.max()) {
            self.forget_below(end.min(oldest));
        }
    }

    fn forget_below(&mut self, number: u64) {
        let mut receivers = std::mem::take(&mut self.receivers);
        for receiver in &mut receivers {
            receiver.forget_below(number, |range| {
                let Census { refused, unknown, acknowledged } = self.census(&range);
                self.forgotten_refused += refused;
                self.account.unknown += unknown + acknowledged;
            });
        }
        self.receivers = receivers;
        self.exceptions.forget_below(number);
    }

    fn fate(&self, number: u64) -> Fate {
        match number.checked_sub(self.oldest()) {
            Some(place) => self.open.get(place as usize).map_or(Fate::Unknown, |open| open.fate),
            None => self.exceptions.fate(number).unwrap_or(Fate::Acknowledged),
        }
    }

    fn census(&self, range: &Range<u64>) -> Census {
        let oldest = self.oldest();
        let closed = range.start..range.end.min(oldest).max(range.start);
        let (refused, unknown) =
            (self.exceptions.count(&closed, Fate::Refused), self.exceptions.count(&closed, Fate::Unknown));
        let acknowledged = closed.end - closed.start - refused - unknown;
        let mut census = Census { refused, unknown, acknowledged };
        for number in range.start.max(oldest)..range.end {
            match self.fate(number) {
                Fate::Refused => census.refused += 1,
                Fate::Unknown => census.unknown += 1,
                Fate::Acknowledged => census.acknowledged += 1,
            }
        }
        census
    }

    /// The numbers of the messages that some recipient was owed and did not get.
    #[cfg(test)]
    pub fn lost(&self, rules: Rules) -> Vec<u64> {
        let missing = self.receivers.iter().flat_map(|receiver| receiver.missing(self.next));
        let mut lost: Vec<u64> = missing.flatten().collect();
        lost.sort_unstable();
        lost.dedup();
        lost.retain(|number| match self.fate(*number) {
            Fate::Acknowledged => true,
            Fate::Refused => false,
            Fate::Unknown => !rules.acknowledged,
        });
        lost
    }

    /// Adds what no later delivery can mend.
    pub fn add_wrong(&self, sum: &mut Account) {
        sum.duplicated += self.account.duplicated;
        sum.reordered += self.account.reordered;
        sum.phantom += self.account.phantom;
        sum.misdelivered += self.account.misdelivered;
    }

    pub fn final_account(&self, rules: Rules) -> Account {
        let mut account = self.account.clone();
        account.expected = self.next * self.receivers.len() as u64 - self.forgotten_refused;
        for range in self.receivers.iter().flat_map(|receiver| receiver.missing(self.next)) {
            let Census { refused, unknown, acknowledged } = self.census(&range);
            account.expected -= refused;
            account.lost += acknowledged;
            *if rules.acknowledged { &mut account.unknown } else { &mut account.lost } += unknown;
        }
        account
    }

    /// Entries in all lists that are as long as what goes wrong makes them.
    #[cfg(test)]
    pub fn followed(&self) -> usize {
        self.exceptions.runs() + self.receivers.iter().map(|receiver| receiver.gaps_below(self.next)).sum::<usize>()
    }
}
