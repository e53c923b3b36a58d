//! What comes through a node's channel, taken as far as it can be believed: signature, number, then the items.
//!
//! Pure bookkeeping on top of [`Numbering`] and [`Inbox`]; the same whatever carried the bytes.

use super::envelope::{self, Undecodable};
use super::inbox::Inbox;
use super::numbering::{LiveRuns, Numbering, Sighting};
use super::signature::Seal;
use super::{Arrival, BusStats};
use crate::cluster::NodeKey;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) struct Reception {
    own: NodeKey,
    /// Of this node's channel.
    seal: Seal,
    pub(super) inbox: Inbox,
    numbering: Numbering,
    stats: Arc<BusStats>,
}

impl Reception {
    pub(super) fn new(
        own: NodeKey,
        seal: Seal,
        live: Arc<LiveRuns>,
        arrivals: mpsc::Sender<Arrival>,
        stats: Arc<BusStats>,
    ) -> Self {
        let (inbox, numbering) = (Inbox::new(arrivals, Arc::clone(&stats)), Numbering::new(live));
        Reception { own, seal, inbox, numbering, stats }
    }

    /// Takes one payload; whether it is this node's own.
    pub(super) fn take(&mut self, payload: &[u8]) -> Result<bool, Undecodable> {
        let envelope = envelope::decode(&self.seal, payload).inspect_err(|error| {
            let stats = &self.stats;
            let counter = if let Undecodable::Signature = error { &stats.forged } else { &stats.undecodable };
            BusStats::add(counter, 1);
        })?;
        BusStats::add(&self.stats.received_envelopes, 1);
        BusStats::add(&self.stats.received_items, envelope.items.len());
        let is_heartbeat = envelope.items.is_empty();
        match self.numbering.observe(&envelope.from, envelope.number, is_heartbeat, Instant::now()) {
            // Not even its own heartbeat proves anything when it is repeated.
            Sighting::Stale => return Ok(false),
            Sighting::InOrder => {}
            Sighting::AfterGap => {
                BusStats::add(&self.stats.gaps, 1);
                self.inbox.lost(envelope.from.id.clone());
            }
        }
        let is_own = envelope.from == self.own;
        self.inbox.items(envelope.from.id, envelope.items);
        Ok(is_own)
    }
}
