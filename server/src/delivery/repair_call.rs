//! Asks for a look into the log, by whoever notices that something may have been lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Default)]
pub struct RepairCall {
    now: Notify,
    everything: AtomicBool,
}

impl RepairCall {
    /// At the conversations that changed.
    pub fn look_soon(&self) {
        self.now.notify_one();
    }

    /// At every session's conversations.
    pub fn look_at_everything(&self) {
        self.everything.store(true, Ordering::Release);
        self.now.notify_one();
    }

    /// Waits until somebody calls, for `most` at the longest.
    pub(super) async fn wait(&self, most: Duration) {
        let _ = tokio::time::timeout(most, self.now.notified()).await;
    }

    /// Whether the look is to be at everything. The call counts as answered.
    pub(super) fn take_everything(&self) -> bool {
        self.everything.swap(false, Ordering::AcqRel)
    }

    /// It could not be answered after all.
    pub(super) fn put_back(&self, everything: bool) {
        self.everything.fetch_or(everything, Ordering::AcqRel);
    }
}
