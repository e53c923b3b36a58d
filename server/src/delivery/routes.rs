//! Which node holds a user's session, for users that are not on this one.
//!
//! Learnt from the session rows, a batch at a time, and kept for a while; dropped when a node says "not here", replaced
//! when a login elsewhere is announced. A wrong route costs a detour, never a message: the repair finds what went
//! astray.

use crate::cluster::NodeId;
use crate::storage::{self, Storage};
use chat_protocol::conversation::UserId;
use dashmap::DashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a route is believed without being heard of again.
const BELIEVED: Duration = Duration::from_secs(30);
/// The same for "offline": should the announcement of a login be lost, messages wait for the repair no longer than
/// this.
const OFFLINE_BELIEVED: Duration = Duration::from_secs(2);
/// Routes kept; beyond it the cache starts afresh.
const MAX_ROUTES: usize = 1_000_000;

/// Where a user is, as far as this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Node(NodeId),
    Offline,
    Unknown,
}

pub struct Routes {
    cache: DashMap<UserId, (Option<NodeId>, Instant)>,
    storage: Arc<dyn Storage>,
}

impl Routes {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Routes { cache: DashMap::new(), storage }
    }

    pub fn cached(&self, user: UserId) -> Route {
        match self.cache.get(&user).as_deref() {
            Some((Some(node), learnt)) if learnt.elapsed() < BELIEVED => Route::Node(node.clone()),
            Some((None, learnt)) if learnt.elapsed() < OFFLINE_BELIEVED => Route::Offline,
            _ => Route::Unknown,
        }
    }

    /// Looks up those of the users whose route is unknown, in one query.
    pub async fn look_up(&self, users: impl Iterator<Item = UserId>) -> storage::Result<()> {
        let mut unknown: Vec<UserId> = users.filter(|user| self.cached(*user) == Route::Unknown).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        let found = self.storage.routes(&unknown).await?;
        if self.cache.len() + unknown.len() > MAX_ROUTES {
            self.cache.clear();
        }
        let now = Instant::now();
        for user in unknown {
            self.cache.insert(user, (None, now));
        }
        for (user, node) in found {
            self.cache.insert(user, (Some(node), now));
        }
        Ok(())
    }

    /// Those of the users that are on nodes other than this one, as far as known.
    pub fn by_node(&self, users: &[UserId], here: &NodeId) -> BTreeMap<NodeId, Vec<UserId>> {
        let mut nodes: BTreeMap<NodeId, Vec<UserId>> = BTreeMap::new();
        for &user in users {
            if let Route::Node(node) = self.cached(user)
                && node != *here
            {
                nodes.entry(node).or_default().push(user);
            }
        }
        nodes
    }

    /// A login on `node` was announced.
    pub fn moved(&self, user: UserId, node: &NodeId) {
        if let Some(mut route) = self.cache.get_mut(&user) {
            *route = (Some(node.clone()), Instant::now());
        }
    }

    /// `node` says that it has no session of the user; a route elsewhere stays.
    pub fn not_at(&self, user: UserId, node: &NodeId) {
        self.cache.remove_if(&user, |_, (route, _)| route.as_ref() == Some(node));
    }

    pub fn forget(&self, user: UserId) {
        self.cache.remove(&user);
    }

    /// A node has died: its users may be anywhere.
    pub fn forget_node(&self, node: &NodeId) {
        self.cache.retain(|_, (route, _)| route.as_ref() != Some(node));
    }
}
