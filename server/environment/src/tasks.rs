//! The one way to start a task: under a name, and watched.
//!
//! Long tasks do one job for the whole node (a writer, the lease's keeper). If one of them panics the node learns of it
//! by [`Tasks::died`], drains, and ends with an error that names the task. Short ones serve one client or one errand;
//! if one of them panics it ends alone. Every panic is logged and counted. Where there is a [`Gate`], every task passes
//! it before each poll.
//!
//! A panic unwinds (`panic = "unwind"`), and neither `parking_lot` nor `dashmap` poisons what was locked meanwhile, so
//! what it guards can be left half changed. That is why a node does not go on without a long task, but only drains: a
//! drain closes connections, saves the cursors that sessions have, and gives the lease back. A short task leaves what
//! is its client's own: the connection is dropped and the session ended, whatever state they are in. What it left half
//! written in somebody else's queue would reach that client as a broken frame; nothing between taking and giving back
//! that lock is known to panic.

use crate::gate::{Gate, Gated};
use futures_util::FutureExt;
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use tokio::sync::SetOnce;
use tokio::task::JoinHandle;

#[cfg(not(panic = "unwind"))]
compile_error!("a node survives the panic of a task only where panics unwind");

/// A task ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task {task:?} died: {why}")]
pub struct Died {
    pub task: Cow<'static, str>,
    pub why: String,
}

/// All tasks of one node or client. Clones are the same.
#[derive(Clone, Default)]
pub struct Tasks {
    shared: Arc<Shared>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

#[derive(Default)]
struct Shared {
    /// The first long task that panicked.
    died: SetOnce<Died>,
    /// Told of every panic.
    on_panic: OnceLock<Box<dyn Fn() + Send + Sync>>,
    gate: Option<Arc<dyn Gate>>,
}

impl Tasks {
    /// Tasks that pass this gate. What would be done on a thread for blocking work is done in the task that asks.
    pub fn gated(gate: Arc<dyn Gate>) -> Self {
        Tasks { shared: Arc::new(Shared { gate: Some(gate), ..Shared::default() }) }
    }
}

#[allow(clippy::disallowed_methods, reason = "everybody else spawns through here")]
impl Tasks {
    /// Starts a long task: if it panics, the node ends.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Result<T, Died>> {
        let name = name.into();
        self.start(name.clone(), self.watch_named(name, work))
    }

    /// Starts a short task: if it panics, it ends alone.
    pub fn spawn_short<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Result<T, Died>> {
        let name = name.into();
        self.start(name.clone(), self.catch_named(name, work))
    }

    fn start<T: Send + 'static>(
        &self,
        name: Cow<'static, str>,
        work: impl Future<Output = Result<T, Died>> + Send + 'static,
    ) -> JoinHandle<Result<T, Died>> {
        let Some(gate) = &self.shared.gate else { return tokio::spawn(work) };
        let dropped = || Err(Died { task: name, why: "its process ended".into() });
        tokio::spawn(Gated::new(gate.clone(), work).map(|ended| ended.unwrap_or_else(dropped)))
    }

    /// Does short work that would keep other tasks waiting, on a thread for such. It is done even if nobody waits for
    /// it any more.
    pub async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Died> {
        let tasks = self.clone();
        let work = move || catch_unwind(AssertUnwindSafe(work)).map_err(|panic| tasks.panicked(name.into(), &*panic));
        if self.shared.gate.is_some() {
            return work();
        }
        let cancelled = |_| Died { task: name.into(), why: "its runtime ended".into() };
        tokio::task::spawn_blocking(work).await.map_err(cancelled)?
    }
}

impl Tasks {
    /// Does a part of a long task's work inside the caller's own task: a panic counts as that of a long task, but the
    /// caller goes on.
    pub fn watch<T, F: Future<Output = T>>(
        &self,
        name: &'static str,
        work: F,
    ) -> impl Future<Output = Result<T, Died>> + use<T, F> {
        self.watch_named(name.into(), work)
    }

    /// The same for a short task.
    pub fn catch<T, F: Future<Output = T>>(
        &self,
        name: &'static str,
        work: F,
    ) -> impl Future<Output = Result<T, Died>> + use<T, F> {
        self.catch_named(name.into(), work)
    }

    fn watch_named<T, F: Future<Output = T>>(
        &self,
        name: Cow<'static, str>,
        work: F,
    ) -> impl Future<Output = Result<T, Died>> + use<T, F> {
        let tasks = self.clone();
        caught(work, move |panic| {
            let died = tasks.panicked(name, panic);
            // Only the first is told: it may be the cause of others.
            let _ = tasks.shared.died.set(died.clone());
            died
        })
    }

    fn catch_named<T, F: Future<Output = T>>(
        &self,
        name: Cow<'static, str>,
        work: F,
    ) -> impl Future<Output = Result<T, Died>> + use<T, F> {
        let tasks = self.clone();
        caught(work, move |panic| tasks.panicked(name, panic))
    }

