//! Removes messages that are kept no longer: the beginnings of logs.
//!
//! One node of the cluster does it, the one that claimed it in the database, as long as that node lives. It looks at
//! all conversations from time to time, and goes through them in small steps with rests between, so that those who
//! chat hardly notice. What it has not done when it dies, the next one does: every step stands for itself.

mod rule;

use crate::cluster::NodeKey;
use crate::config::retention::Retention as Settings;
use crate::membership::lease::Lease;
use crate::storage::{self, KeepRule, Storage};
use crate::telemetry::metrics::Metrics;
use chat_environment::Environment;
use chat_protocol::conversation::Conversation;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The first look comes within this time from a node's start.
const SPREAD: Duration = Duration::from_secs(5);
/// Rest between two steps; as long as the step before took, if that is longer.
const REST: Duration = Duration::from_millis(20);
/// A slow database is not left alone for longer than this.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// Conversations that may fail in one look; beyond it the look is given up, and the next one begins anew.
const MOST_FAILURES: u32 = 16;

/// What the task works with.
pub struct Retention {
    pub key: NodeKey,
    pub settings: Settings,
    pub environment: Environment,
    pub storage: Arc<dyn Storage>,
    pub lease: Arc<Lease>,
    pub metrics: Arc<Metrics>,
}

/// What one look at all conversations came to.
#[derive(Clone, Copy, Debug, Default)]
struct Swept {
    conversations: u64,
    messages: u64,
    unreceived: u64,
}

impl Retention {
    /// Runs until the node stops.
    pub async fn run(self) {
        if !self.settings.is_on() {
            return;
        }
        let interval = Duration::from_secs(self.settings.interval_s);
        tokio::time::sleep(self.environment.part_of(SPREAD.min(interval))).await;
        loop {
            match self.sweep().await {
                Ok(Swept { messages: 0, .. }) => {}
                Ok(Swept { conversations, messages, unreceived }) => {
                    tracing::info!(conversations, messages, unreceived, "removed messages that are kept no longer");
                }
                Err(error) => tracing::warn!(%error, "cannot remove what is kept no longer, trying again later"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Looks at all conversations once, if that is for this node to do.
    async fn sweep(&self) -> storage::Result<Swept> {
        let mut swept = Swept::default();
        if !self.lease.is_held() || !self.storage.claim_retention(&self.key).await? {
            return Ok(swept);
        }
        let rule = rule::as_of(self.environment.now_ms(), &self.settings);
        let (mut after, mut failures): (Arc<str>, u32) = ("".into(), 0);
        loop {
            let page = paced(self.storage.old_logs(&after, &rule)).await?;
            for conv in page.old {
                if let Err(error) = self.shorten(conv, &rule, &mut swept).await {
                    failures += 1;
                    if failures > MOST_FAILURES {
                        return Err(error);
                    }
                    tracing::warn!(%conv, %error, "cannot shorten a log, trying again later");
                }
            }
            match page.last {
                // Without a lease this node is gone in the eyes of the others, and one of them goes on.
                Some(last) if self.lease.is_held() => after = last,
                _ => return Ok(swept),
            }
        }
    }

    async fn shorten(&self, conv: Conversation, rule: &KeepRule, swept: &mut Swept) -> storage::Result<()> {
        swept.conversations += 1;
        while self.lease.is_held() {
            let shortened = paced(self.storage.shorten(conv, rule)).await?;
            swept.messages += shortened.removed;
            swept.unreceived += shortened.unreceived;
            self.metrics.messages_removed_total.inc_by(shortened.removed);
            self.metrics.unreceived_removed_total.inc_by(shortened.unreceived);
            if !shortened.more {
                break;
            }
        }
        Ok(())
    }
}

/// Does a step, and rests after it.
async fn paced<T>(step: impl Future<Output = storage::Result<T>>) -> storage::Result<T> {
    let begun = Instant::now();
    let done = step.await;
    tokio::time::sleep(begun.elapsed().clamp(REST, LONGEST_REST)).await;
    done
}
