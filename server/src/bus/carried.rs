//! The bus over whatever carries bytes: for nodes whose envelopes go neither through Redis nor straight across.
//!
//! Numbers, signatures, heartbeats and queues are those of the bus over Redis; only the way between is the carriers',
//! and they may lose, delay, repeat and reorder what they are given.

use super::exchange;
use super::medium::{Failure, Letter, Medium, Publisher};
use super::{Arrival, Bus};
use crate::cluster::{ClusterSecret, NodeKey};
use async_trait::async_trait;
use chat_environment::Environment;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use std::sync::Arc;
use tokio::sync::mpsc;

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

/// Starts a node's end of the bus over at least one carrier; must be called inside a Tokio runtime.
pub fn connect(
    carriers: Vec<Arc<dyn Carrier>>,
    key: &NodeKey,
    secret: &ClusterSecret,
    environment: &Environment,
) -> (Arc<dyn Bus>, mpsc::Receiver<Arrival>) {
    let media = carriers
        .into_iter()
        .map(|carrier| -> Box<dyn Medium> { Box::new(Carried { name: carrier.describe(), carrier }) });
    exchange::start(media.collect(), exchange::CHANNEL_PREFIX, key, secret, environment)
}

struct Carried {
    name: String,
    carrier: Arc<dyn Carrier>,
}

#[async_trait]
impl Medium for Carried {
    fn name(&self) -> &str {
        &self.name
    }

    async fn connect(&self) -> Result<Box<dyn Publisher>, Failure> {
        Ok(Box::new(Connection(Arc::clone(&self.carrier))))
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, Vec<u8>>, Failure> {
        let payloads = self.carrier.subscribe(channel);
        let next = async |mut payloads: mpsc::UnboundedReceiver<Vec<u8>>| Some((payloads.recv().await?, payloads));
        Ok(stream::unfold(payloads, next).boxed())
    }
}

struct Connection(Arc<dyn Carrier>);

#[async_trait]
impl Publisher for Connection {
    /// A carrier does not say who listens.
    async fn publish(&mut self, letters: Vec<Letter>) -> Result<Vec<u64>, Failure> {
        let listeners = vec![1; letters.len()];
        letters.into_iter().for_each(|Letter { channel, envelope }| self.0.publish(&channel, envelope));
        Ok(listeners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{HEARTBEAT, Item};
    use crate::cluster::NodeId;
    use parking_lot::Mutex;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};

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
            connect(vec![wires.clone()], &key, &ClusterSecret([7; 32]), &environment)
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