    /// Completes when a long task has panicked; the first one if there are several.
    pub async fn died(&self) -> Died {
        self.shared.died.wait().await.clone()
    }

    /// The long task that has panicked, if any has.
    pub fn dead(&self) -> Option<Died> {
        self.shared.died.get().cloned()
    }

    /// Has every panic from now on told, to be counted. Only the first call counts.
    pub fn on_panic(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.on_panic.set(Box::new(tell));
    }

    fn panicked(&self, task: Cow<'static, str>, panic: &(dyn Any + Send)) -> Died {
        let words = panic.downcast_ref::<&str>().copied();
        let why =
            words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words");
        tracing::error!(%task, why, "a task panicked");
        if let Some(tell) = self.shared.on_panic.get() {
            tell();
        }
        Died { task, why: why.to_owned() }
    }
}

// Combinators and not an `async` block, which would take the room of `work` twice.
fn caught<T, F: Future<Output = T>, D: FnOnce(&(dyn Any + Send)) -> Died>(
    work: F,
    died: D,
) -> impl Future<Output = Result<T, Died>> + use<T, F, D> {
    AssertUnwindSafe(work).catch_unwind().map(|ended| ended.map_err(|panic| died(&*panic)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Verdict;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll};

    async fn panic() -> u32 {
        panic!("injected by a test")
    }

    fn died(task: &'static str) -> Died {
        Died { task: task.into(), why: "injected by a test".into() }
    }

    fn counted() -> (Tasks, Arc<AtomicU64>) {
        let (tasks, panics) = (Tasks::default(), Arc::new(AtomicU64::new(0)));
        let counter = panics.clone();
        tasks.on_panic(move || {
            counter.fetch_add(1, Ordering::AcqRel);
        });
        (tasks, panics)
    }

    /// Lets a task through so many times, and then drops it.
    struct Turns(AtomicU64);

    impl Gate for Turns {
        fn poll_pass(&self, _: &mut Context<'_>) -> Poll<Verdict> {
            let left = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
            Poll::Ready(if left.is_ok() { Verdict::Run } else { Verdict::Drop })
        }
    }

    #[tokio::test]
    async fn gate_decides_how_far_a_task_gets() {
        let tasks = Tasks::gated(Arc::new(Turns(AtomicU64::new(2))));
        let steps = Arc::new(AtomicU64::new(0));
        let counter = steps.clone();
        let endless = tasks.spawn("endless", async move {
            loop {
                counter.fetch_add(1, Ordering::AcqRel);
                tokio::task::yield_now().await;
            }
        });

        let ended: Result<(), Died> = endless.await.expect("it was not aborted");

        assert_eq!(ended, Err(Died { task: "endless".into(), why: "its process ended".into() }));
        assert_eq!(steps.load(Ordering::Acquire), 2);
        assert_eq!(tasks.dead(), None, "a crash is not a panic");
        assert_eq!(tasks.blocking("hash", || 3).await, Ok(3));
    }

    #[tokio::test]
    async fn long_task_that_panics_is_told_by_name() {
        let (tasks, panics) = counted();

        let ended = tasks.spawn(format!("writer {}", 3), panic()).await.expect("it was not aborted");

        assert_eq!(ended, Err(died("writer 3")));
        assert_eq!(tasks.died().await, died("writer 3"));
        assert_eq!(tasks.died().await.to_string(), "the task \"writer 3\" died: injected by a test");
        assert_eq!(panics.load(Ordering::Acquire), 1);
    }

    #[tokio::test]
    async fn first_death_counts() {
        let tasks = Tasks::default();

        assert_eq!(tasks.watch("first", panic()).await, Err(died("first")));
        assert_eq!(tasks.watch("second", panic()).await, Err(died("second")));

        assert_eq!(tasks.dead(), Some(died("first")));
    }

    #[tokio::test]
    async fn short_task_that_panics_ends_alone() {
        let (tasks, panics) = counted();

        assert_eq!(tasks.spawn_short("errand", panic()).await.expect("it was not aborted"), Err(died("errand")));
        assert_eq!(tasks.blocking("hash", || panic!("injected {} a test", "by")).await, Err::<u32, _>(died("hash")));

        assert_eq!(panics.load(Ordering::Acquire), 2);
        assert!(tasks.died().now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_succeeds_is_passed_on() {
        let tasks = Tasks::default();

        assert_eq!(tasks.spawn("long", async { 1 }).await.expect("it was not aborted"), Ok(1));
        assert_eq!(tasks.spawn_short("short", async { 2 }).await.expect("it was not aborted"), Ok(2));
        assert_eq!(tasks.blocking("blocking", || 3).await, Ok(3));
        assert_eq!(tasks.dead(), None);
    }
}
