//! A batch while it is stored: its messages, and what has become of each so far.

use crate::cluster::NodeKey;
use crate::storage::sql::changes::ChangeId;
use crate::storage::{Append, Appended, AppendedBatch, Audience, Fence};
use chat_environment::Environment;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::TimeMs;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// Who appends.
#[derive(Clone, Copy)]
pub struct Appender<'a> {
    pub key: &'a NodeKey,
    pub change: ChangeId,
    pub fence: Fence<'a>,
    pub environment: &'a Environment,
}

pub struct Batch<'a> {
    pub by: Appender<'a>,
    pub messages: &'a [Append],
    pub now: TimeMs,
    pub outcomes: Vec<Option<Appended>>,
    pub audiences: BTreeMap<Conversation, Audience>,
    pub losses: BTreeSet<Conversation>,
    /// What was committed at any server before the batch has come.
    pub is_fresh: bool,
}

impl<'a> Batch<'a> {
    pub fn new(by: Appender<'a>, messages: &'a [Append], now: TimeMs) -> Self {
        Batch {
            by,
            messages,
            now,
            outcomes: vec![None; messages.len()],
            audiences: BTreeMap::new(),
            losses: BTreeSet::new(),
            is_fresh: false,
        }
    }

    pub fn finish(self) -> AppendedBatch {
        // Whatever has no outcome was not stored.
        let outcomes = self.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Appended::Blocked)).collect();
        let losses = self.losses.into_iter().collect();
        AppendedBatch { outcomes, audiences: self.audiences.into_iter().collect(), losses }
    }

    pub fn has_stored(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Some(Appended::Stored { .. })))
    }

    /// The first of each (sender, mid), and the others with the index of theirs.
    pub fn split_by_mid(&self, pending: Vec<usize>) -> (Vec<usize>, Vec<(usize, usize)>) {
        let mut first_of = HashMap::with_capacity(pending.len());
        let (mut firsts, mut later) = (Vec::with_capacity(pending.len()), Vec::new());
        for at in pending {
            let first = *first_of.entry(self.key(at)).or_insert(at);
            if first == at { firsts.push(at) } else { later.push((at, first)) }
        }
        (firsts, later)
    }

    /// Answers repetitions within the batch; returns those that a first one which was not stored leaves open.
    pub fn settle_repeated(&mut self, later: Vec<(usize, usize)>) -> Vec<usize> {
        let mut open = Vec::new();
        for (at, first) in later {
            let (message, original) = (&self.messages[at], &self.messages[first]);
            let is_same = message.conv == original.conv && message.msg == original.msg;
            self.outcomes[at] = match self.outcomes[first] {
                Some(Appended::Stored { seq, log_epoch }) if is_same => {
                    Some(Appended::Duplicate { seq, time: self.now, log_epoch })
                }
                outcome if is_same => outcome,
                Some(Appended::Stored { .. } | Appended::Duplicate { .. }) => Some(Appended::MidReused),
                _ => {
                    open.push(at);
                    None
                }
            };
        }
        open
    }

    pub fn settle_open(&mut self, messages: &[usize], outcome: Appended) {
        for at in messages {
            self.outcomes[*at].get_or_insert(outcome);
        }
    }

    pub fn key(&self, at: usize) -> (UserId, Uuid) {
        (self.messages[at].sender, self.messages[at].mid)
    }
}
