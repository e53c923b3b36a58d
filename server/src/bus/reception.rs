//! What comes through a node's channel, taken as far as it can be believed: signature, number, then the items.
//!
//! Pure bookkeeping on top of [`Numbering`], [`Silence`] and [`Inbox`]; the same whatever carried the bytes, and
//! through however many media they came.

use super::envelope::{self, Undecodable};
use super::inbox::Inbox;
use super::numbering::{LiveRuns, Numbering, Sighting};
use super::signature::Seal;
use super::silence::{Change, Silence};
use super::{Arrival, BusStats};
use crate::cluster::NodeKey;
use crate::failpoint::{self, Failpoint};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) struct Reception {
    own: NodeKey,
    /// Of this node's channel.
    seal: Seal,
    pub(super) inbox: Inbox,
    numbering: Numbering,
    live: Arc<LiveRuns>,
    silence: Silence,
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
        let (inbox, numbering) = (Inbox::new(arrivals, Arc::clone(&stats)), Numbering::new(Arc::clone(&live)));
        Reception { own, seal, inbox, numbering, live, silence: Silence::default(), stats }
    }

    /// Takes one payload; who speaks there, if it is the run of a node that is listened to.
    pub(super) fn take(&mut self, payload: &[u8], now: Instant) -> Result<Option<NodeKey>, Undecodable> {
        let envelope = envelope::decode(&self.seal, payload).inspect_err(|error| {
            let stats = &self.stats;
            let counter = if let Undecodable::Signature = error { &stats.forged } else { &stats.undecodable };
            BusStats::add(counter, 1);
        })?;
        BusStats::add(&self.stats.received_envelopes, 1);
        let from = envelope.from;
        let sighting = self.numbering.observe(&from, envelope.number, envelope.items.is_empty(), now);
        if sighting == Sighting::Stale && !failpoint::hits(Failpoint::BusTakeRepeats) {
            return Ok(self.numbering.is_current(&from).then_some(from));
        }
        BusStats::add(&self.stats.received_items, envelope.items.len());
        if sighting == Sighting::AfterGap {
            BusStats::add(&self.stats.gaps, 1);
            self.inbox.lost(from.id.clone());
        }
        if let Some(Change::Back(node)) = self.silence.heard(&from.id, now) {
            tracing::info!(%node, "the node is heard again on the bus");
            self.count_unheard();
        }
        self.inbox.items(from.id.clone(), envelope.items);
        Ok(Some(from))
    }

    /// Tells the node whose words it has to look for in the log, since they live and nothing comes from them.
    pub(super) fn look(&mut self, now: Instant) {
        let others = self.live.nodes().into_iter().filter(|node| *node != self.own.id);
        for change in self.silence.look(others, now) {
            let Change::Silent { node, newly } = change else { continue };
            if newly {
                tracing::warn!(%node, "the node lives and is not heard on the bus: reading the log in its stead");
            }
            BusStats::add(&self.stats.silences, 1);
            self.inbox.lost(node);
        }
        self.count_unheard();
    }

    fn count_unheard(&self) {
        self.stats.unheard.store(self.silence.count() as u64, Ordering::Relaxed);
    }
}
