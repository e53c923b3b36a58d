//! Where a session stands in one conversation, and how it moves on: message by message, and over what is gone.

use super::answers::{Gap, Queue};
use crate::failpoint::{self, Failpoint};
use crate::session::outbound::Push;
use crate::storage::{Page, Position};
use chat_protocol::conversation::Log;

#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub pushed: u64,
    /// What the client has said it has, or what was its own.
    pub received: u64,
    /// What the database knows of `received`.
    pub saved: u64,
    /// The last message from before the log's current epoch.
    pub epoch_after: u64,
}

/// How far a page got.
#[derive(PartialEq, Eq)]
pub enum Pushed {
    All,
    /// All that came before something that is missing.
    UpToHole,
    /// There was no room for all of it.
    Refused,
}

impl Place {
    pub fn at(position: &Position) -> Self {
        let Position { received_seq: seq, epoch_after, .. } = *position;
        Place { pushed: seq, received: seq, saved: seq, epoch_after }
    }

    /// The same place in a log that has lost its end: what was pushed from there on is gone.
    pub fn cut(self, position: &Position) -> Self {
        let Position { received_seq, epoch_after, .. } = *position;
        let (pushed, received) = (self.pushed.min(epoch_after), self.received.min(epoch_after));
        Place {
            pushed: pushed.max(received_seq),
            received: received.max(received_seq),
            saved: received_seq,
            epoch_after,
        }
    }

    /// Moves over the next message: one's own is not pushed. False if there was no room.
    pub fn pass(&mut self, push: &Push<'_>, queue: &impl Queue) -> bool {
        let message = push.message;
        if message.sender == queue.user() {
            if self.received == self.pushed || failpoint::hits(Failpoint::CursorsOwnCovers) {
                self.received = message.seq;
            } else {
                queue.pass_own(message);
            }
        } else if !queue.push(push) {
            return false;
        }
        self.pushed = message.seq;
        true
    }

    /// Pushes what follows on. What is kept no longer is passed over. With `last_seq` nothing else can come up to
    /// there, so what is missing is passed over as well.
    pub fn push(&mut self, log: Log, page: &Page, last_seq: Option<u64>, queue: &impl Queue) -> Pushed {
        let seen = page.messages.partition_point(|message| message.seq <= self.pushed);
        self.pass_removed(page, seen, log, queue);
        for message in &page.messages[seen..] {
            if message.seq != self.pushed + 1 {
                if last_seq.is_none() {
                    return Pushed::UpToHole;
                }
                self.skip_to(message.seq - 1, log, queue);
            }
            if !self.pass(&Push::new(message, 1), queue) {
                return Pushed::Refused;
            }
        }
        if let Some(last_seq) = last_seq.filter(|last_seq| !page.more && *last_seq > self.pushed) {
            self.skip_to(last_seq, log, queue);
        }
        Pushed::All
    }

    /// What is in the page all the same was removed after it was read.
    fn pass_removed(&mut self, page: &Page, seen: usize, log: Log, queue: &impl Queue) {
        let next = page.messages.get(seen).map_or(page.first_seq, |message| message.seq.min(page.first_seq));
        if next > self.pushed + 1 {
            queue.removed(Gap { log, first: self.pushed + 1, last: next - 1 });
            self.pushed = next - 1;
        }
    }

    fn skip_to(&mut self, last: u64, log: Log, queue: &impl Queue) {
        queue.gap(Gap { log, first: self.pushed + 1, last });
        self.pushed = last;
    }
}
