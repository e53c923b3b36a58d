//! How often one address may fail to log in with a password.
//!
//! Two limits hold at once. As one user an address may fail `failed_logins_per_minute` times, so that nobody can lock
//! out another from elsewhere. In all it may fail `failed_logins_per_minute_per_ip` times, so that nobody tries one
//! password on many users. From the second those are exempt who have logged in from there before ([`AT_HOME`]): who
//! guesses behind a router locks out nobody who lives there. Only a wrong password counts: not a right one, not one
//! that could not be checked for now, and no token, which cannot be guessed and costs nothing to check. What is kept is
//! bounded by [`KEPT_PAIRS`] and [`KEPT_ORIGINS`]; time is passed in.

use crate::auth::buckets::Buckets;
use crate::auth::origin::KEPT_ORIGINS;
use crate::auth::origin::Origin;
use crate::auth::recent::Recent;
use crate::config::limits::Limits;
use chat_protocol::conversation::UserId;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::Who;
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::time::Instant;

/// Pairs of address and user that are remembered (about 50 bytes each), for failures and for those at home apart.
/// Beyond it the oldest are forgotten, half of them at most: to get a pair forgotten, an attacker spends half as many
/// guesses, each with the price of a password hash, from as many addresses as the limit for each makes necessary, to
/// win one bucket.
pub const KEPT_PAIRS: usize = 65_536;
/// How long, at least, one who has logged in is at home at an address.
const AT_HOME: Duration = Duration::from_secs(24 * 60 * 60);
/// The time in which an empty bucket fills up.
const WINDOW: Duration = Duration::from_secs(60);

/// The failed logins of the last minute.
#[derive(Debug)]
pub struct LoginLimit {
    pairs: Buckets<Pair>,
    origins: Buckets<Origin>,
    /// Those who have logged in, by id and by what they called themselves.
    at_home: Mutex<Recent<Pair, ()>>,
    /// Keyed, so that nobody can choose users that fall together.
    hasher: RandomState,
}

/// An address and a user, kept as a hash: names are long, and two pairs that collide merely share a bucket.
type Pair = u64;

/// One password that is tried. Dropped without a verdict, it is as if it had not been.
#[derive(Debug)]
pub struct Attempt<'l> {
    limit: &'l LoginLimit,
    origin: Origin,
    /// As the client called the user.
    called: Pair,
    counts_for_origin: bool,
    pair: Option<Pair>,
}

impl LoginLimit {
    pub fn new(limits: &Limits) -> Self {
        Self::with_capacity(limits, KEPT_PAIRS, KEPT_ORIGINS)
    }

    fn with_capacity(limits: &Limits, pairs: usize, origins: usize) -> Self {
        LoginLimit {
            pairs: Buckets::new(limits.failed_logins_per_minute, WINDOW, pairs),
            origins: Buckets::new(limits.failed_logins_per_minute_per_ip, WINDOW, origins),
            at_home: Mutex::new(Recent::new(AT_HOME, pairs, Instant::now())),
            hasher: RandomState::new(),
        }
    }

    /// Begins an attempt, before the user is looked up; [`Attempt::at`] follows.
    ///
    /// # Errors
    /// Errno 10 if the address has failed too often.
    pub fn attempt(&self, origin: Origin, called: &Who, now: Instant) -> Result<Attempt<'_>, Failure> {
        let called = self.pair(origin, called);
        let counts_for_origin = self.at_home.lock().get(&called).is_none();
        if counts_for_origin {
            self.origins
                .take(origin, now)
                .map_err(|wait| too_fast("too many failed logins from this address", wait))?;
        }
        Ok(Attempt { limit: self, origin, called, counts_for_origin, pair: None })
    }

    /// The user has logged in, with a token: from now on they are at home there.
    pub fn welcome(&self, origin: Origin, called: &Who, user: UserId, now: Instant) {
        let pairs = [self.pair(origin, called), self.pair(origin, &Who::Id(user))];
        let mut at_home = self.at_home.lock();
        pairs.into_iter().for_each(|pair| at_home.insert(pair, (), now));
    }

    /// Forgets what says nothing any more.
    pub fn forget(&self, now: Instant) {
        self.pairs.forget(now);
        self.origins.forget(now);
        self.at_home.lock().forget(now);
    }

    fn pair(&self, origin: Origin, user: &Who) -> Pair {
        match user {
            Who::Id(id) => self.hasher.hash_one((origin, 0, id)),
            Who::Name(name) => self.hasher.hash_one((origin, 1, name)),
        }
    }
}

impl Attempt<'_> {
    /// Counts the attempt, before its password is checked. By the account's id where there is one: then nobody gets two
    /// buckets for one account.
    ///
    /// # Errors
    /// Errno 10 with the time until the next attempt is free.
    pub fn at(&mut self, account: Option<UserId>, now: Instant) -> Result<(), Failure> {
        let pair = account.map_or(self.called, |id| self.limit.pair(self.origin, &Who::Id(id)));
        self.limit.pairs.take(pair, now).map_err(|wait| too_fast("too many failed logins", wait))?;
        self.pair = Some(pair);
        Ok(())
    }

    /// The password was right.
    pub fn succeeded(self, called: &Who, user: UserId, now: Instant) {
        self.limit.welcome(self.origin, called, user, now);
    }

    /// The password was wrong: the attempt stays counted.
    pub fn failed(mut self) {
        self.pair = None;
        self.counts_for_origin = false;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        if let Some(pair) = self.pair {
            self.limit.pairs.give_back(pair, now);
        }
        if self.counts_for_origin {
            self.limit.origins.give_back(self.origin, now);
        }
    }
}

