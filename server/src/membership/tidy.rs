//! Puts right, in the background, what dead runs of nodes left behind in the database (see
//! [`Sessions::tidy_sessions`](crate::storage::Sessions::tidy_sessions)).
//!
//! There can be hundreds of thousands of rows of it, and locks that somebody paused holds. So it is done in small steps
//! with rests between them, tried again for as long as it takes, and nothing waits for it: neither the start nor the
//! lease.

use super::lease::Lease;
use super::peers::Peers;
use crate::cluster::NodeId;
use crate::storage::{self, Storage};
use chat_environment::Environment;
use chat_protocol::conversation::UserId;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Nodes that wait for their turn; beyond it one is left to the next node that starts.
const MAX_ASKED: usize = 1_024;
/// All nodes notice a death at about the same time. Each waits for up to this before it tidies, so that most find it
/// done.
const SPREAD: Duration = Duration::from_secs(5);
/// Rest between two steps.
const REST: Duration = Duration::from_millis(20);
/// Rest after a failed step; doubled with each that follows, up to [`LONGEST_RETRY`].
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Tidies up after nodes that have ended.
pub struct Tidier {
    pub environment: Environment,
    pub storage: Arc<dyn Storage>,
    pub lease: Arc<Lease>,
    pub peers: Arc<Peers>,
    pub asked: Asked,
}

/// The nodes whose runs are to be tidied up after.
#[derive(Default)]
pub struct Asked {
    nodes: Mutex<BTreeSet<NodeId>>,
    woken: Notify,
}

impl Tidier {
    /// A run of this node has ended.
    pub fn ask(&self, node: NodeId) {
        let mut nodes = self.asked.nodes.lock();
        if nodes.len() < MAX_ASKED {
            nodes.insert(node);
        }
        drop(nodes);
        self.asked.woken.notify_one();
    }

    /// Runs until the node stops. Begins with what earlier runs of `own` have left.
    pub async fn run(self: Arc<Self>, own: NodeId) {
        self.ask(own);
        self.ask_for_the_dead().await;
        loop {
            let node = self.next().await;
            tokio::time::sleep(self.environment.part_of(SPREAD)).await;
            self.tidy(&node).await;
        }
    }

    /// Asks for all that were dead before this node started.
    async fn ask_for_the_dead(&self) {
        let mut last = NodeId("".into());
        while let Some(node) = self.insist(|| self.storage.next_holder(&last)).await {
            // A live node tidies up after itself.
            if !self.peers.live().contains(&node) {
                self.ask(node.clone());
            }
            last = node;
            tokio::time::sleep(REST).await;
        }
    }

    async fn next(&self) -> NodeId {
        loop {
            if let Some(node) = self.asked.nodes.lock().pop_first() {
                return node;
            }
            self.asked.woken.notified().await;
        }
    }

    async fn tidy(&self, node: &NodeId) {
        let mut last: UserId = 0;
        while let Some(user) = self.insist(|| self.storage.tidy_sessions(node, last)).await {
            last = user;
            tokio::time::sleep(REST).await;
        }
        tracing::debug!(%node, "tidied up after its earlier runs");
    }

    /// Tries until it succeeds.
    async fn insist<T, F: Future<Output = storage::Result<T>>>(&self, step: impl Fn() -> F) -> T {
        let mut rest = RETRY;
        loop {
            // Without a lease this node looks dead itself.
            if self.lease.is_held() {
                match step().await {
                    Ok(done) => return done,
                    Err(error) => tracing::warn!(%error, "cannot tidy up after dead nodes, trying again"),
                }
            }
            tokio::time::sleep(rest).await;
            rest = (rest * 2).min(LONGEST_RETRY);
        }
    }
}
