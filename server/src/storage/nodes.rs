//! The nodes of the cluster, and which of them live.

use super::error::Result;
use super::layer::{Layer, domain};
use super::sessions::{EndAsked, Release};
use crate::cluster::NodeKey;
use async_trait::async_trait;
use chat_protocol::conversation::UserId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeStart {
    Ready,
    /// An earlier run under this name is not known to be gone.
    Taken(Peer),
}

/// What a node learns with each renewal of its lease, in the same round trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// All nodes that are not known to be gone, this one included.
    pub live: Vec<Peer>,
    /// Sessions of this node that another, or an operator, wants to end: close and release them.
    pub asked: Vec<EndAsked>,
    /// How often sessions of this run were taken over while it was gone. Another number than at the renewal before:
    /// compare.
    pub takeovers: u64,
    /// The row was missing and has been made anew: compare, whatever `takeovers` says.
    pub made_anew: bool,
    /// The sessions that this run holds, as of this renewal, if they were asked for.
    pub held: Vec<Release>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub key: NodeKey,
    /// Counts up as long as it lives.
    pub renewals: u64,
}

domain! {
    /// The leases of nodes.
    pub trait Nodes / NodesLayer:

    async fn start_node(&self, key: &NodeKey) -> Result<NodeStart>;
    /// Counts one renewal more; where the node was called gone, it is back. `list` asks for [`Renewal::held`].
    /// Errors: `Error::NodeReplaced` if the row is now another run's. A row that is missing is made anew.
    async fn renew_lease(&self, key: &NodeKey, list: bool) -> Result<Renewal>;
    /// Those of the sessions whose rows say that they are this run's, without waiting for who holds the rows.
    async fn held_of(&self, key: &NodeKey, sessions: &[Release]) -> Result<Vec<Release>>;
    /// Those of the sessions whose users have logged in again since, wherever, without waiting for who holds the rows.
    async fn superseded(&self, sessions: &[Release]) -> Result<Vec<Release>>;
    /// Those of these users' sessions on this run that another node, or an operator, still wants to end.
    async fn asked_of(&self, key: &NodeKey, users: &[UserId]) -> Result<Vec<EndAsked>>;
    /// Calls a node gone that has not renewed since it was seen so; from here on its sessions are free to be claimed.
    /// False: it has renewed, or another run has its name.
    async fn call_gone(&self, seen: &Peer) -> Result<bool>;
    /// Calls this node gone at once, and so frees every session this run still holds.
    async fn stop_node(&self, key: &NodeKey) -> Result<()>;
}
