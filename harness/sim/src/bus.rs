//! What lies between the nodes in place of Redis: it loses, delays, repeats and reorders envelopes by seed, as far as
//! it is told to be bad.

use crate::chance::Chance;
use crate::trace::Trace;
use chat::bus::carried::Carrier;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How bad the bus is: of a hundred envelopes so many meet each fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Badness {
    pub lost: u8,
    pub repeated: u8,
    /// By up to [`DELAY_MS`], so that others overtake it.
    pub delayed: u8,
}

/// The longest delay.
pub const DELAY_MS: u64 = 400;
/// What an envelope takes at its best.
const FLIGHT_MS: u64 = 1;

pub struct Wires {
    chance: Chance,
    trace: Arc<Trace>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    badness: Badness,
    ends: BTreeMap<String, mpsc::UnboundedSender<Vec<u8>>>,
}

impl Wires {
    pub fn new(seed: u64, trace: Arc<Trace>) -> Arc<Wires> {
        Arc::new(Wires { chance: Chance::new(seed, "bus"), trace, inner: Mutex::default() })
    }

    pub fn set_badness(&self, badness: Badness) {
        self.inner.lock().badness = badness;
    }

    /// Breaks every subscription.
    pub fn cut(&self) {
        self.inner.lock().ends.clear();
    }
}

impl Carrier for Wires {
    fn describe(&self) -> String {
        "simulated wires".into()
    }

    fn publish(&self, channel: &str, envelope: Vec<u8>) {
        let inner = self.inner.lock();
        let Badness { lost, repeated, delayed } = inner.badness;
        let (is_lost, is_delayed) = (self.chance.percent(lost), self.chance.percent(delayed));
        let times = if is_lost { 0 } else { 1 + u64::from(self.chance.percent(repeated)) };
        self.trace.note("bus", format_args!("{channel} {} bytes, {times} times", envelope.len()));
        let Some(end) = inner.ends.get(channel) else { return };
        for time in 0..times {
            let is_late = is_delayed || time > 0;
            let flight = self.chance.wait(if is_late { DELAY_MS } else { FLIGHT_MS });
            let (end, envelope) = (end.clone(), envelope.clone());
            // No task of a node: what it has sent is under way whatever becomes of it.
            tokio::spawn(async move {
                tokio::time::sleep(flight).await;
                // Whoever subscribed may be gone.
                let _ = end.send(envelope);
            });
        }
    }

    fn subscribe(&self, channel: &str) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.inner.lock().ends.insert(channel.into(), sender);
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn arriving(badness: Badness) -> Vec<u8> {
        let wires = Wires::new(5, Arc::new(Trace::start(false)));
        let mut end = wires.subscribe("node");
        wires.set_badness(badness);
        for number in 0..100 {
            wires.publish("node", vec![number]);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        wires.cut();
        let mut arrived = Vec::new();
        while let Some(envelope) = end.recv().await {
            arrived.extend(envelope);
        }
        arrived
    }

    #[tokio::test(start_paused = true)]
    async fn bus_is_as_bad_as_it_is_told_to_be() {
        let good = arriving(Badness::default()).await;
        assert_eq!(good, (0..100).collect::<Vec<u8>>());
        let losing = arriving(Badness { lost: 50, ..Badness::default() }).await;
        assert!((20..80).contains(&losing.len()) && losing.is_sorted(), "{losing:?}");
        assert!(arriving(Badness { repeated: 50, ..Badness::default() }).await.len() > 120);
        let disordered = arriving(Badness { delayed: 50, ..Badness::default() }).await;
        assert!(disordered.len() == 100 && !disordered.is_sorted());
    }
}
