//! How often one address may fail to log in as one user.
//!
//! The limit is per (address, user), so that nobody can lock out another from elsewhere. An attempt is counted before
//! its password is looked at, and given back if it succeeds: attempts made side by side cannot all slip through. Each pair has a
//! bucket of `failed_logins_per_minute` attempts that refills evenly within a minute. Memory is bounded by
//! [`LOGIN_LIMIT_ENTRIES`]; time is passed in.

use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::Who;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Pairs of address and user that are remembered (about 100 bytes each). Beyond it the oldest is forgotten: to get a pair
/// forgotten, an attacker spends this many attempts, each with the price of a password hash, to win one bucket.
pub const LOGIN_LIMIT_ENTRIES: usize = 65_536;

/// The time in which an empty bucket fills up.
const WINDOW: Duration = Duration::from_secs(60);

/// The failed logins of the last minute.
#[derive(Debug)]
pub struct LoginLimit {
    /// How long one attempt takes to come back.
    interval: Duration,
    capacity: usize,
    /// Keyed, so that nobody can choose users that fall together.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the pair's bucket is full again, which also says how empty it is now. A name is kept as its hash: names
    /// are long, and two that collide merely share a bucket.
    full_at: HashMap<Pair, Instant>,
    /// Every key of `full_at` once, oldest first.
    order: VecDeque<Pair>,
}

type Pair = (IpAddr, u64);

impl LoginLimit {
    /// `per_minute` as in `limits.failed_logins_per_minute`, at least 1.
    pub fn new(per_minute: u32) -> Self {
        Self::with_capacity(per_minute, LOGIN_LIMIT_ENTRIES)
    }

    fn with_capacity(per_minute: u32, capacity: usize) -> Self {
        LoginLimit {
            interval: WINDOW / per_minute.max(1),
            capacity,
            hasher: RandomState::new(),
            state: Mutex::default(),
        }
    }

    /// Counts an attempt, before its password or token is checked.
    ///
    /// An id and a name are different users here. Who looks the account up first passes its id in either case, and the
    /// name only where there is no account; then nobody gets two buckets for one account.
    ///
    /// # Errors
    /// Errno 10 with the time until the next attempt is free; then nothing was counted.
    pub fn take(&self, address: IpAddr, user: &Who, now: Instant) -> Result<(), Failure> {
        let pair = self.pair(address, user);
        let mut state = self.state.lock();
        let known = state.full_at.get(&pair).copied();
        let full_at = known.unwrap_or(now).max(now) + self.interval;
        // `WINDOW / per_minute` rounds down, so that `per_minute` attempts always fit.
        if let Some(wait) = full_at.checked_duration_since(now + WINDOW).filter(|wait| !wait.is_zero()) {
            return Err(Failure::new(Errno::TooFast, "too many failed logins").retry_after(wait));
        }
        if known.is_none() {
            state.make_room(self.capacity, now);
            state.order.push_back(pair);
        }
        state.full_at.insert(pair, full_at);
        Ok(())
    }

    /// Takes an attempt back, once: it succeeded, or failed for a reason of ours (errno 11).
    pub fn give_back(&self, address: IpAddr, user: &Who) {
        if let Some(full_at) = self.state.lock().full_at.get_mut(&self.pair(address, user)) {
            *full_at = full_at.checked_sub(self.interval).unwrap_or(*full_at);
        }
    }

    fn pair(&self, address: IpAddr, user: &Who) -> Pair {
        let user = match user {
            Who::Id(id) => self.hasher.hash_one((0, id)),
            Who::Name(name) => self.hasher.hash_one((1, name)),
        };
        (address, user)
    }
}

