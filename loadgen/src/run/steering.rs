//! Takes what somebody wants done to a run, does it where it can be done, and keeps what was done for the result.
//!
//! Only while the run measures is anything done, save that it can be stopped at any time: what comes before is no part
//! of the result.

use super::gate::Gate;
use crate::cluster::switch::{self, Switch};
use crate::measure::{Act, Intervention};
use crate::plan::Driver;
use crate::user::{Pace, Run};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Storms that wait while one is on; a further one is refused.
const WAITING_STORMS: usize = 1;
/// Interventions of one run; a further one is refused, save its end.
const MAX_INTERVENTIONS: usize = 1_000;
/// The highest rate, as in a plan.
const MAX_RATE: f64 = 10_000_000.0;

/// Why something was not done. Show the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the run does not measure now")]
    NotMeasuring,
    #[error("this run has no rate to change: its window, or goose, says when messages go")]
    NoRate,
    #[error("a rate is more than 0 and at most 10000000 messages per second; to send nothing, pause")]
    Rate,
    #[error("it is paused already")]
    Paused,
    #[error("it is not paused")]
    NotPaused,
    #[error("a storm needs 1 user at least")]
    NoUsers,
    #[error("a storm is waiting already: try again when it is over")]
    Storm,
    #[error("only nodes of an embedded cluster, on threads of this process, can be stopped and started")]
    NoCluster,
    #[error(transparent)]
    Node(#[from] switch::Refused),
    #[error("{} interventions are enough for one run", MAX_INTERVENTIONS)]
    TooMany,
}

/// The wheel of a run: whoever holds it can steer.
#[derive(Clone, Default)]
pub struct Steering(Arc<Inner>);

#[derive(Default)]
struct Inner {
    interrupt: CancellationToken,
    pace: Arc<Pace>,
    /// Of a cluster that the run owns.
    switch: Mutex<Option<Switch>>,
    /// Of a run that begins together with others.
    gate: Mutex<Option<Arc<dyn Gate>>>,
    measured: Mutex<Option<Measured>>,
}

/// The measured time while it lasts.
#[derive(Debug)]
struct Measured {
    begun: Instant,
    has_rate: bool,
    per_second: f64,
    is_paused: bool,
    /// Users who can take part in a storm.
    users: u32,
    storms: mpsc::Sender<u32>,
    done: Vec<Intervention>,
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("interrupt", &self.0.interrupt).finish_non_exhaustive()
    }
}

impl From<CancellationToken> for Steering {
    /// The token ends the measured time.
    fn from(interrupt: CancellationToken) -> Steering {
        Steering(Arc::new(Inner { interrupt, ..Inner::default() }))
    }
}

impl Steering {
    /// Does it, or says why not. Answers with what was done.
    ///
    /// # Errors
    /// What cannot be done to this run, or not now.
    pub fn act(&self, act: Act) -> Result<Intervention, Refused> {
        let mut measured = self.0.measured.lock();
        let Some(measured) = &mut *measured else {
            if act != Act::Stop {
                return Err(Refused::NotMeasuring);
            }
            self.0.interrupt.cancel();
            return Ok(Intervention { at_ms: 0, act });
        };
        if measured.done.len() >= MAX_INTERVENTIONS && act != Act::Stop {
            return Err(Refused::TooMany);
        }
        let act = match act {
            Act::StopNode { node } => self.switch()?.stop(node).map(|()| act)?,
            Act::StartNode { node } => self.switch()?.start(node).map(|()| act)?,
            act => measured.apply(act)?,
        };
        let done = Intervention { at_ms: measured.begun.elapsed().as_millis() as u64, act };
        measured.done.push(done.clone());
        self.0.pace.set(if measured.is_paused { 0.0 } else { measured.per_second });
        if act == Act::Stop {
            self.0.interrupt.cancel();
        }
        Ok(done)
    }

    /// From now on nodes of this cluster can be stopped and started.
    pub fn own(&self, switch: Switch) {
        *self.0.switch.lock() = Some(switch);
    }

    /// Measuring begins when this gate says so, and not when the plan does.
    pub fn wait_at(&self, gate: Arc<dyn Gate>) {
        *self.0.gate.lock() = Some(gate);
    }

    pub(super) fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.0.gate.lock().clone()
    }

    fn switch(&self) -> Result<Switch, Refused> {
        self.0.switch.lock().clone().ok_or(Refused::NoCluster)
    }

    /// Ends the measured time when cancelled; before it, the run.
    pub fn interrupt(&self) -> &CancellationToken {
        &self.0.interrupt
    }

    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.0.pace
    }

    /// The measured time begins; whoever makes the storms gets how many users each is to have.
    pub(super) fn begin(&self, run: &Run, users: usize) -> mpsc::Receiver<u32> {
        let (storms, asked_for) = mpsc::channel(WAITING_STORMS);
        let has_rate = has_rate(run);
        *self.0.measured.lock() = Some(Measured {
            begun: Instant::now(),
            has_rate,
            per_second: run.plan.rate,
            is_paused: false,
            users: users as u32,
            storms,
            done: Vec::new(),
        });
        asked_for
    }

    /// The measured time is over: nodes that are down come back, so that everybody gets what is theirs. Answers with
    /// what was done in it.
    pub(super) fn end(&self) -> Vec<Intervention> {
        if let Ok(switch) = self.switch() {
            switch.start_all();
        }
        self.0.measured.lock().take().map_or_else(Vec::new, |measured| measured.done)
    }
}

