//! What the settings come to at a moment.

use crate::config::retention::Retention as Settings;
use crate::storage::age::LONGEST_STEP;
use crate::storage::{KeepRule, Moment};
use std::time::Duration;

/// What is kept at the moment `now`.
pub fn as_of(now: Moment, settings: &Settings) -> KeepRule {
    let before = |span: Duration| Moment {
        time: now.time.saturating_sub(millis(span)),
        // What a message bears may lack all of a step.
        age: now.age.saturating_sub(millis(span.saturating_add(LONGEST_STEP))),
    };
    KeepRule {
        older_than: settings.max_age().map(before),
        newest: (settings.messages > 0).then_some(settings.messages),
        resent_until: settings.mid_window().map(before),
        unreceived_older_than: settings.max_unreceived_age().map(before),
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::age::UNCOUNTED;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    const STEP_MS: i64 = LONGEST_STEP.as_millis() as i64;
    /// The wall clock of the node that removes is ahead by years.
    const NOW: Moment = Moment { time: 9_000 * DAY_MS, age: 1_000 * DAY_MS };

    fn rule(days: u32, messages: u64, mid_window_days: u64) -> KeepRule {
        let mid_window_s = mid_window_days * 24 * 60 * 60;
        as_of(NOW, &Settings { days, messages, mid_window_s, unreceived_days: 50, ..Settings::default() })
    }

    /// Said so many days ago, by the age that was counted.
    fn days_ago(days: i64) -> Moment {
        Moment { time: 1_000 * DAY_MS, age: NOW.age - days * DAY_MS }
    }

    /// The same before ages were counted.
    fn uncounted_days_ago(days: i64) -> Moment {
        Moment { time: NOW.time - days * DAY_MS, age: UNCOUNTED }
    }

    #[test]
    fn message_goes_by_age_or_number_but_never_within_the_window_for_resends() {
        for ago in [days_ago, uncounted_days_ago] {
            let is_old = |rule: KeepRule, seq, days| rule.is_old(seq, ago(days), 100);

            assert!(is_old(rule(10, 0, 0), 100, 11) && !is_old(rule(10, 0, 0), 1, 10));
            assert!(is_old(rule(0, 10, 0), 90, 1) && !is_old(rule(0, 10, 0), 91, 900));
            assert!(is_old(rule(10, 10, 0), 90, 1) && is_old(rule(10, 10, 0), 100, 11));
            assert!(!is_old(rule(10, 10, 30), 1, 30) && is_old(rule(10, 10, 30), 1, 31));
            assert!(!is_old(rule(0, 0, 0), 1, 900));
        }
    }

    #[test]
    fn hard_limit_counts_from_its_own_age() {
        for ago in [days_ago, uncounted_days_ago] {
            assert!(!rule(10, 0, 0).goes_unreceived(ago(50)));
            assert!(rule(10, 0, 0).goes_unreceived(ago(51)));
        }
        let none = as_of(NOW, &Settings { days: 10, ..Settings::default() });
        assert!(!none.goes_unreceived(days_ago(900)));
    }

    #[test]
    fn message_that_may_be_younger_than_its_age_says_is_kept() {
        let said = |ago_ms| Moment { time: 0, age: NOW.age - ago_ms };
        let is_old = |ago_ms| rule(0, 1, 30).is_old(1, said(ago_ms), 100);

        assert!(!is_old(30 * DAY_MS + STEP_MS) && is_old(30 * DAY_MS + STEP_MS + 1));
        // The database has lost commits, and the age went back with them.
        assert!(!is_old(-DAY_MS));
    }

    #[test]
    fn nothing_is_old_in_a_cluster_that_is_young() {
        let now = Moment { age: DAY_MS, ..NOW };
        let settings = Settings { days: 10, mid_window_s: 0, ..Settings::default() };
        assert!(!as_of(now, &settings).is_old(1, Moment { time: 0, age: 1 }, 100));
    }
}
