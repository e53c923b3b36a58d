//! Removes messages that are kept no longer: the beginnings of logs.
//!
//! One node of the cluster does it, the one that counts the cluster's age, as long as that node lives. It looks at
//! all conversations from time to time, and goes through them in small steps with rests between, so that those who
//! chat hardly notice. What it has not done when it dies, the next one does: every step stands for itself.

mod counter;
mod rule;

pub use counter::Counter;
pub use rule::as_of;

use crate::config::retention::Retention as Settings;
use crate::membership::lease::Lease;
use crate::storage::{self, AgeMs, KeepRule, Moment, Storage};
use crate::telemetry::metrics::Metrics;
use chat_environment::Environment;
use chat_protocol::conversation::Conversation;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Rest between two steps; as long as the step before took, if that is longer.
const REST: Duration = Duration::from_millis(20);
/// A slow database is not left alone for longer than this.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// Conversations that may fail in one look; beyond it the look is given up, and the next one begins anew.
const MOST_FAILURES: u32 = 16;

/// What the task works with.
pub struct Retention {
    pub settings: Settings,
    pub environment: Environment,
    pub shortener: Shortener,
    /// The cluster's age, while it is this node that counts it.
    pub age: watch::Receiver<Option<AgeMs>>,
}

/// What shortening logs takes.
pub struct Shortener {
    pub storage: Arc<dyn Storage>,
    pub lease: Arc<Lease>,
    pub metrics: Arc<Metrics>,
}

/// One look at all conversations, as far as it has got.
#[derive(Debug)]
pub struct Walk {
    /// Every conversation up to the one of this name has been looked at.
    pub after: Arc<str>,
    pub swept: Swept,
    /// All have been.
    pub is_done: bool,
    failures: u32,
}

impl Walk {
    /// One that goes on behind the conversation of this name; from the first on where it is empty.
    pub fn after(name: &str) -> Self {
        Walk { after: name.into(), swept: Swept::default(), is_done: false, failures: 0 }
    }
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    pub conversations: u64,
    pub messages: u64,
    pub unreceived: u64,
}

impl Retention {
    /// Runs until the node stops.
    pub async fn run(mut self) {
        if !self.settings.is_on() {
            return;
        }
        let interval = Duration::from_secs(self.settings.interval_s);
        while let Some(age) = self.turn().await {
            match self.sweep(age).await {
                Ok(Swept { messages: 0, .. }) => {}
                Ok(Swept { conversations, messages, unreceived }) => {
                    tracing::info!(conversations, messages, unreceived, "removed messages that are kept no longer");
                }
                Err(error) => tracing::warn!(%error, "cannot remove what is kept no longer, trying again later"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Waits until this node is the one that counts the cluster's age; `None`: counting has ended.
    async fn turn(&mut self) -> Option<AgeMs> {
        *self.age.wait_for(Option::is_some).await.ok()?
    }

    /// Looks at all conversations once.
    async fn sweep(&self, age: AgeMs) -> storage::Result<Swept> {
        let mut walk = Walk::after("");
        let rule = as_of(Moment { time: self.environment.now_ms(), age }, &self.settings);
        self.shortener.go_on(&rule, &mut walk, None).await?;
        Ok(walk.swept)
    }
}

impl Shortener {
    /// Goes on with a look at all conversations, to its end or, where there is one, until that moment; in steps, with
    /// rests between.
    ///
    /// # Errors
    /// The database does not answer, or refuses too often. What has been removed by then is gone.
    pub async fn go_on(&self, rule: &KeepRule, walk: &mut Walk, until: Option<Instant>) -> storage::Result<()> {
        let is_time_up = || until.is_some_and(|until| Instant::now() >= until);
        loop {
            let page = paced(self.storage.old_logs(&walk.after, rule)).await?;
            for conv in page.old {
                match self.shorten(conv, rule, &mut walk.swept, &is_time_up).await {
                    Ok(true) => walk.swept.conversations += 1,
                    Ok(false) => return Ok(()),
                    Err(error) => {
                        walk.failures += 1;
                        if walk.failures > MOST_FAILURES {
                            return Err(error);
                        }
                        tracing::warn!(%conv, %error, "cannot shorten a log, trying again later");
                    }
                }
                walk.after = conv.to_string().into();
            }
            match page.last {
                Some(last) => walk.after = last,
                None => {
                    walk.is_done = true;
                    return Ok(());
                }
            }
            // Without a lease this node is gone in the eyes of the others, and one of them goes on.
            if is_time_up() || !self.lease.is_held() {
                return Ok(());
            }
        }
    }

    /// False: the time was up before the log was as short as it should be.
    async fn shorten(
        &self,
        conv: Conversation,
        rule: &KeepRule,
        swept: &mut Swept,
        is_time_up: &(impl Fn() -> bool + Sync),
    ) -> storage::Result<bool> {
        while self.lease.is_held() {
            let shortened = paced(self.storage.shorten(conv, rule)).await?;
            swept.messages += shortened.removed;
            swept.unreceived += shortened.unreceived;
            self.metrics.messages_removed_total.inc_by(shortened.removed);
            self.metrics.unreceived_removed_total.inc_by(shortened.unreceived);
            if !shortened.more {
                break;
            }
            if is_time_up() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Does a step, and rests after it.
async fn paced<T>(step: impl Future<Output = storage::Result<T>>) -> storage::Result<T> {
    let begun = Instant::now();
    let done = step.await;
    tokio::time::sleep(begun.elapsed().clamp(REST, LONGEST_REST)).await;
    done
}
