//! The nodes that live, and how many users are online at each.

use super::refusal::Refusal;
use crate::context::Context;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Nodes {
    pub nodes: Vec<Node>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    pub id: String,
    pub sessions: u64,
    /// The one that was asked.
    pub is_asked: bool,
}

pub async fn list(context: &Context) -> Result<Nodes, Refusal> {
    let nodes = context.storage.node_sessions().await?;
    let node = |node: crate::storage::NodeSessions| Node {
        is_asked: node.key == context.key,
        id: node.key.id.to_string(),
        sessions: node.sessions,
    };
    Ok(Nodes { nodes: nodes.into_iter().map(node).collect() })
}