impl State {
    /// Forgets the oldest while they say nothing any more, and one more if there is still no room.
    fn make_room(&mut self, capacity: usize, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let is_full = self.full_at.get(oldest).is_none_or(|full_at| *full_at <= now);
            if !is_full && self.order.len() < capacity {
                break;
            }
            self.full_at.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn alice() -> Who {
        Who::Name("alice".into())
    }

    /// How many attempts go through at `now`.
    fn attempts(limit: &LoginLimit, address: IpAddr, user: &Who, now: Instant) -> usize {
        (0..1_000).take_while(|_| limit.take(address, user, now).is_ok()).count()
    }

    #[test]
    fn exactly_the_limit_goes_through_at_once_whatever_it_is() {
        let now = Instant::now();
        for per_minute in [1, 7, 20, 60, 999] {
            let limit = LoginLimit::new(per_minute);
            assert_eq!(attempts(&limit, HERE, &alice(), now), per_minute as usize, "{per_minute} a minute");
        }
    }

    #[test]
    fn attempts_come_back_one_by_one_and_retry_says_when() {
        let limit = LoginLimit::new(20);
        let now = Instant::now();
        attempts(&limit, HERE, &alice(), now);

        let failure = limit.take(HERE, &alice(), now).unwrap_err();

        assert_eq!((failure.errno, failure.retry), (Errno::TooFast, Some(Duration::from_secs(3))));
        assert!(limit.take(HERE, &alice(), now + Duration::from_millis(2_999)).is_err());
        assert_eq!(attempts(&limit, HERE, &alice(), now + Duration::from_secs(3)), 1);
        assert_eq!(attempts(&limit, HERE, &alice(), now + Duration::from_secs(600)), 20);
    }

    #[test]
    fn other_addresses_and_other_users_are_not_affected() {
        let limit = LoginLimit::new(20);
        let now = Instant::now();
        attempts(&limit, HERE, &alice(), now);

        assert_eq!(attempts(&limit, THERE, &alice(), now), 20);
        assert_eq!(attempts(&limit, HERE, &Who::Name("bob".into()), now), 20);
        assert_eq!(attempts(&limit, HERE, &Who::Id(1), now), 20);
    }

    #[test]
    fn successes_are_given_back() {
        let limit = LoginLimit::new(2);
        let now = Instant::now();
        for _ in 0..100 {
            limit.take(HERE, &alice(), now).unwrap();
            limit.give_back(HERE, &alice());
        }

        assert_eq!(attempts(&limit, HERE, &alice(), now), 2);
        limit.give_back(THERE, &alice());
        assert_eq!(attempts(&limit, THERE, &alice(), now), 2);
    }

    #[test]
    fn a_success_long_after_the_attempt_wins_nothing() {
        let limit = LoginLimit::new(2);
        let now = Instant::now();
        limit.take(HERE, &alice(), now).unwrap();

        limit.give_back(HERE, &alice());
        limit.give_back(HERE, &alice());

        assert_eq!(attempts(&limit, HERE, &alice(), now + Duration::from_secs(120)), 2);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten() {
        let limit = LoginLimit::with_capacity(1, 10);
        let now = Instant::now();
        for user in 0..11 {
            limit.take(HERE, &Who::Id(user), now).unwrap();
        }

        assert!(limit.take(HERE, &Who::Id(1), now).is_err());
        assert!(limit.take(HERE, &Who::Id(10), now).is_err());
        assert!(limit.take(HERE, &Who::Id(0), now).is_ok());
        assert_eq!(limit.state.lock().order.len(), 10);
        assert_eq!(limit.state.lock().full_at.len(), 10);
    }

    #[test]
    fn full_buckets_are_forgotten_by_the_next_newcomer() {
        let limit = LoginLimit::new(20);
        let now = Instant::now();
        for user in 0..100 {
            limit.take(HERE, &Who::Id(user), now).unwrap();
        }

        limit.take(HERE, &alice(), now + WINDOW).unwrap();

        assert_eq!(limit.state.lock().full_at.len(), 1);
        assert_eq!(limit.state.lock().order.len(), 1);
    }
}
