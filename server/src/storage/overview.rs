//! What operators look at: who is online where, and how large conversations are.

use super::error::Result;
use super::layer::{Layer, domain};
use crate::cluster::{NodeId, NodeKey};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, UserId};
use std::sync::Arc;

/// A user who is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Online {
    pub user: UserId,
    pub name: Arc<str>,
    pub node: NodeId,
}

/// A node that is not known to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSessions {
    pub key: NodeKey,
    pub sessions: u64,
}

/// How much a conversation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSize {
    pub conv: Conversation,
    /// Of the group; `None` for two friends.
    pub name: Option<Arc<str>>,
    pub members: u64,
    /// Where the log begins and ends. It is empty where it ends before its beginning.
    pub first_seq: u64,
    pub last_seq: u64,
}

impl LogSize {
    pub fn messages(&self) -> u64 {
        (self.last_seq + 1).saturating_sub(self.first_seq)
    }
}

domain! {
    /// The cluster as a whole. These read much where there is much, and are for people who ask now and then.
    pub trait Overview / OverviewLayer:

    /// Users above `after` with a session on a node that is not known to be gone, ascending; on `node` alone if it is
    /// named.
    async fn online(&self, node: Option<&NodeId>, after: UserId, limit: u32) -> Result<Vec<Online>>;
    /// All nodes that are not known to be gone, by name.
    async fn node_sessions(&self) -> Result<Vec<NodeSessions>>;
    /// The conversations that hold the most messages, the largest first.
    async fn largest_logs(&self, limit: u32) -> Result<Vec<LogSize>>;
}
