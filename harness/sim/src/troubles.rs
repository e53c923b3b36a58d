//! What is broken at the moment. Whoever can be hit by it (database, bus, links, clocks) asks here, and a fault that
//! hit somebody is counted: one that came where it made no difference proves nothing.

use crate::chance::Chance;
use crate::coverage::name_of_fault;
use crate::schedule::{Breaking, Fault};
use crate::trace::Trace;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

pub struct Troubles {
    chance: Chance,
    trace: Arc<Trace>,
    /// By number in the schedule.
    active: Mutex<BTreeMap<usize, Trouble>>,
}

struct Trouble {
    what: Breaking,
    begun: Instant,
    ends: Instant,
    has_struck: bool,
}

impl Troubles {
    pub fn new(seed: u64, trace: Arc<Trace>) -> Arc<Troubles> {
        Arc::new(Troubles { chance: Chance::new(seed, "troubles"), trace, active: Mutex::default() })
    }

    pub fn begin(&self, number: usize, fault: &Fault) {
        let begun = Instant::now();
        let trouble = Trouble { what: fault.what.clone(), begun, ends: begun + fault.length(), has_struck: false };
        self.active.lock().insert(number, trouble);
    }

    pub fn end(&self, number: usize) {
        self.active.lock().remove(&number);
    }

    /// Whether one of these strikes: each does in so many of a hundred times as `percent` says of it.
    pub fn strike(&self, percent: impl Fn(&Breaking) -> u8) -> bool {
        let mut active = self.active.lock();
        let struck = active.values_mut().find(|trouble| match percent(&trouble.what) {
            0 => false,
            100.. => true,
            percent => self.chance.percent(percent),
        });
        struck.is_some_and(|trouble| {
            self.struck(trouble);
            true
        })
    }

    /// When the last of these ends, if there is any.
    pub fn lasts_until(&self, is_one: impl Fn(&Breaking) -> bool) -> Option<Instant> {
        let mut active = self.active.lock();
        let mut last = None;
        for trouble in active.values_mut().filter(|trouble| is_one(&trouble.what)) {
            self.struck(trouble);
            last = last.max(Some(trouble.ends));
        }
        last
    }

    /// The same of one that strikes only once.
    pub fn strikes_once_until(&self, is_one: impl Fn(&Breaking) -> bool) -> Option<Instant> {
        let mut active = self.active.lock();
        let trouble = active.values_mut().find(|trouble| !trouble.has_struck && is_one(&trouble.what))?;
        self.struck(trouble);
        Some(trouble.ends)
    }

    /// How far a node's wall clock is off, in microseconds.
    pub fn clock_off_us(&self, node: usize) -> i64 {
        let mut active = self.active.lock();
        let off = |trouble: &mut Trouble| {
            let off = match trouble.what {
                Breaking::Clock { node: whose, by_ms } if whose == node => by_ms * 1_000,
                Breaking::Drift { node: whose, per_mille } if whose == node => {
                    i64::try_from(trouble.begun.elapsed().as_millis()).unwrap_or(i64::MAX / 1_000_000)
                        * i64::from(per_mille)
                }
                _ => return 0,
            };
            self.struck(trouble);
            off
        };
        active.values_mut().map(off).sum()
    }

    fn struck(&self, trouble: &mut Trouble) {
        if !std::mem::replace(&mut trouble.has_struck, true) {
            self.trace.reach(name_of_fault(trouble.what.name()));
        }
    }
}
