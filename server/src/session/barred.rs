//! What a finished request has made unwelcome in one session: copies that set out before it.

use chat_protocol::conversation::Conversation;

/// Groups left, and friends removed, that are remembered; beyond it the oldest is forgotten, and only the database
/// keeps late copies from being pushed.
const REMEMBERED: usize = 128;
/// Only this session's user can join again, and only through this session: whatever comes before is too late.
const LEFT: u64 = u64::MAX;

/// Oldest first: what was allowed under an older version of the conversation comes too late.
#[derive(Default)]
pub struct Barred {
    before: Vec<(Conversation, u64)>,
}

impl Barred {
    pub fn has_left(&self, conv: Conversation) -> bool {
        self.before.contains(&(conv, LEFT))
    }

    pub fn join(&mut self, conv: Conversation) {
        self.before.retain(|(other, _)| *other != conv);
    }

    pub fn leave(&mut self, conv: Conversation) {
        self.relays_from(conv, LEFT);
    }

    pub fn relays_from(&mut self, conv: Conversation, version: u64) {
        self.join(conv);
        if self.before.len() == REMEMBERED {
            self.before.remove(0);
        }
        self.before.push((conv, version));
    }

    pub fn forbids(&self, conv: Conversation, version: u64) -> bool {
        self.before.iter().any(|(other, from)| *other == conv && version < *from)
    }
}
