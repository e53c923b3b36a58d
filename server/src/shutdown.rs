//! How a node comes to rest: one value that reaches every task.
//!
//! The stages only go forward. *Running* is normal life. *Draining* means: accept nothing new, finish what is in
//! flight, tell the clients to move. *Forced* means: the grace time is over, drop everything. Each task selects on the
//! stage it cares for; who started the drain is responsible for forcing it after the grace time, the tasks are not.
//! A `Shutdown` is cheap to clone, and all clones share one stage.

use std::future::Future;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far the shutdown has come. Later stages compare greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Running,
    Draining,
    Forced,
}

/// A handle to the one shutdown of a node.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    stage: watch::Sender<Stage>,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Whether the drain has begun; stays true when it is forced.
    pub fn is_draining(&self) -> bool {
        self.stage() >= Stage::Draining
    }

    /// Whether the grace time is over.
    pub fn is_forced(&self) -> bool {
        self.stage() >= Stage::Forced
    }

    /// Begins the drain. Does nothing if it has begun or is already forced.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Ends the grace time, also where the drain had not begun.
    pub fn force(&self) {
        self.advance(Stage::Forced);
    }

    /// Resolves once the drain has begun, at once if it already has. Safe to drop and call again.
    pub async fn draining(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Resolves once the grace time is over, at once if it already is. Safe to drop and call again.
    pub async fn forced(&self) {
        self.reached(Stage::Forced).await;
    }

    /// Listens for SIGTERM and SIGINT: the first of them drains, the second forces, and then the future is done.
    ///
    /// The handlers are in place when this returns, before the future is first polled.
    ///
    /// # Errors
    /// Where the handlers cannot be installed.
    pub fn signals(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        Ok(async move {
            for next in [Stage::Draining, Stage::Forced] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(signal = name, stage = ?next, "shutting down");
                shutdown.advance(next);
            }
        })
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let forward = to > *stage;
            if forward {
                *stage = to;
            }
            forward
        });
    }

    async fn reached(&self, wanted: Stage) {
        // The receiver cannot see its channel closed: `self` holds a sender.
        let _ = self.stage.subscribe().wait_for(|stage| *stage >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn drain_reaches_waiting_and_later_tasks_alike() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.draining().await }
        });
        assert!(!shutdown.is_draining());

        shutdown.drain();

        waiting.await.unwrap();
        shutdown.clone().draining().await;
        assert!(shutdown.forced().now_or_never().is_none());
        assert_eq!(shutdown.stage(), Stage::Draining);
    }

    #[tokio::test]
    async fn force_implies_drain_and_is_final() {
        let shutdown = Shutdown::new();

        shutdown.force();
        shutdown.drain();

        assert_eq!(shutdown.stage(), Stage::Forced);
        shutdown.draining().await;
        shutdown.forced().await;
    }

    #[tokio::test]
    async fn first_signal_drains_and_second_forces() {
        let shutdown = Shutdown::new();
        let signals = tokio::spawn(shutdown.signals().unwrap());

        raise(libc::SIGTERM);
        shutdown.draining().await;
        assert_eq!(shutdown.stage(), Stage::Draining);
        raise(libc::SIGINT);

        shutdown.forced().await;
        signals.await.unwrap();
    }

    fn raise(signal: libc::c_int) {
        // SAFETY: `raise` takes no pointers; tokio's handler for these signals is installed by then.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
    }
}
