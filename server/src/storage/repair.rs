//! What a node looks for that the bus, or the database itself, has lost.

use super::error::Result;
use super::layer::{Layer, domain};
use super::position::End;
use crate::cluster::NodeKey;
use async_trait::async_trait;
use chat_protocol::conversation::Conversation;
use std::collections::BTreeMap;

/// How far the changes of each run of a node have been looked at: [`NodeKey::boot`] to the number of a change.
pub type Seen = BTreeMap<i64, u64>;

/// How far a conversation has got: its log, and the version of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub conv: Conversation,
    pub end: End,
    pub version: u64,
}

/// The conversations that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Where the next look goes on.
    pub seen: Seen,
    pub changed: Vec<Change>,
    /// There is a run that was not seen before. Another of the same node may have come and gone meanwhile: what it
    /// changed is not among these.
    pub has_new_run: bool,
    /// There is more: look again at once.
    pub more: bool,
}

domain! {
    /// The search for what was lost.
    pub trait Repair / RepairLayer:

    /// Conversations with something new, or with other members, beyond what has been seen. `None` asks only for where
    /// to begin. No clock takes part: what was under way when `seen` was taken is found by a later look.
    async fn changes(&self, seen: Option<&Seen>) -> Result<Changes>;
    /// Compares conversations with how far they are known to have got once. Those that have not got as far have lost
    /// commits: they go on in a new log epoch where their log ends before, and with a version of their members that
    /// nobody ever knew. Returns how they stand now.
    async fn find_losses(&self, key: &NodeKey, known: &[Change]) -> Result<Vec<Change>>;
}
