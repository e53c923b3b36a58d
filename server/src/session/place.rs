//! Where a session stands in one conversation, and how it moves on: message by message, and over what is gone.

use super::answers::{Gap, Queue};
use crate::failpoint::{self, Failpoint};
use crate::session::outbound::Push;
use crate::storage::{End, Page, Position};
use chat_protocol::conversation::{Log, LogEpoch};
use chat_protocol::message::ChatMessage;

#[derive(Debug)]
pub struct Place {
    pub pushed: u64,
    /// What the client has said it has, or what was its own.
    pub received: u64,
    /// What the database knows of `received`.
    pub saved: u64,
    /// The last message from before the log's current epoch.
    pub epoch_after: u64,
    /// Of each epoch that was passed the last message before it; empty unless the log has lost something.
    pub turns: Vec<End>,
}

/// How far a session had got when its log turned out to be of a newer epoch, or its user left. What is still there of
/// that is not pushed again.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    pub log_epoch: LogEpoch,
    pub pushed: u64,
    pub received: u64,
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
        Place { pushed: seq, received: seq, saved: seq, epoch_after, turns: Vec::new() }
    }

    /// Moves over the next message: one's own is not pushed, nor what was `before`. False if there was no room.
    pub fn pass(&mut self, push: &Push<'_>, before: &mut Option<Before>, queue: &impl Queue) -> bool {
        let message = push.message;
        let (is_own, has_all) = (message.sender == queue.user(), self.received == self.pushed);
        if let Some(before) = before.filter(|before| before.has(message)) {
            if message.seq <= before.received || (is_own && has_all) {
                self.received = message.seq;
            }
        } else {
            *before = None;
            if !is_own {
                if !queue.push(push) {
                    return false;
                }
            } else if has_all || failpoint::hits(Failpoint::CursorsOwnCovers) {
                self.received = message.seq;
            } else {
                queue.pass_own(message);
            }
        }
        self.turn(message);
        self.pushed = message.seq;
        true
    }

    fn turn(&mut self, message: &ChatMessage) {
        if message.log_epoch > self.turns.last().map_or(0, |turn| turn.log_epoch) {
            self.turns.push(End { log_epoch: message.log_epoch, seq: message.seq - 1 });
        }
    }

    /// How far the log is what it was in that epoch, of what was passed.
    pub fn same_since(&self, log_epoch: LogEpoch) -> u64 {
        let turn = self.turns.iter().find(|turn| turn.log_epoch > log_epoch);
        turn.map_or(self.pushed, |turn| turn.seq)
    }

    /// Pushes what follows on, but for what was `before`. What is kept no longer is passed over. With `last_seq`
    /// nothing else can come up to there, so what is missing is passed over as well.
    pub fn push(
        &mut self,
        log: Log,
        page: &Page,
        last_seq: Option<u64>,
        before: &mut Option<Before>,
        queue: &impl Queue,
    ) -> Pushed {
        let seen = page.messages.partition_point(|message| message.seq <= self.pushed);
        self.pass_removed(page, seen, log, before.as_ref(), queue);
        for message in &page.messages[seen..] {
            let is_lost = message.log_epoch < log.epoch && message.seq > self.epoch_after;
            if is_lost && last_seq.is_none() {
                // Read where the loss has not arrived yet.
                return Pushed::UpToHole;
            }
            if message.seq != self.pushed + 1 {
                if last_seq.is_none() {
                    return Pushed::UpToHole;
                }
                self.skip_to(message.seq - 1, log, queue);
            }
            if !self.pass(&Push::new(message, 1), before, queue) {
                return Pushed::Refused;
            }
        }
        if let Some(last_seq) = last_seq.filter(|last_seq| !page.more && *last_seq > self.pushed) {
            self.skip_to(last_seq, log, queue);
        }
        Pushed::All
    }

    /// What is in the page all the same was removed after it was read.
    fn pass_removed(&mut self, page: &Page, seen: usize, log: Log, before: Option<&Before>, queue: &impl Queue) {
        let following = page.messages.get(seen);
        let next = following.map_or(page.first_seq, |message| message.seq.min(page.first_seq));
        if next > self.pushed + 1 {
            // What lies before something that was pushed was pushed, too.
            if !before.is_some_and(|before| following.is_some_and(|message| before.has(message))) {
                queue.removed(Gap { log, first: self.pushed + 1, last: next - 1 });
            }
            self.pushed = next - 1;
        }
    }

    fn skip_to(&mut self, last: u64, log: Log, queue: &impl Queue) {
        queue.gap(Gap { log, first: self.pushed + 1, last });
        self.pushed = last;
    }
}

impl Before {
    /// Of somebody for whom nothing before this is.
    pub fn at(position: &Position) -> Self {
        let Position { received_seq: seq, log_epoch, .. } = *position;
        Before { log_epoch, pushed: seq, received: seq }
    }

    /// The client has everything of the log up to `seq`. Of another epoch, beyond what was pushed, or backwards:
    /// ignored, and false.
    pub fn receive(&mut self, log_epoch: LogEpoch, seq: u64) -> bool {
        let moves = log_epoch == self.log_epoch && seq > self.received && seq <= self.pushed;
        if moves {
            self.received = seq;
        }
        moves
    }

    /// Whether this message was there then, and so was pushed.
    fn has(&self, message: &ChatMessage) -> bool {
        message.log_epoch <= self.log_epoch && message.seq <= self.pushed
    }
}
