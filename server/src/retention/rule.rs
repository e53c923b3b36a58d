//! What the settings come to at a moment.

use crate::config::retention::Retention as Settings;
use crate::storage::KeepRule;
use chat_protocol::message::TimeMs;
use std::time::Duration;

/// What is kept at the moment `now`.
pub fn as_of(now: TimeMs, settings: &Settings) -> KeepRule {
    let before = |age: Duration| now.saturating_sub(TimeMs::try_from(age.as_millis()).unwrap_or(TimeMs::MAX));
    KeepRule {
        older_than: settings.max_age().map(before),
        newest: (settings.messages > 0).then_some(settings.messages),
        resent_until: before(Duration::from_secs(settings.mid_window_s)),
        unreceived_older_than: settings.max_unreceived_age().map(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;
    const NOW: TimeMs = 1_000 * DAY_MS;

    fn rule(days: u32, messages: u64, mid_window_days: u64) -> KeepRule {
        let mid_window_s = mid_window_days * 24 * 60 * 60;
        as_of(NOW, &Settings { days, messages, mid_window_s, unreceived_days: 50, ..Settings::default() })
    }

    #[test]
    fn message_goes_by_age_or_number_but_never_within_the_window_for_resends() {
        let is_old = |rule: KeepRule, seq, days_ago| rule.is_old(seq, NOW - days_ago * DAY_MS, 100);

        assert!(is_old(rule(10, 0, 0), 100, 11) && !is_old(rule(10, 0, 0), 1, 10));
        assert!(is_old(rule(0, 10, 0), 90, 1) && !is_old(rule(0, 10, 0), 91, 1_000));
        assert!(is_old(rule(10, 10, 0), 90, 1) && is_old(rule(10, 10, 0), 100, 11));
        assert!(!is_old(rule(10, 10, 30), 1, 30) && is_old(rule(10, 10, 30), 1, 31));
        assert!(!is_old(rule(0, 0, 0), 1, 1_000));
    }

    #[test]
    fn hard_limit_counts_from_its_own_age() {
        assert!(!rule(10, 0, 0).goes_unreceived(NOW - 50 * DAY_MS));
        assert!(rule(10, 0, 0).goes_unreceived(NOW - 51 * DAY_MS));
        let none = as_of(NOW, &Settings { days: 10, ..Settings::default() });
        assert!(!none.goes_unreceived(0));
    }
}
