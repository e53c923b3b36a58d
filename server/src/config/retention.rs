//! How long messages are kept.

use super::problems::Problems;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The `[retention]` table of the configuration. A message is kept no longer once it is too old or one too many, is
/// older than `mid_window_s`, and every member has received it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Older messages are too old; 0: none is.
    pub days: u32,
    /// More messages of one conversation are too many; 0: any number may be kept.
    pub messages: u64,
    /// Past this age a message goes although a member has not received it; 0: it waits for as long as it takes.
    pub unreceived_days: u32,
    /// No younger message goes: for so long a resend is known as such.
    pub mid_window_s: u64,
    /// Between two looks at all conversations.
    pub interval_s: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { days: 0, messages: 0, unreceived_days: 0, mid_window_s: 30 * DAY.as_secs(), interval_s: 3_600 }
    }
}

impl Retention {
    /// Whether anything is ever removed.
    pub fn is_on(&self) -> bool {
        self.days > 0 || self.messages > 0
    }

    pub fn max_age(&self) -> Option<Duration> {
        (self.days > 0).then(|| DAY * self.days)
    }

    pub fn max_unreceived_age(&self) -> Option<Duration> {
        (self.unreceived_days > 0).then(|| DAY * self.unreceived_days)
    }

    /// `None`: nothing is kept for the sake of resends.
    pub fn mid_window(&self) -> Option<Duration> {
        (self.mid_window_s > 0).then(|| Duration::from_secs(self.mid_window_s))
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.range("retention.days", self.days, 0..=36_500);
        problems.range("retention.messages", self.messages, 0..=1_000_000_000_000);
        problems.range("retention.unreceived_days", self.unreceived_days, 0..=36_500);
        problems.range("retention.mid_window_s", self.mid_window_s, 0..=315_360_000);
        problems.range("retention.interval_s", self.interval_s, 1..=86_400);
        if self.unreceived_days > 0 && !self.is_on() {
            let allowed = "0 where neither retention.days nor retention.messages is set";
            problems.add("retention.unreceived_days", self.unreceived_days, allowed);
        }
    }

    /// What is lawful, and probably not meant.
    pub(super) fn warning(&self) -> Option<String> {
        let is_cut_short = self.max_age().is_some_and(|age| age.as_secs() < self.mid_window_s);
        is_cut_short.then(|| {
            format!(
                "retention.days = {} is shorter than retention.mid_window_s = {}: messages are kept for the latter",
                self.days, self.mid_window_s
            )
        })
    }
}