fn too_fast(text: &'static str, wait: Duration) -> Failure {
    Failure::new(Errno::TooFast, text).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn origin(last: u8) -> Origin {
        Origin::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn limit(per_pair: u32, per_origin: u32) -> LoginLimit {
        let limits = Limits {
            failed_logins_per_minute: per_pair,
            failed_logins_per_minute_per_ip: per_origin,
            ..Limits::default()
        };
        LoginLimit::with_capacity(&limits, 100, 100)
    }

    fn alice() -> Who {
        Who::Name("alice".into())
    }

    /// Whether a wrong password is looked at.
    fn fails(limit: &LoginLimit, origin: Origin, called: &Who, account: Option<UserId>) -> bool {
        let now = Instant::now();
        let attempt = limit.attempt(origin, called, now).and_then(|mut attempt| {
            attempt.at(account, now)?;
            Ok(attempt)
        });
        attempt.map(Attempt::failed).is_ok()
    }

    /// How many wrong passwords are looked at, at once.
    fn failures(limit: &LoginLimit, origin: Origin, called: &Who, account: Option<UserId>) -> usize {
        (0..1_000).take_while(|_| fails(limit, origin, called, account)).count()
    }

    #[test]
    fn a_user_is_tried_so_often_by_name_and_id_together_and_others_are_not_affected() {
        let limit = limit(20, 0);

        assert_eq!(failures(&limit, origin(1), &alice(), Some(7)), 20);
        assert_eq!(failures(&limit, origin(1), &Who::Id(7), Some(7)), 0);
        assert_eq!(failures(&limit, origin(2), &Who::Id(7), Some(7)), 20);
        assert_eq!(failures(&limit, origin(1), &Who::Name("nobody".into()), None), 20);
    }

    #[test]
    fn an_address_that_tries_many_users_is_stopped() {
        let limit = limit(20, 30);

        let tried = (0..1_000).take_while(|id| fails(&limit, origin(1), &Who::Id(*id), Some(*id))).count();

        assert_eq!(tried, 30);
        assert!(!fails(&limit, origin(1), &Who::Name("nobody".into()), None));
        assert!(fails(&limit, origin(2), &alice(), Some(7)));
    }

    #[test]
    fn who_lives_there_is_not_locked_out_by_a_guesser_next_door() {
        let limit = limit(20, 30);
        let now = Instant::now();
        limit.welcome(origin(1), &alice(), 7, now);
        while fails(&limit, origin(1), &Who::Name("nobody".into()), None)
            || fails(&limit, origin(1), &Who::Name("somebody".into()), None)
        {}

        for called in [alice(), Who::Id(7)] {
            let mut attempt = limit.attempt(origin(1), &called, now).unwrap();
            attempt.at(Some(7), now).unwrap();
            attempt.succeeded(&called, 7, now);
        }
        assert_eq!(failures(&limit, origin(1), &alice(), Some(7)), 20, "the limit for one user holds");
    }

    #[test]
    fn only_wrong_passwords_count() {
        let limit = limit(2, 2);
        let now = Instant::now();
        for _ in 0..100 {
            // Busy before the look-up, busy after it, and right.
            drop(limit.attempt(origin(1), &alice(), now).unwrap());
            let mut attempt = limit.attempt(origin(1), &alice(), now).unwrap();
            attempt.at(Some(7), now).unwrap();
            drop(attempt);
            let mut attempt = limit.attempt(origin(1), &Who::Id(8), now).unwrap();
            attempt.at(Some(8), now).unwrap();
            attempt.succeeded(&Who::Id(8), 8, now);
        }

        assert_eq!((limit.pairs.len(), limit.origins.len()), (0, 0));
        assert_eq!(failures(&limit, origin(1), &alice(), Some(7)), 2);
    }

    #[test]
    fn attempts_refused_for_one_user_do_not_count_for_the_address() {
        let limit = limit(2, 3);
        assert_eq!(failures(&limit, origin(1), &alice(), Some(7)), 2);
        for _ in 0..100 {
            assert!(!fails(&limit, origin(1), &alice(), Some(7)));
        }

        assert!(fails(&limit, origin(1), &Who::Id(8), Some(8)));
    }

    #[test]
    fn any_number_of_ipv6_networks_is_forgotten_again_and_locks_nobody_out() {
        let limit = limit(1, 1);
        for network in 0..10_000 {
            let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | network << 64 | 1);
            assert!(fails(&limit, Origin::of(IpAddr::V6(address)), &Who::Name(network.to_string()), None));
        }
        assert!(limit.pairs.len() <= 100 && limit.origins.len() <= 100);
        assert!(fails(&limit, origin(1), &alice(), Some(7)));
        assert!(!fails(&limit, origin(1), &alice(), Some(7)));

        limit.forget(Instant::now() + 2 * WINDOW);

        assert_eq!((limit.pairs.len(), limit.origins.len()), (0, 0));
    }
}
