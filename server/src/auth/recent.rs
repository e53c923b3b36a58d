//! A map that forgets: what was put in long ago, and where it grows too large, what was put in before the rest.
//!
//! There are two generations. The young one becomes the old one when its time is up, or it holds half of what may be
//! held; what was old then is gone, and its memory is given back. Time is passed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    turned_at: Instant,
    kept: Duration,
    capacity: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Keeps what is put in for `kept` at least, unless half of `capacity` others are put in meanwhile.
    pub fn new(kept: Duration, capacity: usize, now: Instant) -> Self {
        Recent { young: HashMap::new(), old: HashMap::new(), turned_at: now, kept, capacity }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub fn insert(&mut self, key: K, value: V, now: Instant) {
        self.forget(now);
        self.old.remove(&key);
        if self.young.len() >= self.capacity / 2 && !self.young.contains_key(&key) {
            // The memory stays: as much will be put in again, and a flood must not have maps made over and over.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.turned_at = now;
        }
        self.young.insert(key, value);
    }

    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Forgets what has been kept long enough.
    pub fn forget(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned_at);
        if age >= self.kept {
            self.turn(now);
        }
        if age >= 2 * self.kept {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.turned_at = now;
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *START + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_put_in_is_kept_for_the_time_and_gone_after_twice_that() {
        for put_in in [0, 59, 60, 61] {
            let mut recent = Recent::new(KEPT, 100, at(0));
            recent.insert(1, "one", at(put_in));
            for later in 0..60 {
                recent.forget(at(put_in + later));
                assert_eq!(recent.get(&1), Some(&"one"), "{put_in} {later}");
            }
            recent.forget(at(put_in + 120));
            assert_eq!((recent.get(&1), recent.len(), recent.young.capacity()), (None, 0, 0), "{put_in}");
        }
    }

    #[test]
    fn what_is_put_in_again_stays() {
        let mut recent = Recent::new(KEPT, 100, at(0));
        for minute in 0..10 {
            recent.insert(1, minute, at(60 * minute));
        }
        assert_eq!((recent.get(&1), recent.len()), (Some(&9), 1));
        recent.remove(&1);
        assert_eq!(recent.len(), 0);
    }

    #[test]
    fn capacity_is_never_passed_and_the_latest_half_is_there() {
        let mut recent = Recent::new(KEPT, 10, at(0));
        for key in 0..1_000 {
            recent.insert(key, (), at(0));
            assert!(recent.len() <= 10);
            assert!((0..5).all(|back| back > key || recent.get(&(key - back)).is_some()), "{key}");
        }
    }
}
