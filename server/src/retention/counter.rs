//! Counts the cluster's age, on one node of the cluster, whether messages are removed or not: so the ages of all are
//! known by the day that somebody wants old ones removed.
//!
//! The length of a step is no setting: the longest is how much too old a message may look, so it must not depend on
//! which node counted when that message was said.

use crate::cluster::NodeKey;
use crate::membership::lease::Lease;
use crate::storage::{AgeMs, Ages, Error, age};
use chat_environment::Environment;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two steps. One that is late is still counted in full, up to the longest.
const STEP: Duration = Duration::from_secs(2);
/// Where another node counts, this one looks so often whether it still lives.
const LOOK: Duration = Duration::from_secs(5);

const _: () = assert!(age::LONGEST_STEP.as_secs() >= 2 * STEP.as_secs());

pub struct Counter {
    pub key: NodeKey,
    pub storage: Arc<dyn Ages>,
    pub lease: Arc<Lease>,
    pub environment: Environment,
    /// Told the age while it is this node that counts it.
    pub age: watch::Sender<Option<AgeMs>>,
}

impl Counter {
    /// Runs until the node stops.
    pub async fn run(self) {
        tokio::time::sleep(self.environment.part_of(STEP)).await;
        // When the step before was known to be done; what has passed since may be added.
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
        counted.inspect_err(log).ok().flatten()
    }
}

fn log(error: &Error) {
    match error {
        // Until somebody mends it.
        Error::Unusable(_) => tracing::error!(%error, "cannot count the cluster's age"),
        _ => tracing::warn!(%error, "cannot count the cluster's age, trying again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Result;
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use std::future::pending;

    /// Answers what it is given, one after the other, then never again.
    struct Answers {
        answers: Mutex<Vec<Result<Option<AgeMs>>>>,
        passed: Mutex<Vec<Duration>>,
        lease: Arc<Lease>,
        told: watch::Sender<bool>,
    }

    #[async_trait]
    impl Ages for Answers {
        async fn count_age(&self, _: &NodeKey, passed: Duration) -> Result<Option<AgeMs>> {
            self.lease.renewed(Instant::now());
            let Some(answer) = self.answers.lock().pop() else {
                self.told.send_replace(true);
                return pending().await;
            };
            self.passed.lock().push(passed);
            answer
        }

        async fn age(&self) -> Result<AgeMs> {
            Ok(age::FIRST)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_added_after_a_step_that_failed_or_was_anothers() {
        let lease = Arc::new(Lease::default());
        lease.renewed(Instant::now());
        let mut answers =
            vec![Ok(Some(1)), Ok(Some(2)), Err(Error::LeaseLost), Ok(Some(3)), Ok(Some(4)), Ok(None), Ok(Some(5))];
        answers.reverse();
        let (told, mut is_told) = watch::channel(false);
        let storage = Answers { answers: Mutex::new(answers), passed: Mutex::default(), lease: lease.clone(), told };
        let storage = Arc::new(storage);
        let key = NodeKey { id: "one".into(), boot: 1 };
        let (age, _) = watch::channel(None);
        let counter = Counter { key, storage: storage.clone(), lease, environment: Environment::default(), age };

        tokio::select! {
            () = counter.run() => {}
            outcome = is_told.wait_for(|is_told| *is_told) => drop(outcome.expect("it is told")),
        }

        let steps = |passed: &[Duration]| passed.iter().map(|passed| !passed.is_zero()).collect::<Vec<_>>();
        assert_eq!(steps(&storage.passed.lock()), [false, true, true, false, true, true, false]);
    }
}
