//! How far each member has got in each conversation, and so what waits for whom.

use super::error::Result;
use super::layer::{Layer, domain};
use super::position::{End, Position};
use crate::cluster::NodeKey;
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};

/// A conversation in which messages wait for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub user: UserId,
    pub conv: Conversation,
    pub position: Position,
    pub last_seq: u64,
}

impl Waiting {
    pub fn end(&self) -> End {
        End { log_epoch: self.position.log_epoch, seq: self.last_seq }
    }
}

/// A user's cursor: everything up to `seq` has reached the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub conv: Conversation,
    pub user: UserId,
    pub seq: u64,
    /// The epoch of the log that `seq` is of: of an earlier one it counts up to where the current one begins.
    pub log_epoch: LogEpoch,
}

domain! {
    /// A cursor per member.
    pub trait Cursors / CursorsLayer:

    /// The cursor of each (conversation, user), in order; `None` where there is none (not a member). Each comes with an
    /// epoch that its log is known to have reached: a cursor of an earlier one is out of date, and is read once more,
    /// after what other servers committed has come.
    async fn cursors(&self, of: &[(Conversation, UserId, LogEpoch)]) -> Result<Vec<Option<Position>>>;
    /// All conversations in which something waits for any of the users (their own messages may be all that waits).
    async fn waiting(&self, users: &[UserId]) -> Result<Vec<Waiting>>;
    /// How many messages of others wait for the user, counted up to `at_most`.
    async fn count_waiting(&self, user: UserId, at_most: u32) -> Result<u64>;
    /// Moves cursors forward; never back, never past the conversation's end, never making a member of who is none.
    /// Passes over users whose session is not `by`'s, where one is given.
    async fn mark_received(&self, by: Option<&NodeKey>, marks: &[Mark]) -> Result<()>;
}
