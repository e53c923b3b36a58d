//! How nodes of a cluster name each other.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A node's configured name, unique in the cluster; at most [`MAX_NODE_ID_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub Arc<str>);

/// As wide as the column that holds it.
pub const MAX_NODE_ID_BYTES: usize = 64;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        NodeId(name.into())
    }
}

/// One run of a node: sessions of an earlier run under the same name are not this run's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeKey {
    pub id: NodeId,
    /// Differs between any two runs of a node; positive.
    pub boot: i64,
}
