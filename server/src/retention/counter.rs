//! Counts the cluster's age, on one node of the cluster, whether messages are removed or not: so the ages of all are
//! known by the day that somebody wants old ones removed.
//!
//! The length of a step is no setting. How much older a message may be taken for than it is follows from it, and must
//! not depend on which node counted when that message was said.

use crate::cluster::NodeKey;
use crate::membership::lease::Lease;
use crate::storage::{AgeMs, Storage, age};
use chat_environment::Environment;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two steps: so much less than the longest that one may be a little late.
const STEP: Duration = Duration::from_secs(2);
/// Where another node counts, this one looks so often whether it still lives.
const LOOK: Duration = Duration::from_secs(5);

const _: () = assert!(age::LONGEST_STEP.as_secs() >= 2 * STEP.as_secs());

pub struct Counter {
    pub key: NodeKey,
    pub storage: Arc<dyn Storage>,
    pub lease: Arc<Lease>,
    pub environment: Environment,
    /// Told the age while it is this node that counts it.
    pub age: watch::Sender<Option<AgeMs>>,
}

impl Counter {
    /// Runs until the node stops.
    pub async fn run(self) {
        tokio::time::sleep(self.environment.part_of(STEP)).await;
        // The end of the step before, if it is known to be done: time counts from there.
        let mut counted = None;
        loop {
            let passed = counted.map_or(Duration::ZERO, |counted: Instant| counted.elapsed());
            let age = self.step(passed).await;
            counted = age.map(|_| Instant::now());
            self.age.send_replace(age);
            tokio::time::sleep(if age.is_some() { STEP } else { LOOK }).await;
        }
    }

    async fn step(&self, passed: Duration) -> Option<AgeMs> {
        if !self.lease.is_held() {
            return None;
        }
        let counted = self.storage.count_age(&self.key, passed).await;
        counted
            .inspect_err(|error| tracing::warn!(%error, "cannot count the cluster's age, trying again"))
            .ok()
            .flatten()
    }
}