/// Whether it is a rate that says when messages go, and our own driver that keeps it.
pub(super) fn has_rate(run: &Run) -> bool {
    run.plan.window.is_none() && run.plan.driver == Driver::Native && run.plan.rate > 0.0
}

impl Measured {
    fn apply(&mut self, act: Act) -> Result<Act, Refused> {
        if matches!(act, Act::Rate { .. } | Act::Pause | Act::Resume) && !self.has_rate {
            return Err(Refused::NoRate);
        }
        match act {
            Act::Rate { per_second } if per_second > 0.0 && per_second <= MAX_RATE => self.per_second = per_second,
            Act::Rate { .. } => return Err(Refused::Rate),
            Act::Pause if self.is_paused => return Err(Refused::Paused),
            Act::Resume if !self.is_paused => return Err(Refused::NotPaused),
            Act::Pause => self.is_paused = true,
            Act::Resume => self.is_paused = false,
            Act::Storm { users: 0 } => return Err(Refused::NoUsers),
            Act::Storm { users } => {
                let users = users.min(self.users);
                self.storms.try_send(users).map_err(|_| Refused::Storm)?;
                return Ok(Act::Storm { users });
            }
            Act::StopNode { .. } | Act::StartNode { .. } | Act::Stop => {}
        }
        Ok(act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(has_rate: bool) -> (Measured, mpsc::Receiver<u32>) {
        let (storms, asked_for) = mpsc::channel(WAITING_STORMS);
        let (begun, done) = (Instant::now(), Vec::new());
        (Measured { begun, has_rate, per_second: 10.0, is_paused: false, users: 20, storms, done }, asked_for)
    }

    fn steering(has_rate: bool) -> (Steering, mpsc::Receiver<u32>) {
        let steering = Steering::default();
        let (measured, asked_for) = measured(has_rate);
        *steering.0.measured.lock() = Some(measured);
        (steering, asked_for)
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_not_kept() {
        let (steering, _asked_for) = steering(true);
        for (act, refused) in [
            (Act::StopNode { node: 1 }, Refused::NoCluster),
            (Act::Rate { per_second: 0.0 }, Refused::Rate),
            (Act::Rate { per_second: f64::NAN }, Refused::Rate),
            (Act::Rate { per_second: 1e8 }, Refused::Rate),
            (Act::Resume, Refused::NotPaused),
            (Act::Storm { users: 0 }, Refused::NoUsers),
        ] {
            assert_eq!(steering.act(act), Err(refused));
        }
        assert_eq!(steering.end(), []);
        assert_eq!(steering.act(Act::Pause), Err(Refused::NotMeasuring));
        assert!(!steering.interrupt().is_cancelled());
        assert!(
            steering.act(Act::Stop).is_ok() && steering.interrupt().is_cancelled(),
            "it can be stopped at any time"
        );
    }

    #[test]
    fn a_rate_set_in_a_pause_holds_after_it() {
        let (steering, _asked_for) = steering(true);
        let mut paces = Vec::new();
        for act in [Act::Rate { per_second: 30.0 }, Act::Pause, Act::Rate { per_second: 5.0 }, Act::Resume] {
            steering.act(act).expect("it can be done");
            paces.push(steering.pace().per_second());
        }
        assert_eq!(paces, [30.0, 0.0, 0.0, 5.0]);
        assert_eq!(steering.end().len(), 4);
    }

    #[test]
    fn storms_are_of_users_that_there_are_and_do_not_pile_up() {
        let (steering, mut asked_for) = steering(false);
        assert_eq!(steering.act(Act::Pause), Err(Refused::NoRate));
        let done = steering.act(Act::Storm { users: 1_000 }).expect("nothing waits");
        assert_eq!(done.act, Act::Storm { users: 20 });
        assert_eq!(steering.act(Act::Storm { users: 1 }), Err(Refused::Storm));
        assert_eq!(asked_for.try_recv(), Ok(20));
        assert!(steering.act(Act::Storm { users: 1 }).is_ok());
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_end_is_always_possible() {
        let (steering, _asked_for) = steering(true);
        let rates = (0..MAX_INTERVENTIONS).map(|number| Act::Rate { per_second: 1.0 + number as f64 });
        rates.for_each(|act| assert!(steering.act(act).is_ok(), "there is room"));
        assert_eq!(steering.act(Act::Pause), Err(Refused::TooMany));
        assert!(steering.act(Act::Stop).is_ok());
        assert_eq!(steering.end().len(), MAX_INTERVENTIONS + 1);
    }
}
