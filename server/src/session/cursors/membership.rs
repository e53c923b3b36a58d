//! Requests that make the user a member, or end that: while one is under way nothing of the conversation is pushed.

use super::{Cursor, Cursors, Progress};
use crate::session::answers::{Delivered, Doubt, Queue};
use crate::storage::{End, Position};
use chat_protocol::conversation::Conversation;

impl Cursors {
    /// Such a request is about to reach the database. Its outcome is told with this ticket.
    pub fn doubt(&mut self, conv: Conversation) -> Doubt {
        self.tickets += 1;
        let unknown = || Cursor { before: self.barred.pushed_before_leaving(conv), ..Cursor::unknown(self.tickets, 0) };
        let cursor = self.cursors.entry(conv).or_insert_with(unknown);
        let is_first = cursor.progress != Progress::InDoubt;
        self.in_doubt += usize::from(is_first);
        cursor.progress = Progress::InDoubt;
        cursor.ticket = self.tickets;
        Doubt { conv, ticket: self.tickets, is_first }
    }

    /// The user is no member: whatever waits is not delivered.
    pub fn left(&mut self, doubt: &Doubt) {
        if let Some(cursor) = self.resolve(doubt) {
            let (pushed, is_unsaved) = (cursor.so_far(), cursor.unsaved().is_some());
            self.cursors.remove(&doubt.conv);
            self.barred.leave(doubt.conv, pushed, is_unsaved);
        }
    }

    /// The user has become a member, from `end` on.
    pub fn joined(&mut self, doubt: &Doubt, end: End, queue: &impl Queue) -> Delivered {
        let Some(cursor) = self.resolve(doubt) else { return Delivered::Done };
        cursor.begin_at(&Position::from(end));
        self.go_on(doubt.conv, queue)
    }

    /// The user was a member already. `None`: since when is not known, as an earlier request's outcome is not.
    pub fn stayed(&mut self, doubt: &Doubt, queue: &impl Queue) -> Option<Delivered> {
        if !doubt.is_first {
            return None;
        }
        match self.resolve(doubt) {
            Some(_) => Some(self.go_on(doubt.conv, queue)),
            None => Some(Delivered::Done),
        }
    }

    /// What the database says once no request of the user can take effect any more.
    pub fn settled(&mut self, doubt: &Doubt, position: Option<Position>, queue: &impl Queue) -> Delivered {
        let Some(position) = position else {
            self.left(doubt);
            return Delivered::Done;
        };
        let Some(cursor) = self.resolve(doubt) else { return Delivered::Done };
        // Who has left and joined again starts at the end of then, which is past all that was pushed before and is
        // still there. Who has not has been pushed all that the database knows to be received.
        if cursor.pushed_of(&position).is_none_or(|pushed| pushed < position.received_seq) {
            cursor.begin_at(&position);
        }
        self.go_on(doubt.conv, queue)
    }

    /// Relays whose recipients were looked up before `version` come too late.
    pub fn relays_from(&mut self, conv: Conversation, version: u64) {
        self.barred.relays_from(conv, version);
    }

    /// The cursor of this doubt, if it is still open; it is not after this.
    fn resolve(&mut self, doubt: &Doubt) -> Option<&mut Cursor> {
        let cursor = self.cursors.get_mut(&doubt.conv)?;
        if cursor.ticket != doubt.ticket || cursor.progress != Progress::InDoubt {
            return None;
        }
        self.in_doubt -= 1;
        self.tickets += 1;
        (cursor.progress, cursor.missing, cursor.ticket) = (Progress::Stalled, 0, self.tickets);
        Some(cursor)
    }

    /// The user is a member.
    fn go_on(&mut self, conv: Conversation, queue: &impl Queue) -> Delivered {
        self.barred.join(conv);
        let Some(cursor) = self.cursors.get_mut(&conv) else { return Delivered::Done };
        if cursor.is_behind() && (cursor.target > 0 || cursor.before.is_some()) {
            let end = cursor.end();
            return self.fall_behind(conv, end, false, queue);
        }
        match cursor.place {
            Some(_) => cursor.progress = Progress::Current,
            // Nothing was ever heard of it: that was so before.
            None => drop(self.cursors.remove(&conv)),
        }
        Delivered::Done
    }
}
