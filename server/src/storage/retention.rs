//! What is kept no longer: the beginnings of logs.

use super::age::Moment;
use super::error::Result;
use super::layer::{Layer, domain};
use crate::failpoint::{self, Failpoint};
use async_trait::async_trait;
use chat_protocol::conversation::Conversation;
use std::sync::Arc;

/// Which messages are kept, as of one moment. Those that come before one that is kept are kept as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepRule {
    /// Older ones are kept no longer.
    pub older_than: Option<Moment>,
    /// Nor are those that have so many newer ones in their conversation.
    pub newest: Option<u64>,
    /// Whatever the above say, one that is not older than this is kept: a resend must find it.
    pub resent_until: Option<Moment>,
    /// One that a member has not received is kept, unless it is older than this.
    pub unreceived_older_than: Option<Moment>,
}

impl KeepRule {
    /// Whether a message is kept no longer, once all members have received it.
    pub fn is_old(&self, seq: u64, said: Moment, last_seq: u64) -> bool {
        let is_old = self.older_than.is_some_and(|limit| said.is_before(limit));
        let is_one_too_many = self.newest.is_some_and(|newest| last_seq.saturating_sub(seq) >= newest);
        (is_old || is_one_too_many) && self.resent_until.is_none_or(|limit| said.is_before(limit))
    }

    /// Whether it goes although a member has not received it.
    pub fn goes_unreceived(&self, said: Moment) -> bool {
        self.unreceived_older_than.is_some_and(|limit| said.is_before(limit))
            || failpoint::hits(Failpoint::RetentionUnreceived)
    }
}

/// Some conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsPage {
    /// Those whose log begins with what is kept no longer.
    pub old: Vec<Conversation>,
    /// Where to go on; `None`: these were the last.
    pub last: Option<Arc<str>>,
}

/// What became of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortened {
    /// Messages that are gone.
    pub removed: u64,
    /// Those of them that some member had not received.
    pub unreceived: u64,
    /// There may be more to remove.
    pub more: bool,
}

domain! {
    /// Shortening logs. One node does it, to spare work: two that shorten the same log do no harm.
    pub trait Retention / RetentionLayer:

    /// Looks at some conversations after the one named, in the order of their names.
    async fn old_logs(&self, after: &str, rule: &KeepRule) -> Result<LogsPage>;
    /// Removes some messages from the beginning of a log, as far as they are kept no longer. Whoever appends waits that
    /// long.
    async fn shorten(&self, conv: Conversation, rule: &KeepRule) -> Result<Shortened>;
}
