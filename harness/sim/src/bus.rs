//! What lies between the nodes in place of Redis, or of several: it loses, delays, repeats and reorders envelopes by
//! seed, is split or gone, as far as something is broken.

use crate::chance::Chance;
use crate::schedule::Breaking;
use crate::trace::Trace;
use crate::troubles::Troubles;
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

/// One bus.
pub struct Wires {
    /// Which of them, from 0.
    bus: usize,
    chance: Chance,
    trace: Arc<Trace>,
    troubles: Arc<Troubles>,
    /// By channel.
    ends: Mutex<BTreeMap<String, End>>,
}

/// Whose a channel is, and where it leads.
type End = (usize, mpsc::UnboundedSender<Vec<u8>>);

impl Wires {
    pub fn new(bus: usize, seed: u64, trace: Arc<Trace>, troubles: Arc<Troubles>) -> Arc<Wires> {
        let chance = Chance::new(seed, &format!("bus {bus}"));
        Arc::new(Wires { bus, chance, trace, troubles, ends: Mutex::default() })
    }

    /// Breaks every subscription; whether there were any.
    pub fn cut(&self) -> bool {
        !std::mem::take(&mut *self.ends.lock()).is_empty()
    }

    /// The same, where only this bus is to be cut.
    pub fn cut_one(&self, bus: usize) -> bool {
        self.bus == bus && self.cut()
    }

    fn is_gone(&self) -> bool {
        self.troubles.strike(|what| match what {
            Breaking::NoBus => 100,
            Breaking::OneBusGone { bus } if *bus == self.bus => 100,
            _ => 0,
        })
    }

    /// How many times an envelope arrives.
    fn times(&self, from: usize, to: usize) -> u64 {
        let is_lost = self.troubles.strike(|what| match what {
            Breaking::Bus { badness } => badness.lost,
            Breaking::MuteBus { node } if *node == from && from != to => 100,
            Breaking::SplitBus { nodes } if nodes.contains(&from) != nodes.contains(&to) => 100,
            Breaking::OneBusSplit { bus, nodes }
                if *bus == self.bus && nodes.contains(&from) != nodes.contains(&to) =>
            {
                100
            }
            Breaking::OneBusDeaf { bus, node } if *bus == self.bus && *node == to => 100,
            _ => 0,
        });
        let is_lost = is_lost || self.is_gone();
        let is_repeated = || {
            self.troubles.strike(|what| match what {
                Breaking::Bus { badness } => badness.repeated,
                _ => 0,
            })
        };
        if is_lost { 0 } else { 1 + u64::from(is_repeated()) }
    }

    fn is_delayed(&self) -> bool {
        self.troubles.strike(|what| match what {
            Breaking::Bus { badness } => badness.delayed,
            _ => 0,
        })
    }
}

/// A node's connection to the wires.
pub struct Wire {
    pub wires: Arc<Wires>,
    pub node: usize,
}

impl Carrier for Wire {
    fn describe(&self) -> String {
        format!("simulated wires {}", self.wires.bus)
    }

    fn publish(&self, channel: &str, envelope: Vec<u8>) {
        let Wires { bus, chance, trace, ends, .. } = &*self.wires;
        let Some((to, end)) = ends.lock().get(channel).cloned() else { return };
        let times = self.wires.times(self.node, to);
        trace.note("bus", format_args!("{bus} {channel} {} bytes, {times} times", envelope.len()));
        for time in 0..times {
            let is_late = time > 0 || self.wires.is_delayed();
            let flight = chance.wait(if is_late { DELAY_MS } else { FLIGHT_MS });
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
        if !self.wires.is_gone() {
            self.wires.ends.lock().insert(channel.into(), (self.node, sender));
        }
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Fault;

    const BUS: usize = 0;
    const FROM: usize = 0;
    const TO: usize = 1;

    /// Which of a hundred envelopes arrive while this is broken.
    async fn arriving(what: Option<Breaking>) -> Vec<u8> {
        let trace = Arc::new(Trace::start(false));
        let wires = Wires::new(BUS, 5, trace.clone(), Troubles::new(5, trace));
        let [one, other] = [FROM, TO].map(|node| Wire { wires: wires.clone(), node });
        let mut end = other.subscribe("other");
        if let Some(what) = what {
            wires.troubles.begin(0, &Fault { at_ms: 0, length_ms: 9_000, what });
        }
        for number in 0..100 {
            one.publish("other", vec![number]);
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
        let all: Vec<u8> = (0..100).collect();
        let bad = |badness| arriving(Some(Breaking::Bus { badness }));
        assert_eq!(arriving(None).await, all);
        let losing = bad(Badness { lost: 50, ..Badness::default() }).await;
        assert!((20..80).contains(&losing.len()) && losing.is_sorted(), "{losing:?}");
        assert!(bad(Badness { repeated: 50, ..Badness::default() }).await.len() > 120);
        let disordered = bad(Badness { delayed: 50, ..Badness::default() }).await;
        assert!(disordered.len() == 100 && !disordered.is_sorted());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_crosses_a_bus_that_is_split_mute_or_gone() {
        for what in [
            Breaking::SplitBus { nodes: vec![TO] },
            Breaking::MuteBus { node: FROM },
            Breaking::NoBus,
            Breaking::OneBusGone { bus: BUS },
            Breaking::OneBusSplit { bus: BUS, nodes: vec![TO] },
            Breaking::OneBusDeaf { bus: BUS, node: TO },
        ] {
            assert_eq!(arriving(Some(what)).await, [0; 0]);
        }
        assert_eq!(arriving(Some(Breaking::OneBusGone { bus: BUS + 1 })).await.len(), 100);
        assert_eq!(arriving(Some(Breaking::SplitBus { nodes: vec![FROM, TO] })).await.len(), 100);
        assert_eq!(arriving(Some(Breaking::MuteBus { node: TO })).await.len(), 100);
    }
}
