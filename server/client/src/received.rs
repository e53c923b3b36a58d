//! How far each conversation has come: what was seen, what the application took, what the node was told.
//!
//! Invariant: RECEIVED never covers more than the application took, nor more than this session was pushed; a message at
//! or below the highest seen of its conversation is not handed on again.

use super::options::MAX_CONVERSATIONS;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    seen: u64,
    taken: u64,
    /// In this session.
    pushed: u64,
    /// The highest RECEIVED of this session.
    told: u64,
}

/// What to do with a pushed message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    New(Arc<str>),
    Duplicate(Arc<str>),
    /// More conversations than any user has: the node cannot be trusted.
    TooMany,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    cursors: HashMap<Arc<str>, Cursor>,
    /// Conversations for which the node may have to be told something.
    dirty: Vec<Arc<str>>,
}

impl Received {
    /// A session begins; `same_user` keeps what was seen.
    pub(super) fn start_session(&mut self, same_user: bool) {
        self.dirty = Vec::new();
        if !same_user {
            self.cursors = HashMap::new();
        }
        for cursor in self.cursors.values_mut() {
            (cursor.pushed, cursor.told) = (0, 0);
        }
    }

    pub(super) fn push(&mut self, conv: &str, seq: u64) -> Pushed {
        if let Some((name, _)) = self.cursors.get_key_value(conv) {
            let name = name.clone();
            let Some(cursor) = self.cursors.get_mut(conv) else { return Pushed::TooMany };
            cursor.pushed = cursor.pushed.max(seq);
            if seq > cursor.seen {
                cursor.seen = seq;
                return Pushed::New(name);
            }
            // The node does not know that it arrived: an earlier RECEIVED got lost.
            if cursor.taken >= seq && !self.dirty.contains(&name) {
                self.dirty.push(name.clone());
            }
            return Pushed::Duplicate(name);
        }
        if self.cursors.len() >= MAX_CONVERSATIONS {
            return Pushed::TooMany;
        }
        let name: Arc<str> = conv.into();
        self.cursors.insert(name.clone(), Cursor { seen: seq, pushed: seq, ..Cursor::default() });
        Pushed::New(name)
    }

    /// The application has everything of `conv` up to `seq`.
    pub(super) fn take(&mut self, conv: Arc<str>, seq: u64) {
        if let Some(cursor) = self.cursors.get_mut(&conv) {
            cursor.taken = cursor.taken.max(seq);
            if !self.dirty.contains(&conv) {
                self.dirty.push(conv);
            }
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Tells `tell` each conversation and seq that the node should know and does not.
    pub(super) fn flush(&mut self, mut tell: impl FnMut(&Arc<str>, u64)) {
        for conv in std::mem::take(&mut self.dirty) {
            let Some(cursor) = self.cursors.get_mut(&conv) else { continue };
            let seq = cursor.taken.min(cursor.pushed);
            if seq > cursor.told {
                cursor.told = seq;
                tell(&conv, seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flushed(received: &mut Received) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        received.flush(|conv, seq| told.push((conv.to_string(), seq)));
        told
    }

    fn new(received: &mut Received, conv: &str, seq: u64) -> Arc<str> {
        match received.push(conv, seq) {
            Pushed::New(conv) => conv,
            other => panic!("{conv} {seq}: {other:?}"),
        }
    }

    #[test]
    fn only_what_was_taken_is_acknowledged_and_once() {
        let mut received = Received::default();
        let conv = new(&mut received, "g1", 1);
        new(&mut received, "g1", 2);
        assert_eq!(flushed(&mut received), []);
        received.take(conv.clone(), 1);
        assert_eq!(flushed(&mut received), [("g1".to_owned(), 1)]);
        received.take(conv, 1);
        assert_eq!(flushed(&mut received), []);
    }

    #[test]
    fn a_repeated_push_is_dropped_and_acknowledged_again() {
        let mut received = Received::default();
        let conv = new(&mut received, "g1", 5);
        received.take(conv, 5);
        flushed(&mut received);
        received.start_session(true);
        assert!(matches!(received.push("g1", 4), Pushed::Duplicate(_)));
        assert_eq!(flushed(&mut received), [("g1".to_owned(), 4)]);
        assert!(matches!(received.push("g1", 5), Pushed::Duplicate(_)));
        assert_eq!(flushed(&mut received), [("g1".to_owned(), 5)]);
    }

    #[test]
    fn another_user_starts_afresh() {
        let mut received = Received::default();
        new(&mut received, "g1", 5);
        received.start_session(false);
        new(&mut received, "g1", 1);
    }

    #[test]
    fn a_node_cannot_make_it_grow_without_end() {
        let mut received = Received::default();
        for conv in 0..MAX_CONVERSATIONS {
            new(&mut received, &conv.to_string(), 1);
        }
        assert_eq!(received.push("one more", 1), Pushed::TooMany);
    }
}
