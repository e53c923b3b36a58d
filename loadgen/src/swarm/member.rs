//! One member, from its place in the swarm to the result of all.
//!
//! It owns the thread on which all talk with Redis takes place, and ends it. Whoever drops it before its result is
//! handed in leaves word for the others: they hear that it failed, with the reason, and do not have to find it dead.
//! What it says last may take a few seconds and no longer, whether Redis answers or not.

use super::exchange::{Collected, exchange};
use super::gate::Gate;
use super::heartbeat::beat;
use super::lobby::{Lobby, Meeting, Place};
use super::progress::Together;
use super::row::Stage;
use super::state::State;
use super::{Error, Store};
use crate::measure::Outcome;
use crate::plan::Shard;
use crate::run::{Progress, Steering};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Beyond the plan's own limit for draining, the others' results are waited for so long: last logins and logging out
/// come after it, and machines differ.
const RESULTS_WITHIN: Duration = Duration::from_secs(120);
/// For what is told at the end: somebody waits for this process to end, and others find out without it as well.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(3);

/// A member of a swarm. Dropped before it has measured, it tells the others that it will not.
pub struct Member {
    runtime: Thread,
    store: Store,
    state: Arc<State>,
    heartbeat: Option<JoinHandle<()>>,
    /// Told to the others should it end here without a result.
    last_words: &'static str,
}

impl Member {
    /// Takes a place and waits for all others; `told` hears how that goes, whenever it changes. From now on whoever
    /// holds `steering` steers a run that waits for the others before it measures.
    ///
    /// # Errors
    /// Why it has no part in the swarm.
    pub fn join(mut store: Store, place: &Place, steering: &Steering, told: &dyn Fn(Meeting)) -> Result<Member, Error> {
        let runtime = Thread::start()?;
        let lobby = Lobby::of(place);
        let mut is_interrupted = false;
        let (shard, keys) = runtime.block_on(async {
            tokio::select! {
                met = lobby.meet(&mut store, told) => met,
                _ = tokio::signal::ctrl_c() => {
                    is_interrupted = true;
                    let left = tokio::time::timeout(LAST_WORDS_WITHIN, lobby.leave(&mut store)).await;
                    left.ok().flatten().ok_or(Error::Interrupted)
                }
            }
        })?;
        let state = State::new(shard, keys, place.member.clone(), steering.interrupt().clone());
        let state = Arc::new(state);
        steering.wait_at(Arc::new(Gate { store: store.clone(), state: state.clone() }));
        let heartbeat = Some(runtime.spawn(beat(store.clone(), state.clone())));
        let member = Member { runtime, store, state, heartbeat, last_words: "it ended before it measured" };
        // Dropped here, it tells those who begin with it.
        if is_interrupted { Err(Error::Interrupted) } else { Ok(member) }
    }

    /// The part of the plan that it has.
    pub fn shard(&self) -> Shard {
        self.state.shard
    }

    /// Where the members meet.
    pub fn address(&self) -> &str {
        self.store.address()
    }

    /// Shows on `progress` how all do together.
    pub fn beside(&self, progress: Arc<dyn Progress>) -> Arc<dyn Progress> {
        Arc::new(Together { progress, state: self.state.clone() })
    }

    /// Tells the others that this one will not measure.
    pub fn fail(&self, why: &str) {
        self.state.tell(|row| (row.stage, row.why) = (Stage::Failed, why.to_owned()));
    }

    /// Hands in what it measured, by Redis' clock, and collects what all others did.
    pub fn exchange(mut self, mut own: Outcome) -> Collected {
        let patience = Duration::from_secs_f64(own.plan.drain_s) + RESULTS_WITHIN;
        self.last_words = "it could not hand in its result";
        own.plan.start_at_ms = self.state.view().start_ms;
        if let Some(clock) = self.state.clock() {
            own.go_by(clock);
        }
        self.runtime.block_on(exchange(&mut self.store, &self.state, own, patience))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.state.stage() < Stage::Ended {
            self.fail(self.last_words);
        }
        self.state.over.cancel();
        // The list of members stays until it expires: some may not have seen yet that all are there.
        if let Some(heartbeat) = self.heartbeat.take() {
            let _ = self.runtime.block_on(async { tokio::time::timeout(LAST_WORDS_WITHIN, heartbeat).await });
        }
    }
}

/// The thread, and what runs on it: apart from the run, so that heartbeats do not wait behind the load.
struct Thread(Option<Runtime>);

impl Thread {
    fn start() -> Result<Thread, Error> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("loadgen-swarm").enable_all().build();
        Ok(Thread(Some(runtime.map_err(|error| Error::Thread { reason: error.to_string() })?)))
    }
}

impl Deref for Thread {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Thread {
    /// Does not wait for a name that is being looked up, which may take any time.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_name_that_is_being_looked_up_holds_up_no_end() {
        let thread = Thread::start().expect("a thread");
        let ((begin, begun), (end, ended)) = (channel(), channel::<()>());
        thread.spawn_blocking(move || (begin.send(()), ended.recv()));
        begun.recv().expect("it begins");
        drop(thread);
        end.send(()).expect("it goes on without the thread");
    }
}
