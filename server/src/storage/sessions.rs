//! Who is logged in where, and on whose behalf something changes.

use super::error::Result;
use super::layer::{Layer, domain};
use crate::cluster::{EndReason, NodeId, NodeKey};
use async_trait::async_trait;
use chat_protocol::conversation::UserId;
use std::sync::Arc;

/// On whose behalf something changes: a user, in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub user: UserId,
    /// The change takes effect only while this session is the user's. `None` asks for no session.
    pub session: Option<SessionKey>,
}

impl From<UserId> for Actor {
    /// A user without a session: what is done so is done by an operator, or in a test.
    fn from(user: UserId) -> Self {
        Actor { user, session: None }
    }
}

/// A session as its row names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    pub node: NodeKey,
    pub epoch: u64,
}

/// A request for the one session that a user may have.
#[derive(Clone)]
pub struct Claim {
    pub user: UserId,
    /// If another live node holds the session, ask that node (in its session row) to give it up, as long as whoever
    /// wants it is still waiting.
    pub takeover: Option<Arc<dyn Claimant>>,
    /// The generation of the user's tokens as of when it was checked who they are; `None` asks for no such check.
    pub token_generation: Option<u64>,
}

/// Whoever waits for a claim. A database may take long to answer, and one who has given up must not take a session from
/// a live node any more.
pub trait Claimant: Send + Sync {
    fn is_waiting(&self) -> bool;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The session is this node's. A row that this very run of the node held already counts as free.
    Won { epoch: u64 },
    /// A node that is not known to be gone holds it.
    Held { node: NodeKey, epoch: u64 },
    /// Another transaction holds the row: ask again.
    Busy,
    /// The user no longer exists.
    NoSuchUser,
    /// An operator has disabled the account.
    Disabled,
    /// All tokens have been ended since it was checked who the user is: check again.
    Outdated,
}

/// The end of a session that this node won with `epoch`; ignored if it has moved on since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    pub user: UserId,
    pub epoch: u64,
}

/// A session of this node that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndAsked {
    pub release: Release,
    pub reason: EndReason,
}

domain! {
    /// One session a user at most.
    pub trait Sessions / SessionsLayer:

    /// One outcome per claim, in order; each user at most once in a call. One transaction.
    async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>>;
    /// Frees the rows that are this run's under the epoch given. Returns the users whose row another transaction holds:
    /// to be tried again.
    async fn release_sessions(&self, key: &NodeKey, releases: &[Release]) -> Result<Vec<UserId>>;
    /// Frees the users' rows that are this run's, under whatever epoch: for claims of unknown outcome that nobody
    /// stands behind. Waits for the transaction that may still make the claim.
    async fn disown_sessions(&self, key: &NodeKey, users: &[UserId]) -> Result<()>;
    /// Claims with [`Claim::takeover`] wait no more: the users' sessions need not end for them. Others that wait for
    /// the same session have to ask again; what an operator asked for stands. Returns the users whose row another
    /// transaction holds: to be tried again.
    async fn withdraw_takeovers(&self, users: &[UserId]) -> Result<Vec<UserId>>;
    /// Which of the users have a session on a node that is not known to be gone, and on which.
    async fn routes(&self, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>>;
    /// The first name after `after` of a node that session rows name, be it alive, gone or unknown. `None`: there is
    /// none.
    async fn next_holder(&self, after: &NodeId) -> Result<Option<NodeId>>;
    /// Puts right the rows that runs of `node` left behind which are gone: `user.state` becomes offline, for the eyes
    /// of those who read the table, and what a run held that another has followed is freed. Looks at some users above
    /// `after`; returns the last of these, `None` if there was none.
    async fn tidy_sessions(&self, node: &NodeId, after: UserId) -> Result<Option<UserId>>;
}
