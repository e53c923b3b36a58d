//! What a finished request has made unwelcome in one session: copies that set out before it.

use super::place::Before;
use crate::storage::Mark;
use chat_protocol::conversation::{Conversation, Log, UserId};

/// Groups left, and friends removed, that are remembered; beyond it the oldest is forgotten, and only the database
/// keeps late copies from being pushed.
const REMEMBERED: usize = 128;
/// Only this session's user can join again, and only through this session: whatever comes before is too late.
const LEFT: u64 = u64::MAX;

/// Oldest first.
#[derive(Default)]
pub struct Barred {
    bars: Vec<Bar>,
}

struct Bar {
    conv: Conversation,
    /// What was allowed under an older version of the conversation comes too late.
    from: u64,
    /// How far the session had got where the user left.
    pushed: Option<Before>,
    /// The database does not know how much of that the client has received.
    is_unsaved: bool,
}

impl Barred {
    pub fn has_left(&self, conv: Conversation) -> bool {
        self.bars.iter().any(|bar| bar.conv == conv && bar.from == LEFT)
    }

    /// How far the session had got before the user left. A database that loses its newest commits forgets that it did.
    pub fn pushed_before_leaving(&self, conv: Conversation) -> Option<Before> {
        self.bars.iter().find(|bar| bar.conv == conv)?.pushed
    }

    /// The client has everything of a log that its user has left, up to `seq`. False if that says nothing new.
    pub fn received(&mut self, log: Log, seq: u64) -> bool {
        let Some(bar) = self.bars.iter_mut().find(|bar| bar.conv == log.conv) else { return false };
        let moves = bar.pushed.as_mut().is_some_and(|pushed| pushed.receive(log.epoch, seq));
        bar.is_unsaved |= moves;
        moves
    }

    /// What was received of logs that the user has left: it counts where the database has lost the leaving.
    pub fn unsaved(&self, user: UserId) -> impl Iterator<Item = Mark> {
        let unsaved = self.bars.iter().filter(|bar| bar.is_unsaved);
        unsaved.filter_map(move |bar| {
            let Before { log_epoch, received: seq, .. } = bar.pushed?;
            Some(Mark { conv: bar.conv, user, seq, log_epoch })
        })
    }

    pub fn saved(&mut self, mark: &Mark) {
        let is_saved =
            |bar: &&mut Bar| bar.conv == mark.conv && bar.pushed.is_some_and(|pushed| pushed.received == mark.seq);
        if let Some(bar) = self.bars.iter_mut().find(is_saved) {
            bar.is_unsaved = false;
        }
    }

    pub fn join(&mut self, conv: Conversation) {
        self.bars.retain(|bar| bar.conv != conv);
    }

    /// `is_unsaved`: not all that was received of it is saved.
    pub fn leave(&mut self, conv: Conversation, pushed: Option<Before>, is_unsaved: bool) {
        self.bar(Bar { conv, from: LEFT, pushed, is_unsaved });
    }

    pub fn relays_from(&mut self, conv: Conversation, version: u64) {
        self.bar(Bar { conv, from: version, pushed: None, is_unsaved: false });
    }

    fn bar(&mut self, bar: Bar) {
        self.join(bar.conv);
        if self.bars.len() == REMEMBERED {
            self.bars.remove(0);
        }
        self.bars.push(bar);
    }

    pub fn forbids(&self, conv: Conversation, version: u64) -> bool {
        self.bars.iter().any(|bar| bar.conv == conv && version < bar.from)
    }
}
