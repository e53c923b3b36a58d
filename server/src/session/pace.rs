//! How fast one user may send: a token bucket that first slows the reading down, and only after a while refuses.
//!
//! A connection owns the [`Pace`] of whoever is logged in on it, so that a message costs no lock. When a session ends,
//! what its user has spent stays behind in [`Paces`] until the bucket would be full again, and the user's next session
//! on this node goes on from there: reconnecting gains nothing.

use crate::config::limits::Limits;
use chat_protocol::conversation::UserId;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Users whose spent message rate is remembered between two sessions; beyond it those are forgotten who have spent
/// least, and their next session has its whole burst.
const RESTING_PACES: usize = 65_536;

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

/// What a user has spent of its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    paid_until: Instant,
    slowed_since: Option<Instant>,
    /// When nothing of it is left: the bucket is full.
    full_at: Instant,
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

    /// The pace of a user who has spent this before. Reading pauses at once while the bucket is empty.
    pub fn resumed(limits: &Limits, spent: Option<Spent>, now: Instant) -> Self {
        let paid_until = spent.map(|spent| spent.paid_until);
        let slowed_since = spent.and_then(|spent| spent.slowed_since);
        let waiting_until = paid_until.filter(|paid| *paid > now);
        Pace { paid_until, waiting_until, slowed_since, ..Pace::new(limits) }
    }

    /// `None` where the bucket is full.
    pub fn spent(&self, now: Instant) -> Option<Spent> {
        let paid_until = self.paid_until?;
        let full_at = paid_until + self.burst;
        (full_at > now).then_some(Spent { paid_until, slowed_since: self.slowed_since, full_at })
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

/// What users have spent who are not logged in here now. Asked at login and told at the end of a session, never for a
/// message.
pub struct Paces {
    resting: Mutex<Resting>,
    most: usize,
}

#[derive(Default)]
struct Resting {
    spent: HashMap<UserId, Spent>,
    /// The same users, those first whose buckets are full first.
    by_full_at: BTreeSet<(Instant, UserId)>,
}

impl Default for Paces {
    fn default() -> Self {
        Paces::at_most(RESTING_PACES)
    }
}

impl Paces {
    fn at_most(most: usize) -> Self {
        Paces { resting: Mutex::default(), most }
    }

    /// The user's session ends, or is about to.
    pub fn keep(&self, user: UserId, spent: Option<Spent>, now: Instant) {
        let Some(spent) = spent else { return };
        let mut resting = self.resting.lock();
        resting.forget(user);
        resting.spent.insert(user, spent);
        resting.by_full_at.insert((spent.full_at, user));
        while let Some(&(full_at, user)) = resting.by_full_at.first()
            && (full_at <= now || resting.spent.len() > self.most)
        {
            resting.forget(user);
        }
    }

    /// A session of the user begins: what it has spent is its own business now.
    pub fn take(&self, user: UserId) -> Option<Spent> {
        self.resting.lock().forget(user)
    }
}

impl Resting {
    fn forget(&mut self, user: UserId) -> Option<Spent> {
        let spent = self.spent.remove(&user)?;
        self.by_full_at.remove(&(spent.full_at, user));
        Some(spent)
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
    /// What is left after sending so many messages at once.
    fn sent(limits: &Limits, count: usize, now: Instant) -> Option<Spent> {
        let mut pace = Pace::new(limits);
        for _ in 0..count {
            assert_eq!(pace.take(now), Verdict::Go);
        }
        pace.spent(now)
    }

    #[test]
    fn next_session_goes_on_where_the_last_one_stopped() {
        let limits = Limits { messages_per_second: 10, message_burst: 5, ..Limits::default() };
        let (start, paces) = (Instant::now(), Paces::default());
        paces.keep(1, sent(&limits, 4, start), start);
        paces.keep(2, sent(&limits, 6, start), start);

        let mut first = Pace::resumed(&limits, paces.take(1), start);
        assert_eq!((first.take(start), first.is_waiting()), (Verdict::Go, false));
        assert_eq!((first.take(start), first.is_waiting()), (Verdict::Go, true));
        let second = Pace::resumed(&limits, paces.take(2), start);
        assert!(second.is_waiting(), "an empty bucket is waited for before the first message");
        let third = Pace::resumed(&limits, paces.take(3), start);
        assert_eq!((third.is_waiting(), third.spent(start)), (false, None), "users are counted apart");
        assert_eq!(paces.take(1), None);
    }

    #[test]
    fn reconnecting_does_not_win_patience() {
        let limits = Limits { messages_per_second: 10, message_burst: 1, ..Limits::default() };
        let (start, paces) = (Instant::now(), Paces::default());
        let mut now = start;
        let refused_at = loop {
            let mut pace = Pace::resumed(&limits, paces.take(1), now);
            if pace.is_waiting() {
                now = pace.next(now);
                pace.tick(now);
            }
            if let Verdict::Refuse(_) = pace.take(now) {
                break now;
            }
            paces.keep(1, pace.spent(now), now);
            assert!(now < start + 2 * PATIENCE, "never refused");
        };
        assert!(refused_at - start >= PATIENCE, "{:?}", refused_at - start);
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let limits = Limits { messages_per_second: 10, message_burst: 5, ..Limits::default() };
        let (start, paces) = (Instant::now(), Paces::default());
        assert_eq!(sent(&limits, 0, start), None);
        for user in 0..100 {
            paces.keep(user, sent(&limits, 5, start), start);
        }
        let later = start + Duration::from_secs(1);

        paces.keep(100, sent(&limits, 1, later), later);

        assert_eq!(paces.resting.lock().spent.len(), 1);
        assert_eq!(paces.resting.lock().by_full_at.len(), 1);
    }

    #[test]
    fn beyond_the_limit_those_are_forgotten_who_have_spent_least() {
        let limits = Limits { messages_per_second: 10, message_burst: 50, ..Limits::default() };
        let (start, paces) = (Instant::now(), Paces::at_most(3));
        for user in 1..=9 {
            paces.keep(user, sent(&limits, user as usize, start), start);
            paces.keep(user, sent(&limits, user as usize, start), start);
        }

        let kept = (1..=9).filter(|user| paces.take(*user).is_some());
        assert!(kept.eq([7, 8, 9]));
        assert!(paces.resting.lock().by_full_at.is_empty());
    }
}
