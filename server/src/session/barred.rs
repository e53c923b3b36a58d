//! What a finished request has made unwelcome in one session: copies that set out before it.

use crate::protocol::conversation::Conversation;

/// Groups left, and friends removed, that are remembered; beyond it the oldest is forgotten, and only the database keeps late
/// copies from being pushed.
const REMEMBERED: usize = 64;

/// Both oldest first.
#[derive(Default)]
pub struct Barred {
    /// Only this session's user can join again, and only through this session.
    left: Vec<Conversation>,
    /// Relays that were allowed under an older version of the conversation come too late.
    relays_before: Vec<(Conversation, u64)>,
}

impl Barred {
    pub fn has_left(&self, conv: Conversation) -> bool {
        self.left.contains(&conv)
    }

    pub fn join(&mut self, conv: Conversation) {
        self.left.retain(|left| *left != conv);
    }

    pub fn leave(&mut self, conv: Conversation) {
        self.join(conv);
        if self.left.len() == REMEMBERED {
            self.left.remove(0);
        }
        self.left.push(conv);
    }

    pub fn relays_from(&mut self, conv: Conversation, version: u64) {
        self.relays_before.retain(|(other, _)| *other != conv);
        if self.relays_before.len() == REMEMBERED {
            self.relays_before.remove(0);
        }
        self.relays_before.push((conv, version));
    }

    pub fn forbids(&self, conv: Conversation, version: u64) -> bool {
        self.left.contains(&conv) || self.relays_before.iter().any(|(other, from)| *other == conv && version < *from)
    }
}
