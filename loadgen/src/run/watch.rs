//! What is looked at from time to time: RECEIVED that is due, messages to be sent again, rows of seconds, CPU.

use super::progress::Moment;
use super::steering::has_rate;
use super::usage::Cpu;
use crate::cluster::Nodes;
use crate::measure::{LatencyKind, Resources, Second};
use crate::user::{Again, Retry, Run};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two ticks.
const TICK: Duration = Duration::from_millis(20);
/// Ticks until it is every user's turn once: one second, as the contract has it for RECEIVED.
const TURN_TICKS: usize = 50;
/// Refused messages that may be sent again, or others in their place, in one tick, beside one for each that was
/// acknowledged in the tick before: a server that is behind would fall further behind by refusing the same messages
/// over and over.
const RESENT_A_TICK: u64 = 50;

/// Gives every user its turn once a second, spread evenly, until the run is over.
pub async fn tick(run: Arc<Run>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut acknowledged = 0;
    for turn in 0.. {
        tokio::select! {
            _ = interval.tick() => {}
            () = run.over.cancelled() => return,
        }
        run.users.iter().skip(turn % TURN_TICKS).step_by(TURN_TICKS).for_each(|user| {
            user.tell();
            run.move_windows_on(user);
        });
        let before = std::mem::replace(&mut acknowledged, run.recorder.count(LatencyKind::Ack));
        send_again(&run, acknowledged - before + RESENT_A_TICK);
    }
}

fn send_again(run: &Run, at_most: u64) {
    let now = run.clock.now();
    for _ in 0..at_most {
        let Some(Retry { stream, what, .. }) = run.retries.take(now) else { return };
        match what {
            Again::Send { number, due } => run.send_again(stream, number, due),
            Again::Refill { .. } => run.refill(stream, now, 1),
        }
        run.sender(stream).flush();
    }
}

/// Measures time, rows of seconds, and CPU from its start on.
pub struct Meter {
    begun: Instant,
    last: Instant,
    sent: u64,
    delivered: u64,
    nodes: Nodes,
    cpu: Cpu,
}

impl Meter {
    pub fn start(run: &Run, nodes: &Nodes) -> Meter {
        // What came before belongs to no second.
        run.recorder.take_second();
        let (now, sent, delivered) = (Instant::now(), run.ledger.sent(), run.ledger.deliveries());
        Meter { begun: now, last: now, sent, delivered, nodes: nodes.clone(), cpu: Cpu::now(nodes) }
    }

    pub fn elapsed_s(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// What happened since the last call.
    pub fn second(&mut self, run: &Run) -> Second {
        let now = Instant::now();
        let (sent, delivered) = (run.ledger.sent(), run.ledger.deliveries());
        let second = Second {
            at_ms: (self.last - self.begun).as_millis() as u64,
            length_ms: (now - self.last).as_millis() as u64,
            latencies: run.recorder.take_second(),
            sent: sent - self.sent,
            delivered: delivered - self.delivered,
        };
        (self.last, self.sent, self.delivered) = (now, sent, delivered);
        second
    }

    pub fn resources(&self) -> Resources {
        let (generator_cpu_s, nodes_cpu_s) = Cpu::now(&self.nodes).since(&self.cpu);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Resources { cores, generator_cpu_s, nodes_cpu_s, ..Resources::default() }
    }
}

/// A second, and how things stand at its end.
pub fn moment(run: &Run, second: &Second) -> Moment {
    let wrong = run.ledger.wrong();
    Moment {
        second: second.clone(),
        asked_for: has_rate(run).then(|| run.pace.per_second()),
        online: run.online.load(Ordering::Relaxed),
        open: run.ledger.open(),
        unsent: run.unsent.load(Ordering::Relaxed) + run.waiting(),
        errors: run.errors().values().sum(),
        duplicated: wrong.duplicated,
        reordered: wrong.reordered,
        strange: wrong.phantom + wrong.altered + wrong.misdelivered,
    }
}

/// One line about one second, for a person who watches.
pub fn line(run: &Run, second: &Second) -> String {
    let per_second = |count: u64| count * 1_000 / second.length_ms.max(1);
    let slowest = LatencyKind::OF_MESSAGES.iter();
    let slowest = slowest.filter_map(|kind| second.latencies.get(kind).map(|point| (point.p99, kind))).max();
    let slowest = slowest.map_or(String::new(), |(p99, kind)| format!(", p99 {kind} {:.1} ms", p99 as f64 / 1_000.0));
    let errors: u64 = run.errors().values().sum();
    format!(
        "{} sent/s, {} delivered/s{slowest}, {} open, {} online, {errors} errors",
        per_second(second.sent),
        per_second(second.delivered),
        run.ledger.open(),
        run.online.load(Ordering::Relaxed),
    )
}
