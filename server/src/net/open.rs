//! Everything that is open, so that limits can be kept.

use crate::auth::origin::Origin;
use crate::config::limits::Limits;
use crate::session::outbound::Outbound;
use chat_protocol::errno::{Errno, Failure};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Default)]
pub struct Open {
    state: Mutex<OpenState>,
}

#[derive(Default)]
struct OpenState {
    next: u64,
    all: BTreeMap<u64, Entry>,
    per_ip: HashMap<Origin, usize>,
    /// Those that have not logged in, oldest first.
    prelogin: BTreeMap<u64, Arc<Outbound>>,
}

struct Entry {
    outbound: Arc<Outbound>,
    /// Under which address it is counted; behind a proxy known only once its header has come.
    counted_as: Option<Origin>,
}

impl Open {
    /// `None`: no more connections are allowed, in all or from this address. Behind a proxy it is not known yet, and
    /// counted later.
    pub fn admit(&self, limits: &Limits, outbound: &Arc<Outbound>, address: Option<IpAddr>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.all.len() >= limits.connections {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.all.insert(number, Entry { outbound: outbound.clone(), counted_as: None });
        if address.is_some_and(|address| !state.count(number, address, limits.connections_per_ip)) {
            state.all.remove(&number);
            return None;
        }
        if state.prelogin.len() >= limits.prelogin_connections
            && let Some((_, oldest)) = state.prelogin.pop_first()
        {
            oldest.close(Failure::new(Errno::Idle, "too many connections that have not logged in"));
        }
        state.prelogin.insert(number, outbound.clone());
        Some(number)
    }

    /// False: there are as many connections from this address as allowed (0: no bound).
    pub fn count(&self, number: u64, address: IpAddr, per_ip: usize) -> bool {
        self.state.lock().count(number, address, per_ip)
    }

    pub fn logged_in(&self, number: u64) {
        self.state.lock().prelogin.remove(&number);
    }

    pub fn closed(&self, number: u64) {
        let mut state = self.state.lock();
        state.prelogin.remove(&number);
        let Some(address) = state.all.remove(&number).and_then(|entry| entry.counted_as) else { return };
        if let Some(count) = state.per_ip.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                state.per_ip.remove(&address);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.state.lock().all.len()
    }

    /// Every open connection's queue, the oldest first.
    pub fn all(&self) -> Vec<Arc<Outbound>> {
        self.state.lock().all.values().map(|entry| entry.outbound.clone()).collect()
    }
}

impl OpenState {
    fn count(&mut self, number: u64, address: IpAddr, per_ip: usize) -> bool {
        let origin = Origin::of(address);
        let count = self.per_ip.entry(origin).or_default();
        if per_ip > 0 && *count >= per_ip {
            return false;
        }
        *count += 1;
        if let Some(entry) = self.all.get_mut(&number) {
            entry.counted_as = Some(origin);
        }
        true
    }
}
