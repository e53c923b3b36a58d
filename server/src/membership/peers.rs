//! The other nodes of the cluster that live.

use crate::bus::{Bus, Item};
use crate::cluster::NodeId;
use parking_lot::Mutex;
use std::sync::Arc;

pub struct Peers {
    bus: Arc<dyn Bus>,
    live: Mutex<Arc<[NodeId]>>,
}

impl Peers {
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Peers { bus, live: Mutex::new(Arc::from([])) }
    }

    pub fn live(&self) -> Arc<[NodeId]> {
        self.live.lock().clone()
    }

    pub fn set(&self, live: Vec<NodeId>) {
        *self.live.lock() = live.into();
    }

    /// Tells each of them.
    pub fn tell(&self, item: impl Fn() -> Item) {
        for peer in self.live().iter() {
            self.bus.send(peer, item());
        }
    }
}
