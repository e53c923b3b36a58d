//! What a finished request has made unwelcome in one session: copies that set out before it.

use super::place::Before;
use chat_protocol::conversation::{Conversation, Log};

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
}

impl Barred {
    pub fn has_left(&self, conv: Conversation) -> bool {
        self.bars.iter().any(|bar| bar.conv == conv && bar.from == LEFT)
    }

    /// How far the session had got before the user left. A database that loses its newest commits forgets that it did.
    pub fn pushed_before_leaving(&self, conv: Conversation) -> Option<Before> {
        self.bars.iter().find(|bar| bar.conv == conv)?.pushed
    }

    /// The client has everything of a log that its user has left, up to `seq`.
    pub fn received(&mut self, log: Log, seq: u64) {
        let left = self.bars.iter_mut().find(|bar| bar.conv == log.conv);
        if let Some(pushed) = left.and_then(|bar| bar.pushed.as_mut()) {
            pushed.receive(log.epoch, seq);
        }
    }

    pub fn join(&mut self, conv: Conversation) {
        self.bars.retain(|bar| bar.conv != conv);
    }

    pub fn leave(&mut self, conv: Conversation, pushed: Option<Before>) {
        self.bar(Bar { conv, from: LEFT, pushed });
    }

    pub fn relays_from(&mut self, conv: Conversation, version: u64) {
        self.bar(Bar { conv, from: version, pushed: None });
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
