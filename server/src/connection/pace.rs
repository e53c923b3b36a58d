//! How fast one user may send: a token bucket that first slows the reading down, and only after a while refuses.

use crate::limits::Limits;
use std::time::Duration;
use tokio::time::Instant;

/// A client that has been slowed down for this long is told so (errno 10).
const PATIENCE: Duration = Duration::from_secs(5);
/// An instant that is never reached.
const FAR: Duration = Duration::from_secs(86_400);

/// The time a full bucket is ahead is kept instead of tokens: one instant says it all.
pub struct Pace {
    /// Time that one message costs; zero: no limit.
    cost: Duration,
    /// How far `paid_until` may lie behind now: the burst.
    burst: Duration,
    /// The bucket is empty while this lies ahead of now.
    paid_until: Option<Instant>,
    /// Reading is paused until then.
    waiting_until: Option<Instant>,
    slowed_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// Errno 10, with the time to wait.
    Refuse(Duration),
}

impl Pace {
    pub fn new(limits: &Limits) -> Self {
        let cost = match limits.messages_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) / rate,
        };
        let burst = cost * limits.message_burst.max(1);
        Pace { cost, burst, paid_until: None, waiting_until: None, slowed_since: None }
    }

    /// A message has arrived. It may go, but reading may then pause ([`Pace::is_waiting`]).
    pub fn take(&mut self, now: Instant) -> Verdict {
        if self.cost.is_zero() {
            return Verdict::Go;
        }
        // Nothing can be saved up beyond the burst.
        let floor = now.checked_sub(self.burst).unwrap_or(now);
        let paid_until = self.paid_until.map_or(floor, |paid| paid.max(floor));
        if now.duration_since(paid_until) * 2 >= self.burst {
            self.slowed_since = None;
        }
        if self.slowed_since.is_some_and(|since| now.duration_since(since) >= PATIENCE) && paid_until + self.cost > now
        {
            return Verdict::Refuse(paid_until + self.cost - now);
        }
        let paid_until = paid_until + self.cost;
        self.paid_until = Some(paid_until);
        if paid_until > now {
            self.slowed_since.get_or_insert(now);
            self.waiting_until = Some(paid_until);
        }
        Verdict::Go
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting_until.is_some()
    }

    /// Reading goes on if its time has come.
    pub fn tick(&mut self, now: Instant) {
        self.waiting_until = self.waiting_until.filter(|until| *until > now);
    }

    /// When to look again.
    pub fn next(&self, now: Instant) -> Instant {
        self.waiting_until.unwrap_or(now + FAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(messages_per_second: u32, message_burst: u32) -> Pace {
        Pace::new(&Limits { messages_per_second, message_burst, ..Limits::default() })
    }

    #[test]
    fn burst_goes_at_once_then_reading_pauses() {
        let start = Instant::now();
        let mut pace = pace(10, 5);
        for _ in 0..5 {
            assert_eq!(pace.take(start), Verdict::Go);
            assert!(!pace.is_waiting());
        }

        assert_eq!(pace.take(start), Verdict::Go);

        assert!(pace.is_waiting());
        assert_eq!(pace.next(start), start + Duration::from_millis(100));
        pace.tick(start + Duration::from_millis(100));
        assert!(!pace.is_waiting());
    }

    #[test]
    fn refusal_comes_only_after_five_seconds_of_slowing_down() {
        let mut now = Instant::now();
        let start = now;
        let mut pace = pace(10, 1);
        let refused_at = loop {
            // A client that sends far faster than it is read: whenever reading goes on, the next is there.
            match pace.take(now) {
                Verdict::Go if pace.is_waiting() => now = pace.next(now),
                Verdict::Go => {}
                Verdict::Refuse(wait) => {
                    assert!(wait <= Duration::from_millis(100));
                    break now;
                }
            }
            pace.tick(now);
        };
        assert!(refused_at - start >= PATIENCE, "{:?}", refused_at - start);
    }

    #[test]
    fn zero_switches_the_limit_off() {
        let now = Instant::now();
        let mut pace = pace(0, 1);
        for _ in 0..100_000 {
            assert_eq!(pace.take(now), Verdict::Go);
        }
        assert!(!pace.is_waiting());
    }
}
