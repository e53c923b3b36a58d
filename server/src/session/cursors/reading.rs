//! What is read from the database, and pushed as far as it follows on what was pushed.

use super::{Cursor, Cursors, MISSING_READS, Progress};
use crate::session::answers::{Delivered, Next, Queue, Read};
use crate::session::place::{Place, Pushed};
use crate::storage::{Page, Position};
use chat_protocol::conversation::{Conversation, Log};

impl Cursors {
    /// Where to read on in a conversation that was handed over. With [`Next::Nothing`] it is taken back.
    pub fn next_read(&mut self, conv: Conversation, queue: &impl Queue) -> Next {
        let is_live = self.is_live();
        match self.cursors.get_mut(&conv).filter(|cursor| cursor.progress == Progress::Reading) {
            Some(cursor) if is_live => match cursor.place {
                None => Next::LoadCursor { ticket: cursor.ticket, log_epoch: cursor.log_epoch },
                Some(Place { pushed: after, .. }) => {
                    cursor.heard_since = 0;
                    let is_last = cursor.missing >= MISSING_READS;
                    Next::ReadAfter { after, ticket: cursor.ticket, is_last }
                }
            },
            cursor => {
                if let Some(cursor) = cursor {
                    cursor.progress = Progress::Stalled;
                    queue.tell_when_drained();
                }
                self.handed.remove(&conv);
                Next::Nothing
            }
        }
    }

    /// The cursor as the database has it; `None`: the user is no member, so nothing is owed.
    pub fn cursor_loaded(&mut self, conv: Conversation, ticket: u64, position: Option<Position>) {
        let reads = |cursor: &&mut Cursor| cursor.ticket == ticket && cursor.place.is_none();
        let Some(cursor) = self.cursors.get_mut(&conv).filter(reads) else { return };
        match position {
            Some(position) => cursor.stand_at(&position),
            None => drop(self.cursors.remove(&conv)),
        }
    }

    /// Pushes a page of the log as far as it follows on what was pushed. `last_seq` with a page that was read with
    /// nobody writing: what is missing up to there is gone, and is skipped.
    pub fn push_page(
        &mut self,
        conv: Conversation,
        ticket: u64,
        page: &Page,
        last_seq: Option<u64>,
        queue: &impl Queue,
    ) -> Read {
        let is_live = self.is_live();
        // The last message is of the newest epoch in a page.
        let log_epoch = page.messages.last().map_or(0, |message| message.log_epoch);
        self.follow_epoch(conv, log_epoch);
        let cursor = match self.cursors.get_mut(&conv).filter(|cursor| cursor.progress == Progress::Reading) {
            Some(cursor) if cursor.ticket == ticket => cursor,
            // It starts elsewhere by now.
            Some(_) => return Read::More,
            None => {
                self.handed.remove(&conv);
                return Read::Done;
            }
        };
        let log = Log { conv, epoch: cursor.log_epoch };
        let Some(place) = &mut cursor.place else { return Read::More };
        let from = place.pushed;
        let pushed = match is_live {
            true => place.push(log, page, last_seq, &mut cursor.before, queue),
            false => Pushed::Refused,
        };
        if place.pushed > from || last_seq.is_some() {
            cursor.missing = 0;
        }
        if pushed == Pushed::Refused {
            cursor.progress = Progress::Stalled;
            self.handed.remove(&conv);
            return if self.stall(queue, conv) == Delivered::Behind { Read::More } else { Read::Done };
        }
        if last_seq.is_some() && !page.more {
            // Whoever named a later one before was wrong.
            cursor.target = cursor.heard_since;
        }
        let has_moved = place.pushed > from;
        if pushed == Pushed::All && !page.more && cursor.target <= place.pushed {
            cursor.progress = Progress::Current;
            self.handed.remove(&conv);
            return Read::Done;
        }
        if has_moved || last_seq.is_some() {
            return Read::More;
        }
        cursor.missing = cursor.missing.saturating_add(1);
        Read::Missing { tries: cursor.missing }
    }
}
