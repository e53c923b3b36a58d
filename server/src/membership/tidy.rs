//! Puts right, in the background, what dead runs of nodes left behind in the database (see
//! [`Sessions::tidy_sessions`](crate::storage::Sessions::tidy_sessions)).
//!
//! There can be hundreds of thousands of rows of it, and locks that somebody paused holds. So it is done in small steps
//! with rests between them, tried again for as long as it takes, and nothing waits for it: neither the start nor the
//! lease.

use crate::cluster::NodeId;
use crate::context::Core;
use crate::storage;
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

/// The nodes whose runs are to be tidied up after.
#[derive(Default)]
pub struct Tidier {
    asked: Mutex<BTreeSet<NodeId>>,
    woken: Notify,
}

impl Tidier {
    /// A run of this node has ended.
    pub fn ask(&self, node: NodeId) {
        let mut asked = self.asked.lock();
        if asked.len() < MAX_ASKED {
            asked.insert(node);
        }
        drop(asked);
        self.woken.notify_one();
    }

    async fn next(&self) -> NodeId {
        loop {
            if let Some(node) = self.asked.lock().pop_first() {
                return node;
            }
            self.woken.notified().await;
        }
    }
}

/// Runs until the node stops.
pub async fn run(core: Arc<Core>) {
    ask_for_the_dead(&core).await;
    loop {
        let node = core.tidier.next().await;
        rest_at_random().await;
        tidy(&core, &node).await;
    }
}

/// Asks for all that were dead before this node started, earlier runs of its own first of all.
async fn ask_for_the_dead(core: &Core) {
    core.tidier.ask(core.key.id.clone());
    let mut last = NodeId("".into());
    while let Some(node) = insist(core, || core.storage.next_holder(&last)).await {
        // A live node tidies up after itself.
        if !core.peers().contains(&node) {
            core.tidier.ask(node.clone());
        }
        last = node;
        tokio::time::sleep(REST).await;
    }
}

async fn tidy(core: &Core, node: &NodeId) {
    let mut last: UserId = 0;
    while let Some(user) = insist(core, || core.storage.tidy_sessions(node, last)).await {
        last = user;
        tokio::time::sleep(REST).await;
    }
    tracing::debug!(%node, "tidied up after its earlier runs");
}

/// Tries until it succeeds.
async fn insist<T, F: Future<Output = storage::Result<T>>>(core: &Core, step: impl Fn() -> F) -> T {
    let mut rest = RETRY;
    loop {
        // Without a lease this node looks dead itself.
        if core.lease.is_held() {
            match step().await {
                Ok(done) => return done,
                Err(error) => tracing::warn!(%error, "cannot tidy up after dead nodes, trying again"),
            }
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(LONGEST_RETRY);
    }
}

async fn rest_at_random() {
    // Without randomness all nodes do it at once.
    let part = getrandom::u32().unwrap_or(0);
    tokio::time::sleep(SPREAD.mul_f64(f64::from(part) / f64::from(u32::MAX))).await;
}
