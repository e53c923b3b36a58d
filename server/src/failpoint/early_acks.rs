//! The places that a writer gives to messages when it does not wait for the database to do so.

use super::{Failpoint, hits};
use chat_protocol::conversation::{Conversation, Log};
use chat_protocol::message::{Stored, TimeMs};
use parking_lot::Mutex;
use std::collections::HashMap;

/// One writer's guesses.
#[derive(Default)]
pub(crate) struct EarlyAcks {
    newest: Mutex<HashMap<Conversation, u64>>,
}

impl EarlyAcks {
    /// The conversation has got as far as `seq`.
    pub(crate) fn saw(&self, conv: Conversation, seq: u64) {
        self.newest.lock().insert(conv, seq);
    }

    /// The place after the newest, for a message that was not committed.
    pub(crate) fn give(&self, conv: Conversation, time: TimeMs) -> Option<Stored> {
        if !hits(Failpoint::WriterAckEarly) {
            return None;
        }
        let mut newest = self.newest.lock();
        let seq = newest.entry(conv).or_default();
        *seq += 1;
        Some(Stored { log: Log { conv, epoch: 0 }, seq: *seq, time })
    }
}
