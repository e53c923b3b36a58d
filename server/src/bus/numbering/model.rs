//! One sender and one receiver, either of which starts anew at any time, and a bus of several media between them that
//! lose, repeat and reorder; the sender's clock may be set back between two runs. What may have failed in one medium is
//! sent again through another, and heartbeats through others say what was sent a while ago.

use super::Sighting::{AfterGap, InOrder, Stale};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const MOST_STEPS: usize = 120;
const CASES: u32 = 400;

#[derive(Clone, Debug)]
enum Step {
    Send,
    Heartbeat,
    /// Through a medium that carries nothing else.
    HeartbeatElsewhere {
        behind: u64,
    },
    /// Nobody knows whether it got through.
    SendAgain {
        which: usize,
    },
    /// What the bus holds arrives, the newest mostly; it may come again.
    Arrive {
        which: usize,
        comes_again: bool,
    },
    Lose {
        which: usize,
    },
    RestartSender {
        clock_is_set_back: bool,
    },
    RestartReceiver,
    /// Into the database, which knows what run is alive.
    Look,
    /// So long, with looks.
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => Just(Step::Send),
        3 => Just(Step::Heartbeat),
        2 => (0..4_u64).prop_map(|behind| Step::HeartbeatElsewhere { behind }),
        2 => (0..4_usize).prop_map(|which| Step::SendAgain { which }),
        14 => (0..4_usize, prop::bool::weighted(0.2))
            .prop_map(|(which, comes_again)| Step::Arrive { which, comes_again }),
        3 => (0..4_usize).prop_map(|which| Step::Lose { which }),
        1 => prop::bool::weighted(0.3).prop_map(|clock_is_set_back| Step::RestartSender { clock_is_set_back }),
        1 => Just(Step::RestartReceiver),
        2 => Just(Step::Look),
        2 => (1..2 * SETTLED.as_secs()).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Envelope {
    boot: i64,
    number: u64,
    is_heartbeat: bool,
}

struct World {
    now: Instant,
    live: Arc<LiveRuns>,
    boots: BTreeSet<i64>,
    boot: i64,
    number: u64,
    bus: Vec<Envelope>,
    receiver: Numbering,
    /// The run that the receiver listens to.
    heard: Option<i64>,
    /// Boot and number of what was used.
    used: BTreeSet<(i64, u64)>,
    /// Of what it was told that something is missing.
    told: BTreeSet<(i64, u64)>,
}

impl World {
    fn new() -> Self {
        let live = Arc::new(LiveRuns::default());
        World {
            now: Instant::now(),
            boots: BTreeSet::from([0]),
            boot: 0,
            number: 0,
            bus: Vec::new(),
            receiver: Numbering::new(live.clone()),
            live,
            heard: None,
            used: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send => {
                self.number += 1;
                self.publish(false);
            }
            Step::Heartbeat => self.publish(true),
            Step::HeartbeatElsewhere { behind } => {
                let number = self.number.saturating_sub(behind);
                self.bus.push(Envelope { boot: self.boot, number, is_heartbeat: true });
            }
            Step::SendAgain { which } => {
                let again = self.bus.len().checked_sub(which + 1).map(|at| self.bus[at]);
                self.bus.extend(again);
            }
            Step::Arrive { which, comes_again } => {
                if let Some(at) = self.bus.len().checked_sub(which + 1) {
                    let envelope = if comes_again { self.bus[at] } else { self.bus.remove(at) };
                    self.arrive(envelope);
                }
            }
            Step::Lose { which } if which < self.bus.len() => drop(self.bus.remove(which)),
            Step::Lose { .. } => {}
            Step::RestartSender { clock_is_set_back } => self.restart_sender(clock_is_set_back),
            Step::RestartReceiver => {
                self.receiver = Numbering::new(self.live.clone());
                self.heard = None;
                self.used.clear();
                self.told.clear();
            }
            Step::Look => self.live.set(&[run(self.boot)]),
            Step::Pass { seconds } => {
                self.live.set(&[run(self.boot)]);
                self.now += Duration::from_secs(seconds);
            }
        }
    }

    fn publish(&mut self, is_heartbeat: bool) {
        self.bus.push(Envelope { boot: self.boot, number: self.number, is_heartbeat });
    }

    fn restart_sender(&mut self, clock_is_set_back: bool) {
        self.boot = if clock_is_set_back { self.boot - 3 } else { self.boot + 10 };
        while !self.boots.insert(self.boot) {
            self.boot += 1;
        }
        self.number = 0;
    }

    fn arrive(&mut self, envelope: Envelope) -> Sighting {
        let Envelope { boot, number, is_heartbeat } = envelope;
        let sighting = self.receiver.observe(&run(boot), number, is_heartbeat, self.now);
        let is_heard = if sighting == Stale { self.heard == Some(boot) } else { true };
        assert_eq!(self.receiver.is_current(&run(boot)), is_heard);
        if sighting != Stale && self.heard.is_some_and(|heard| heard != boot) {
            // A run that is heard again after another, for a clock was set back, is heard as if for the first time.
            self.used.retain(|(other, _)| *other != boot);
            self.told.retain(|(other, _)| *other != boot);
        }
        // A heartbeat says of its number, too, that it must have been here.
        let before = if is_heartbeat { number + 1 } else { number };
        let missing = |told: &Self| {
            let is_new = |at: &(i64, u64)| !told.used.contains(at) && !told.told.contains(at);
            (1..before).map(|number| (boot, number)).filter(is_new).collect::<Vec<_>>()
        };
        match (sighting, self.heard) {
            (Stale, _) => {
                let is_known = self.used.contains(&(boot, number)) || self.told.contains(&(boot, number));
                let is_news = self.heard == Some(boot) && !is_heartbeat && !is_known;
                assert!(!is_news, "{envelope:?} was passed over, and nobody was told");
                return sighting;
            }
            // What came before the receiver it has read in the log.
            (_, None) => {
                assert_eq!(sighting, InOrder);
                self.told.extend(missing(self));
            }
            (InOrder, Some(_)) => assert_eq!(missing(self), [], "they are missing, and nobody was told"),
            (AfterGap, Some(_)) => {
                assert_ne!(missing(self), [], "nothing is missing before {envelope:?}");
                self.told.extend(missing(self));
            }
        }
        self.heard = Some(boot);
        if !is_heartbeat {
            let is_last = self.used.range((boot, number)..(boot, u64::MAX)).next().is_none();
            assert!(is_last, "{envelope:?} was used again, or out of order");
            self.used.insert((boot, number));
        }
        sighting
    }

    /// Once the database has had the word, the run that is alive is heard.
    fn check_is_heard(&mut self) {
        self.step(Step::Pass { seconds: SETTLED.as_secs() });
        let next = Envelope { boot: self.boot, number: self.number + 1, is_heartbeat: false };
        assert_ne!(self.arrive(next), Stale, "the run that is alive is not heard");
    }
}

fn run(boot: i64) -> NodeKey {
    NodeKey { id: "one".into(), boot }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    /// Nothing is used twice, nothing out of order, and of whatever is missing the receiver is told, once.
    #[test]
    fn every_loss_is_told_and_nothing_used_twice(steps in prop::collection::vec(step(), 1..MOST_STEPS)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.check_is_heard();
    }
}
