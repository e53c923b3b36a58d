//! The bus over whatever carries bytes: for nodes whose envelopes go neither through Redis nor straight across.
//!
//! Numbers, signatures, heartbeats and queues are those of the bus over Redis; only the way between is the carrier's,
//! and that may lose, delay, repeat and reorder what it is given.

use super::envelope;
use super::numbering::LiveRuns;
use super::outbox::Outbox;
use super::reception::Reception;
use super::signature::BusKey;
use super::{ARRIVALS, Arrival, Bus, BusStats, HEARTBEAT, Item};
use crate::cluster::{ClusterSecret, NodeId, NodeKey};
use async_trait::async_trait;
use chat_environment::Environment;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// What channel names begin with.
const PREFIX: &str = "chat";

/// Carries envelopes to channels, as well as it does.
pub trait Carrier: Send + Sync + 'static {
    /// For the log.
    fn describe(&self) -> String;
    /// Takes an envelope and returns at once.
    fn publish(&self, channel: &str, envelope: Vec<u8>);
    /// What is published to the channel from now on. Where it ends the subscription is made anew, and anything may
    /// have been lost meanwhile.
    fn subscribe(&self, channel: &str) -> mpsc::UnboundedReceiver<Vec<u8>>;
}

/// Starts a node's end of the bus; must be called inside a Tokio runtime.
pub fn connect(
    carrier: Arc<dyn Carrier>,
    key: &NodeKey,
    secret: &ClusterSecret,
    environment: &Environment,
) -> (Arc<dyn Bus>, mpsc::Receiver<Arrival>) {
    let stats = Arc::new(BusStats::default());
    let shared = Arc::new(Shared {
        carrier,
        key: key.clone(),
        bus_key: BusKey::new(secret),
        live: Arc::default(),
        outbox: Outbox::new(key.id.clone(), PREFIX.into(), Arc::clone(&stats)),
        stats,
        is_subscribed: AtomicBool::new(false),
        closing: CancellationToken::new(),
    });
    let (sender, arrivals) = mpsc::channel(ARRIVALS);
    environment.tasks.spawn("bus publisher", publish_all(Arc::clone(&shared)));
    environment.tasks.spawn("bus subscriber", subscribe(Arc::clone(&shared), sender));
    (Arc::new(CarriedBus(shared)), arrivals)
}

struct CarriedBus(Arc<Shared>);

/// What the bus and its two tasks have in common.
struct Shared {
    carrier: Arc<dyn Carrier>,
    key: NodeKey,
    bus_key: BusKey,
    live: Arc<LiveRuns>,
    outbox: Outbox,
    stats: Arc<BusStats>,
    is_subscribed: AtomicBool,
    closing: CancellationToken,
}

#[async_trait]
impl Bus for CarriedBus {
    fn describe(&self) -> String {
        self.0.carrier.describe()
    }

    fn send(&self, to: &NodeId, item: Item) {
        self.0.outbox.send(to, item);
    }

    fn set_peers(&self, peers: &[NodeKey]) {
        self.0.live.set(peers);
        let peers: Vec<NodeId> = peers.iter().map(|peer| peer.id.clone()).collect();
        self.0.outbox.set_peers(&peers);
    }

    fn is_connected(&self) -> bool {
        self.0.is_subscribed.load(Ordering::Relaxed)
    }

    fn stats(&self) -> &BusStats {
        &self.0.stats
    }

    async fn close(&self) {
        self.0.closing.cancel();
        self.0.publish(false);
    }
}

impl Drop for CarriedBus {
    fn drop(&mut self) {
        self.0.closing.cancel();
    }
}

impl Shared {
    fn publish(&self, heartbeat: bool) {
        for parcel in self.outbox.take(heartbeat) {
            let seal = self.bus_key.seal(&parcel.channel);
            BusStats::add(&self.stats.sent_envelopes, 1);
            BusStats::add(&self.stats.sent_items, parcel.items.len());
            self.carrier.publish(&parcel.channel, envelope::encode(&seal, &self.key, parcel.number, &parcel.items));
        }
    }
}

async fn publish_all(shared: Arc<Shared>) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_heartbeat = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            _ = heartbeat.tick() => true,
            () = shared.outbox.ready() => false,
        };
        shared.publish(is_heartbeat);
    }
}

async fn subscribe(shared: Arc<Shared>, arrivals: mpsc::Sender<Arrival>) {
    let channel = shared.outbox.channel(&shared.key.id);
    let seal = shared.bus_key.seal(&channel);
    let (live, stats) = (Arc::clone(&shared.live), Arc::clone(&shared.stats));
    let mut reception = Reception::new(shared.key.clone(), seal, live, arrivals, stats);
    let reading = async {
        loop {
            let mut payloads = shared.carrier.subscribe(&channel);
            shared.is_subscribed.store(true, Ordering::Relaxed);
            reception.inbox.resubscribed();
            while let Some(payload) = reception.inbox.alongside(payloads.recv()).await {
                // What cannot be believed is counted, and nothing else.
                let _ = reception.take(&payload);
            }
            shared.is_subscribed.store(false, Ordering::Relaxed);
            BusStats::add(&shared.stats.reconnects, 1);
            reception.inbox.alongside(tokio::time::sleep(HEARTBEAT)).await;
        }
    };
    shared.closing.run_until_cancelled(reading).await;
    shared.is_subscribed.store(false, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::collections::BTreeMap;

    /// Loses each envelope that it is told to.
    #[derive(Default)]
    struct Wires {
        ends: Mutex<BTreeMap<String, mpsc::UnboundedSender<Vec<u8>>>>,
        is_losing: AtomicBool,
    }

    impl Carrier for Wires {
        fn describe(&self) -> String {
            "wires".into()
        }

        fn publish(&self, channel: &str, envelope: Vec<u8>) {
            let ends = self.ends.lock();
            if let Some(end) = ends.get(channel).filter(|_| !self.is_losing.load(Ordering::Relaxed)) {
                // The other end may be gone.
                let _ = end.send(envelope);
            }
        }

        fn subscribe(&self, channel: &str) -> mpsc::UnboundedReceiver<Vec<u8>> {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.ends.lock().insert(channel.into(), sender);
            receiver
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lost_envelope_is_told_before_what_follows_it() {
        let (wires, environment) = (Arc::new(Wires::default()), Environment::default());
        let join = |name: &str| {
            let key = NodeKey { id: name.into(), boot: 1 };
            connect(wires.clone(), &key, &ClusterSecret([7; 32]), &environment)
        };
        let ((one, _kept), (_two, mut arrivals)) = (join("one"), join("two"));
        let (to, item) = (NodeId::from("two"), |user| Item::Yielded { user });
        let from = NodeId::from("one");
        assert_eq!(arrivals.recv().await, Some(Arrival::Resubscribed));

        one.send(&to, item(1));
        assert_eq!(arrivals.recv().await, Some(Arrival::Items { from: from.clone(), items: vec![item(1)] }));
        wires.is_losing.store(true, Ordering::Relaxed);
        one.send(&to, item(2));
        tokio::time::sleep(HEARTBEAT / 10).await;
        wires.is_losing.store(false, Ordering::Relaxed);
        one.send(&to, item(3));

        assert_eq!(arrivals.recv().await, Some(Arrival::Lost { from: from.clone() }));
        assert_eq!(arrivals.recv().await, Some(Arrival::Items { from, items: vec![item(3)] }));
    }
}
