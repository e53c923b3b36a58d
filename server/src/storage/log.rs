//! The logs of conversations: appending messages, and reading them again.

use super::conversations::Audience;
use super::error::Result;
use super::layer::{Layer, domain};
use super::position::End;
use crate::cluster::NodeKey;
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};
use chat_protocol::message::{ChatMessage, SentAs, TimeMs};
use std::sync::Arc;
use uuid::Uuid;

/// Asked directly before COMMIT: whether this node's lease still holds.
pub type Fence<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// A message to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub conv: Conversation,
    pub sender: UserId,
    pub mid: Uuid,
    pub msg: Arc<str>,
    pub sent_as: Option<Box<SentAs>>,
    /// The `members_version` under which the caller found that the sender may post; 0 if it did not look.
    pub allowed_under: u64,
    /// How far the conversation's log had got once, as the caller knows: if it ends before that, the database has lost
    /// commits, and what is said now begins another log epoch.
    pub known_end: End,
    /// The sender's session on the appending node, which must still be there. `None`: a message that another node
    /// accepted.
    pub epoch: Option<u64>,
}

impl Append {
    /// What `sender` says, without asking for a session of its, and by somebody who knows nothing of the conversation.
    pub fn new(conv: Conversation, sender: UserId, mid: Uuid, msg: impl Into<Arc<str>>) -> Self {
        let (msg, known_end) = (msg.into(), End::default());
        Append { conv, sender, mid, msg, sent_as: None, allowed_under: 0, known_end, epoch: None }
    }

    /// Of all the text that its sender wrote.
    pub fn text_bytes(&self) -> usize {
        self.msg.len() + self.sent_as.as_deref().map_or(0, SentAs::bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored {
        seq: u64,
        log_epoch: LogEpoch,
    },
    /// Stored before under the same mid, and the same in conversation and text.
    Duplicate {
        seq: u64,
        time: TimeMs,
        log_epoch: LogEpoch,
    },
    MidReused,
    /// No such conversation, or the sender may not post in it.
    NotAllowed,
    /// Another transaction held the conversation for too long: errno 11.
    Blocked,
    /// The sender's session is no longer this node's: errno 11, and close it.
    SessionGone,
    /// The database cannot hold this very message, and never will: errno 4.
    Unstorable,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendedBatch {
    /// One per message, in the order given.
    pub outcomes: Vec<Appended>,
    /// The audience of each conversation whose version differed from what an [`Append`] was allowed under.
    pub audiences: Vec<(Conversation, Audience)>,
    /// Conversations whose log had lost its end.
    pub losses: Vec<Conversation>,
}

/// One page of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Ascending by seq.
    pub messages: Vec<ChatMessage>,
    /// There is more in the direction of reading (newer for [`Log::messages_after`], older for history).
    pub more: bool,
    /// Where the log begins, if that was looked up: what is missing in the page before this has been removed.
    pub first_seq: u64,
}

/// A page of the log, read while nobody was writing: what is missing in it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertainPage {
    pub page: Page,
    /// The conversation's end as of then.
    pub last_seq: u64,
}

domain! {
    /// A log per conversation.
    pub trait Log / LogLayer:

    /// Appends a batch in one transaction, all with time `now`. A duplicate mid within the batch or in the database is
    /// answered with the stored seq, also where the sender may no longer post.
    async fn append(&self, key: &NodeKey, batch: &[Append], now: TimeMs, fence: Fence<'_>) -> Result<AppendedBatch>;
    /// Messages above `after`, oldest first, at most `limit` and (past the first) `max_bytes` of text. May be out of
    /// date. Says where the log begins if the page does not follow on `after`.
    async fn messages_after(&self, conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> Result<Page>;
    /// [`Log::messages_after`], waiting as [`Conversations::settled`](super::Conversations::settled) does.
    async fn certain_messages_after(
        &self,
        conv: Conversation,
        after: u64,
        limit: u32,
        max_bytes: usize,
    ) -> Result<CertainPage>;
    /// Messages below `before` (the newest if `None`), at most `limit` and `max_bytes` of text, oldest first. Says
    /// where the log begins if there are no older ones.
    async fn messages_before(
        &self,
        conv: Conversation,
        before: Option<u64>,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Page>;
}
