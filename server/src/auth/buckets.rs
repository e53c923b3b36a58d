//! How often something may happen, for each of many keys.
//!
//! Each key has a bucket of so many times, which refills evenly within the window. Times are counted before it is known
//! what comes of them, and can be given back: what is done side by side cannot all slip through. A full bucket says
//! nothing, so it need not be kept, and is forgotten when the window has passed. Time is passed in.

use crate::auth::recent::Recent;
use parking_lot::Mutex;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Buckets<K> {
    window: Duration,
    /// How long one time takes to come back; `None`: there is no bound.
    interval: Option<Duration>,
    /// When the bucket is full again, which also says how empty it is now.
    full_at: Mutex<Recent<K, Instant>>,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// `times` within `window`, 0 for no bound; `capacity` buckets at most are kept, and half of them at least.
    pub fn new(times: u32, window: Duration, capacity: usize) -> Self {
        let interval = (times > 0).then(|| window / times);
        Buckets { window, interval, full_at: Mutex::new(Recent::new(window, capacity, Instant::now())) }
    }

    /// Counts one time.
    ///
    /// # Errors
    /// The wait until the next is free; then nothing was counted.
    pub fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Some(interval) = self.interval else { return Ok(()) };
        let mut buckets = self.full_at.lock();
        let full_at = buckets.get(&key).copied().unwrap_or(now).max(now) + interval;
        // `window / times` rounds down, so that `times` always fit.
        if let Some(wait) = full_at.checked_duration_since(now + self.window).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        buckets.insert(key, full_at, now);
        Ok(())
    }

    /// Takes one time back.
    pub fn give_back(&self, key: K, now: Instant) {
        let Some(interval) = self.interval else { return };
        let mut buckets = self.full_at.lock();
        match buckets.get(&key).and_then(|full_at| full_at.checked_sub(interval)).filter(|full_at| *full_at > now) {
            Some(full_at) => buckets.insert(key, full_at, now),
            None => buckets.remove(&key),
        }
    }

    /// Forgets what is full again.
    pub fn forget(&self, now: Instant) {
        self.full_at.lock().forget(now);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.full_at.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn buckets(times: u32) -> Buckets<u64> {
        Buckets::new(times, MINUTE, 100)
    }

    /// How many times go through at `now`.
    fn times(buckets: &Buckets<u64>, key: u64, now: Instant) -> usize {
        (0..1_000).take_while(|_| buckets.take(key, now).is_ok()).count()
    }

    #[test]
    fn exactly_so_many_go_through_at_once_whatever_it_is() {
        let now = Instant::now();
        for bound in [1, 7, 20, 60, 999] {
            assert_eq!(times(&buckets(bound), 1, now), bound as usize, "{bound} a minute");
        }
        let unbounded = buckets(0);
        assert_eq!((times(&unbounded, 1, now), unbounded.len()), (1_000, 0));
    }

    #[test]
    fn times_come_back_one_by_one_and_the_wait_says_when() {
        let buckets = buckets(20);
        let now = Instant::now();
        times(&buckets, 1, now);

        assert_eq!(buckets.take(1, now), Err(Duration::from_secs(3)));
        assert!(buckets.take(1, now + Duration::from_millis(2_999)).is_err());
        assert_eq!(times(&buckets, 1, now + Duration::from_secs(3)), 1);
        assert_eq!(times(&buckets, 1, now + 10 * MINUTE), 20);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let buckets = buckets(2);
        let now = Instant::now();
        for _ in 0..100 {
            buckets.take(1, now).unwrap();
            buckets.give_back(1, now);
        }
        assert_eq!(buckets.len(), 0, "a full bucket is not kept");
        buckets.take(1, now).unwrap();
        buckets.give_back(1, now + 2 * MINUTE);
        buckets.give_back(1, now + 2 * MINUTE);
        buckets.give_back(2, now + 2 * MINUTE);
        assert_eq!(times(&buckets, 1, now + 2 * MINUTE), 2);
        assert_eq!(times(&buckets, 2, now + 2 * MINUTE), 2);
    }

    #[test]
    fn no_more_are_kept_than_allowed_and_none_for_longer_than_it_tells_something() {
        let buckets = buckets(1);
        let now = Instant::now();
        for key in 0..1_000 {
            buckets.take(key, now).unwrap();
            assert!(buckets.len() <= 100);
        }
        assert!((950..1_000).all(|key| buckets.take(key, now).is_err()));

        buckets.forget(now + 2 * MINUTE);

        assert_eq!(buckets.len(), 0);
    }
}
