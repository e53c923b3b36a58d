//! Why a node does not start, or stopped by itself.

use super::lock;
use crate::auth::{operators, password};
use crate::cluster::NodeId;
use crate::{bus, config, storage, tls};
use chat_environment::Died;

/// Why a node does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Password(#[from] password::Error),
    #[error(transparent)]
    Operators(#[from] operators::Error),
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: String, cause: std::io::Error },
    #[error(transparent)]
    Lock(#[from] lock::Error),
    #[error("another node runs under the name {0}: give this one another node.id")]
    NameTaken(NodeId),
    /// One of the node's tasks panicked. The node has drained, but its process had better be replaced.
    #[error(transparent)]
    Task(#[from] Died),
    /// Told to stop before it had started; nothing of it is left.
    #[error("told to stop while starting")]
    Stopped,
}
