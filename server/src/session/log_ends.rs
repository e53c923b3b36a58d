//! How far the logs of conversations have got, as this node has seen.
//!
//! A database that fails over to a copy without the newest commits would give their seqs to new messages, which
//! sessions and clients would drop as known. Against what is kept here a writer, and the keeper after a failover,
//! notice that a log has become shorter; what is said then is of another log epoch.

use crate::storage::End;
use chat_protocol::conversation::Conversation;
use dashmap::DashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Conversations remembered; beyond it all are forgotten, and losses of before are not noticed by this node.
const MAX_CONVERSATIONS: usize = 262_144;

#[derive(Default)]
pub struct LogEnds {
    seen: DashMap<Conversation, End>,
    count: AtomicUsize,
}

impl LogEnds {
    /// The log has got so far.
    pub fn saw(&self, conv: Conversation, end: End) {
        if let Some(mut known) = self.seen.get_mut(&conv) {
            *known = end.max(*known);
            return;
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= MAX_CONVERSATIONS {
            self.seen.clear();
            self.count.store(1, Ordering::Relaxed);
        }
        self.seen.insert(conv, end);
    }

    /// How far the log had got once; the default if nothing is known.
    pub fn known(&self, conv: Conversation) -> End {
        self.seen.get(&conv).map(|end| *end).unwrap_or_default()
    }

    /// In the order of the conversations.
    pub fn all(&self) -> Vec<(Conversation, End)> {
        let mut all: Vec<_> = self.seen.iter().map(|entry| (*entry.key(), *entry.value())).collect();
        all.sort_unstable_by_key(|(conv, _)| *conv);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_never_goes_back_but_with_another_epoch() {
        let (ends, conv) = (LogEnds::default(), Conversation::Group(1));
        let end = |log_epoch, seq| End { log_epoch, seq };
        assert_eq!(ends.known(conv), end(0, 0));
        for (saw, known) in
            [(end(0, 7), end(0, 7)), (end(0, 5), end(0, 7)), (end(1, 4), end(1, 4)), (end(0, 9), end(1, 4))]
        {
            ends.saw(conv, saw);
            assert_eq!(ends.known(conv), known);
        }
    }

    #[test]
    fn full_memory_begins_anew() {
        let ends = LogEnds::default();
        for group in 0..=MAX_CONVERSATIONS as u64 {
            ends.saw(Conversation::Group(group), End { log_epoch: 0, seq: 1 });
        }
        assert_eq!(ends.all().len(), 1);
    }
}
