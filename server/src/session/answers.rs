//! What is said between a session's state machine and those around it: where its pushes go, and what became of each
//! step.

use super::outbound::Push;
use chat_protocol::conversation::{Conversation, Log, LogEpoch, UserId};
use chat_protocol::message::ChatMessage;

/// Where a session's pushes go.
pub trait Queue {
    fn user(&self) -> UserId;
    /// False if there is no room, or the connection takes no more.
    fn push(&self, push: &Push<'_>) -> bool;
    /// One's own message has been passed, behind others that the client has not received yet.
    fn pass_own(&self, message: &ChatMessage);
    /// Whether [`Queue::push`] could be true now.
    fn has_room(&self) -> bool;
    /// Something waits for room: whoever makes it is to resume the session.
    fn tell_when_drained(&self);
    /// These messages are gone from the log.
    fn gap(&self, gap: Gap);
    /// These are kept no longer, though the client has not received them.
    fn removed(&self, gap: Gap);
}

/// Messages that are not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub log: Log,
    pub first: u64,
    pub last: u64,
}

/// What became of a live message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Pushed, or known before, or on its way through the log.
    Done,
    /// The session now needs the log: hand it to `catch_up`.
    Behind,
    /// The session has ended.
    Gone,
}

/// What became of a message with `qos` 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    Queued,
    /// The session is not live, or its queue is full.
    Refused,
    /// Who gets it was looked up before the user left the group or removed the friend, or may have been: not for this
    /// user.
    TooLate,
}

/// What `catch_up` has to do next for a conversation of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The cursor must be read from the database, where the log is of this epoch at least.
    LoadCursor {
        ticket: u64,
        log_epoch: LogEpoch,
    },
    /// Read on after this seq. `is_last`: what should be there has stayed out for long; now read what is certain.
    ReadAfter {
        after: u64,
        ticket: u64,
        is_last: bool,
    },
    Nothing,
}

/// What `catch_up` has to do after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Done,
    /// Read on at once.
    More,
    /// What should be there is not: read again, later each time.
    Missing {
        tries: u8,
    },
}

/// A request of the user that makes it a member, or ends that, on its way to the database.
#[derive(Debug, PartialEq, Eq)]
pub struct Doubt {
    pub conv: Conversation,
    pub(super) ticket: u64,
    /// No earlier request of the session is of unknown outcome.
    pub(super) is_first: bool,
}
