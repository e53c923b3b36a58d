//! The messages that were received or shown so far, for `/search`.

use crate::find::find_ignoring_case;
use chat_client::Message;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Messages kept; beyond it the oldest are forgotten, and not found any more.
const MOST_KEPT: usize = 10_000;
/// Messages that one search finds: the newest.
pub const MOST_FOUND: usize = 50;

/// What was loaded, each message once.
#[derive(Debug, Default)]
pub struct Loaded {
    messages: VecDeque<Message>,
    known: HashSet<(Arc<str>, u64)>,
}

impl Loaded {
    pub fn note(&mut self, message: &Message) {
        // What was relayed has no place in a log, and comes once.
        if message.seq > 0 && !self.known.insert((message.conv.clone(), message.seq)) {
            return;
        }
        self.messages.push_back(message.clone());
        if self.messages.len() > MOST_KEPT
            && let Some(oldest) = self.messages.pop_front()
        {
            self.known.remove(&(oldest.conv, oldest.seq));
        }
    }

    /// The newest [`MOST_FOUND`] that say `text`, in capitals or not, oldest first.
    pub fn search(&self, text: &str) -> Vec<Message> {
        let says = |message: &&Message| find_ignoring_case(&message.msg, text, 0).is_some();
        let mut found: Vec<Message> = self.messages.iter().filter(says).cloned().collect();
        found.sort_by_key(|message| message.time);
        found.split_off(found.len().saturating_sub(MOST_FOUND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::conversation::Target;

    fn message(seq: u64, text: &str) -> Message {
        let at = tokio::time::Instant::now();
        let (target, time) = (Target::User(1), i64::try_from(seq).unwrap());
        Message {
            conv: "c".into(),
            seq,
            id: 2,
            name: "bob".into(),
            target,
            msg: text.into(),
            time,
            mid: None,
            own: false,
            at,
        }
    }

    fn found(loaded: &Loaded, text: &str) -> Vec<u64> {
        loaded.search(text).iter().map(|message| message.seq).collect()
    }

    #[test]
    fn each_message_is_found_once_in_order_of_time() {
        let mut loaded = Loaded::default();
        for (seq, text) in [(9, "more TEA"), (3, "tea?"), (4, "no"), (9, "more TEA")] {
            loaded.note(&message(seq, text));
        }
        assert_eq!(found(&loaded, "Tea"), [3, 9]);
        assert!(found(&loaded, "coffee").is_empty());
    }

    #[test]
    fn oldest_are_forgotten_and_newest_found() {
        let mut loaded = Loaded::default();
        let all = u64::try_from(MOST_KEPT).unwrap() + 1;
        (1..=all).for_each(|seq| loaded.note(&message(seq, if seq == 1 { "first" } else { "x" })));
        assert!(found(&loaded, "first").is_empty());
        assert_eq!(found(&loaded, "x").len(), MOST_FOUND);
        assert_eq!(found(&loaded, "x").last(), Some(&all));
    }
}
