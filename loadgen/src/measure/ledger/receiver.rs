//! What one recipient has of one stream.

use std::ops::Range;

/// What the arrival of one message means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    #[default]
    New,
    /// For the first time, and after a later one.
    Late,
    /// Had it in an earlier session, and sees it for the first time in this one: lawful where the client drops it by
    /// its place, or where nobody could know that it had arrived.
    Redelivered,
    Duplicate,
    /// The user is no recipient.
    Misdelivered,
    /// Never sent.
    Phantom,
}

/// In which of its sessions a recipient gets something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    pub session: u32,
    /// How many sessions of this user before it ended in good order: whatever came in those the server knows to have
    /// arrived.
    pub settled: u32,
}

/// Whether a client that gets a message again can tell, and drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Each has its place in the conversation.
    Dropped,
    /// They look like new ones: a person would read the same words twice.
    Shown,
}

/// Invariant: everything below `next` and in no gap was received, or is below `forgotten`; gaps are ascending and
/// apart.
#[derive(Debug)]
pub(super) struct Receiver {
    pub user: u32,
    next: u64,
    gaps: Vec<Range<u64>>,
    visit: Visit,
    /// `next` as of the beginning of the visit.
    had: u64,
    /// What was seen again in this visit is below this.
    again: u64,
    /// The server knows that what is below this arrived.
    known: u64,
    /// Below this nothing is followed any more.
    forgotten: u64,
}

impl Receiver {
    pub fn new(user: u32) -> Self {
        let gaps = Vec::new();
        Receiver { user, next: 0, gaps, visit: Visit::default(), had: 0, again: 0, known: 0, forgotten: 0 }
    }

    /// `number` must have been sent.
    pub fn receive(&mut self, number: u64, visit: Visit, copies: Copies) -> Arrival {
        if visit.session != self.visit.session {
            if copies == Copies::Shown && visit.settled != self.visit.settled {
                self.known = self.next;
            }
            (self.visit, self.had, self.again) = (visit, self.next, 0);
        }
        if number >= self.next {
            if number > self.next {
                self.gaps.push(self.next..number);
            }
            self.next = number + 1;
            return Arrival::New;
        }
        if self.fill(number) {
            return Arrival::Late;
        }
        let is_first_time = number < self.had && number >= self.again;
        if (is_first_time && number >= self.known) || number < self.forgotten {
            self.again = number + 1;
            return Arrival::Redelivered;
        }
        Arrival::Duplicate
    }

    /// Takes `number` out of the gap that it is in, if any.
    fn fill(&mut self, number: u64) -> bool {
        let place = self.gaps.partition_point(|gap| gap.end <= number);
        let Some(gap) = self.gaps.get_mut(place).filter(|gap| gap.contains(&number)) else { return false };
        let after = number + 1..gap.end;
        gap.end = number;
        match (gap.is_empty(), after.is_empty()) {
            (true, true) => _ = self.gaps.remove(place),
            (true, false) => *gap = after,
            (false, true) => {}
            (false, false) => self.gaps.insert(place + 1, after),
        }
        if self.gaps.is_empty() {
            self.gaps = Vec::new();
        }
        true
    }

    /// What is missing of `sent` messages.
    pub fn missing(&self, sent: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let rest = self.next..sent;
        self.gaps.iter().cloned().chain((!rest.is_empty()).then_some(rest))
    }

    /// Gaps that end at `number` or before.
    pub fn gaps_below(&self, number: u64) -> usize {
        self.gaps.partition_point(|gap| gap.end <= number)
    }

    /// Where the `place`-th gap ends.
    pub fn end_of_gap(&self, place: usize) -> Option<u64> {
        self.gaps.get(place).map(|gap| gap.end)
    }

    /// Follows nothing below `number` any more; tells what was missing there.
    pub fn forget_below(&mut self, number: u64, mut missing: impl FnMut(Range<u64>)) {
        let whole = self.gaps.partition_point(|gap| gap.end <= number);
        self.gaps.drain(..whole).for_each(&mut missing);
        if let Some(gap) = self.gaps.first_mut().filter(|gap| gap.start < number) {
            missing(gap.start..number);
            gap.start = number;
        }
        if self.next < number {
            missing(self.next..number);
            self.next = number;
        }
        self.forgotten = self.forgotten.max(number);
    }
}
