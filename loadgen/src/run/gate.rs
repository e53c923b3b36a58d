//! Where a run that measures together with others waits until all of them can begin.

use futures_util::future::BoxFuture;

/// Says when the measured time begins, once this run is ready for it.
pub trait Gate: Send + Sync {
    /// Waits for the others. Answers with the moment to begin at, in milliseconds since the Unix epoch by the clock of
    /// this machine, or with why it never comes.
    fn pass(&self) -> BoxFuture<'_, Result<i64, String>>;
}
