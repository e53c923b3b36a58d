//! What one end of the bus has done, for metrics and tests; by `unheard` repair knows how often to look.
//!
//! Plain counters that only grow, and gauges of how it is now. They are updated without ordering between
//! them: two read together need not belong to the same moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one bus since it was made. The local bus has no envelopes and leaves what speaks of them at 0.
#[derive(Debug, Default)]
pub struct BusStats {
    /// Items handed over to a medium, or to the receiving node in the local bus.
    pub sent_items: AtomicU64,
    /// Envelopes handed over to a medium, heartbeats included.
    pub sent_envelopes: AtomicU64,
    /// Envelopes received and understood, heartbeats included.
    pub received_envelopes: AtomicU64,
    /// Items received in them.
    pub received_items: AtomicU64,
    /// Items given up: their queue was full, their publish failed, or the receiver did not keep up.
    pub dropped_items: AtomicU64,
    /// Times that numbers of another node were found missing.
    pub gaps: AtomicU64,
    /// Times that a node which lives was not heard for too long.
    pub silences: AtomicU64,
    /// Nodes that live and have not been heard for too long, now.
    pub unheard: AtomicU64,
    /// Payloads on this node's channel that are no envelope.
    pub undecodable: AtomicU64,
    /// Envelopes without the signature of a node of this cluster for this channel.
    pub forged: AtomicU64,
    /// Times that a lost connection was made again: those that publish and those that listen, of all media.
    pub reconnects: AtomicU64,
    /// Publishes that failed; what they held went through another medium if there is one.
    pub publish_failures: AtomicU64,
    /// How long the latest publish took to be answered, in microseconds.
    pub last_publish_micros: AtomicU64,
    /// How long this node's latest own heartbeat took through a medium, in microseconds; 0: none yet.
    pub round_trip_micros: AtomicU64,
}

impl BusStats {
    /// Adds to one of the counters.
    pub(super) fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }

    /// Sets one of the gauges.
    pub(super) fn set_micros(gauge: &AtomicU64, took: Duration) {
        gauge.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
