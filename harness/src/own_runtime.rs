//! Waiting where one cannot await, as in a drop.

use anyhow::{Result, anyhow};
use std::thread;

/// Runs something to its end in a thread with a runtime of its own, since the one that is running may have no thread
/// left to go on with. Connections of the outer runtime would hang there.
pub(crate) fn run<T: Send + 'static>(task: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(task)
    };
    thread::spawn(run).join().map_err(|_| anyhow!("the clean-up panicked"))?
}
