//! What one recipient has of one stream.

/// What the arrival of one message means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    #[default]
    New,
    /// For the first time, and after a later one.
    Late,
    /// Had it in an earlier session, and sees it for the first time in this one: lawful until it is known to be received.
    Redelivered,
    Duplicate,
    /// The user is no recipient.
    Misdelivered,
    /// Never sent.
    Phantom,
}

/// Invariant: everything below `next` and not in `missing` was received; `missing` is ascending.
#[derive(Debug)]
pub(super) struct Receiver {
    pub user: u32,
    next: u64,
    missing: Vec<u64>,
    session: u32,
    /// `next` as of the beginning of `session`.
    had: u64,
    /// What was seen again in `session` is below this.
    again: u64,
}

impl Receiver {
    pub fn new(user: u32) -> Self {
        Receiver { user, next: 0, missing: Vec::new(), session: 0, had: 0, again: 0 }
    }

    /// `number` must have been sent.
    pub fn receive(&mut self, number: u64, session: u32) -> Arrival {
        if session != self.session {
            (self.session, self.had, self.again) = (session, self.next, 0);
        }
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
            return Arrival::New;
        }
        if let Ok(place) = self.missing.binary_search(&number) {
            self.missing.remove(place);
            if self.missing.is_empty() {
                self.missing = Vec::new();
            }
            return Arrival::Late;
        }
        if number < self.had && number >= self.again {
            self.again = number + 1;
            return Arrival::Redelivered;
        }
        Arrival::Duplicate
    }

    /// What is missing of `sent` messages.
    pub fn missing(&self, sent: u64) -> impl Iterator<Item = u64> + '_ {
        self.missing.iter().copied().chain(self.next..sent)
    }
}
