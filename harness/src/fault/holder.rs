//! What lasts as long as somebody holds on to something: a lock, or connections.
//!
//! It is held in a thread with a runtime of its own, which goes on while the story's stands still. It heals by letting
//! go, and by itself if this process ends.

use crate::held::Held;
use anyhow::{Context, Result, anyhow};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// A thread that holds on to something until it is released or dropped.
pub(super) struct Holder {
    /// What the thread does, for errors.
    what: &'static str,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

/// For the thread to say that it holds what it should, or why it cannot.
pub(super) type Tell = oneshot::Sender<Result<()>>;

impl Holder {
    /// Runs `hold` until it is stopped; returns once it says that it holds what it should.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn start(what: &'static str, hold: impl AsyncFnOnce(Tell) + Send + 'static) -> Result<Box<dyn Held>> {
        let (tell, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    () = hold(tell) => {}
                    _ = stopped => {}
                }
            });
            Ok(())
        });
        told.await.with_context(|| format!("the thread that {what} ended"))??;
        Ok(Box::new(Holder { what, stop, thread }))
    }
}

impl Held for Holder {
    fn release(self: Box<Self>) -> Result<()> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the thread that {} panicked", self.what))?
    }
}
