//! The one way to start a task: under a name, and watched.
//!
//! Long tasks do one job for the whole node (a writer, the lease's keeper). If one of them panics the node has lost an
//! organ: it learns of it by [`Tasks::died`], drains, and ends with an error that names the task. Short ones serve one
//! client or do one errand; if one of them panics it ends alone. Every panic is logged and counted.
//!
//! A panic unwinds (`panic = "unwind"`), and neither `parking_lot` nor `dashmap` poisons what was locked meanwhile, so
//! what it guards can be left half changed. That is why a node does not go on without a long task, but only drains: a
//! drain closes connections, saves the cursors that sessions have, and gives the lease back. A short task leaves what
//! is its client's own: the connection is dropped and the session ended, whatever state they are in. What it left half
//! written in somebody else's queue would reach that client as a broken frame; nothing between taking and giving back
//! that lock is known to panic.

use futures_util::FutureExt;
use prometheus_client::metrics::counter::Counter;
use std::any::Any;
use std::borrow::Cow;
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

/// All tasks of one node. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The first long task that panicked.
    died: SetOnce<Died>,
    panics: OnceLock<Counter>,
}

#[allow(clippy::disallowed_methods, reason = "everybody else spawns through here")]
impl Tasks {
    /// Starts a long task: if it panics, the node ends.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Result<T, Died>> {
        tokio::spawn(self.watch_named(name.into(), work))
    }

    /// Starts a short task: if it panics, it ends alone.
    pub fn spawn_short<T: Send + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Result<T, Died>> {
        tokio::spawn(self.catch_named(name.into(), work))
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

    /// Panics are counted here from now on.
    pub fn count_in(&self, panics: Counter) {
        let _ = self.shared.panics.set(panics);
    }

    fn panicked(&self, task: Cow<'static, str>, panic: &(dyn Any + Send)) -> Died {
        let words = panic.downcast_ref::<&str>().copied();
        let why =
            words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words");
        tracing::error!(%task, why, "a task panicked");
        if let Some(panics) = self.shared.panics.get() {
            panics.inc();
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

    async fn panic() -> u32 {
        panic!("injected by a test")
    }

    fn died(task: &'static str) -> Died {
        Died { task: task.into(), why: "injected by a test".into() }
    }

    #[tokio::test]
    async fn long_task_that_panics_is_told_by_name() {
        let (tasks, panics) = (Tasks::default(), Counter::default());
        tasks.count_in(panics.clone());

        let ended = tasks.spawn(format!("writer {}", 3), panic()).await.expect("it was not aborted");

        assert_eq!(ended, Err(died("writer 3")));
        assert_eq!(tasks.died().await, died("writer 3"));
        assert_eq!(tasks.died().await.to_string(), "the task \"writer 3\" died: injected by a test");
        assert_eq!(panics.get(), 1);
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
        let (tasks, panics) = (Tasks::default(), Counter::default());
        tasks.count_in(panics.clone());

        assert_eq!(tasks.spawn_short("errand", panic()).await.expect("it was not aborted"), Err(died("errand")));
        assert_eq!(tasks.blocking("hash", || panic!("injected {} a test", "by")).await, Err::<u32, _>(died("hash")));

        assert_eq!(panics.get(), 2);
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
