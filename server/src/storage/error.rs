//! Why the database did not do what was asked.

use crate::cluster::NodeId;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of reach, too slow, or the outcome is unknown: answer errno 11; the client sends again with the same mid.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// This node's lease ran out before COMMIT; nothing was written. Answer errno 11.
    #[error("the node's lease ran out before the commit")]
    LeaseLost,
    /// The session on whose behalf something was to change is no longer this node's; nothing was written. Close it.
    #[error("the session was replaced")]
    SessionGone,
    /// Another process runs under this node's name: stop.
    #[error("another node runs under the name {0}")]
    NodeReplaced(NodeId),
    /// The database is not one of ours, or its settings cannot be used: stop, and show the text.
    #[error("{0}")]
    Unusable(String),
}

pub type Result<T> = std::result::Result<T, Error>;
