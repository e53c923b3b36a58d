//! What a simulated node or client asks of its machine: clock, entropy, and the gate before its tasks.
//!
//! A process is a gate: paused, none of its tasks runs; crashed, all of them are dropped where they stand. Now and then
//! a task waits one turn more than it must, which is how interleavings are explored.

use crate::chance::Chance;
use chat_environment::{Entropy, Environment, Gate, NoEntropy, Tasks, Verdict, WallClock};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// When every simulation begins: 2026-01-02, in microseconds since the Unix epoch.
const EPOCH_US: i64 = 1_767_312_000_000_000;
/// One poll in so many is put off by a turn.
const PUT_OFF_ONCE_IN: u64 = 24;

/// The machine of one process.
pub struct Process {
    pub gate: Arc<ProcessGate>,
    pub environment: Environment,
}

impl Process {
    /// `off_us`: how far its wall clock is off. Must be called within the simulation's runtime.
    pub fn start(seed: u64, name: &str, begun: Instant, off_us: Box<dyn Fn() -> i64 + Send + Sync>) -> Process {
        let gate = Arc::new(ProcessGate {
            chance: Chance::new(seed, &format!("gate of {name}")),
            inner: Mutex::new(Inner { state: State::Runs, waiting: Vec::new(), known: HashSet::new() }),
        });
        let clock = Arc::new(Clock { begun, off_us });
        let entropy = Arc::new(Seeded(Chance::new(seed, &format!("entropy of {name}"))));
        let tasks = Tasks::gated(gate.clone());
        Process { gate, environment: Environment { clock, entropy, tasks } }
    }
}

struct Clock {
    begun: Instant,
    off_us: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl WallClock for Clock {
    fn now_us(&self) -> i64 {
        EPOCH_US + (self.off_us)() + i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX / 2)
    }
}

struct Seeded(Chance);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// Decides for all tasks of one process.
pub struct ProcessGate {
    chance: Chance,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// Of every task that has come here, in that order; those of ended tasks do nothing.
    waiting: Vec<Waker>,
    /// Which they are: where their tasks are in memory, which stay there as long as somebody could wake them.
    known: HashSet<usize>,
}

impl Inner {
    fn remember(&mut self, waker: &Waker) {
        if self.known.insert(waker.data().addr()) {
            self.waiting.push(waker.clone());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    Paused,
    Crashed,
}

impl ProcessGate {
    pub fn pause(&self) {
        let mut inner = self.inner.lock();
        if inner.state == State::Runs {
            inner.state = State::Paused;
        }
    }

    pub fn resume(&self) {
        let mut inner = self.inner.lock();
        if inner.state == State::Paused {
            inner.state = State::Runs;
            drop(inner);
            self.wake_all();
        }
    }

    /// Ends all tasks.
    pub fn crash(&self) {
        self.inner.lock().state = State::Crashed;
        self.wake_all();
    }

    pub fn is_crashed(&self) -> bool {
        self.inner.lock().state == State::Crashed
    }

    fn wake_all(&self) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.known.clear();
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Gate for ProcessGate {
    fn poll_pass(&self, cx: &mut Context<'_>) -> Poll<Verdict> {
        let mut inner = self.inner.lock();
        if inner.state == State::Crashed {
            return Poll::Ready(Verdict::Drop);
        }
        // A task that sleeps must be dropped in a crash as well.
        inner.remember(cx.waker());
        if inner.state == State::Paused {
            return Poll::Pending;
        }
        drop(inner);
        if self.chance.once_in(PUT_OFF_ONCE_IN) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Verdict::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn paused_process_stands_still_and_a_crashed_one_is_gone() {
        let process = Process::start(1, "one", Instant::now(), Box::new(|| 0));
        let steps = Arc::new(AtomicU64::new(0));
        let (counter, step) = (steps.clone(), Duration::from_millis(10));
        let ticking = process.environment.tasks.spawn("ticking", async move {
            loop {
                tokio::time::sleep(step).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        let taken = || steps.load(Ordering::Relaxed);

        tokio::time::sleep(step * 10).await;
        let before = taken();
        assert!(before > 5);
        process.gate.pause();
        tokio::time::sleep(step * 10).await;
        assert_eq!(taken(), before);
        process.gate.resume();
        tokio::time::sleep(step * 10).await;
        assert!(taken() > before);

        process.gate.crash();
        let ended: Result<(), _> = ticking.await.expect("it was not aborted");
        assert!(ended.is_err());
    }
}
