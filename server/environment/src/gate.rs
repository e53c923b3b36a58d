//! What stands before every poll of a task where somebody else than the runtime decides when it runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Decides when the tasks of one node or client run.
pub trait Gate: Send + Sync {
    /// Asked before each poll of a task. [`Poll::Pending`] parks it: then the gate wakes `cx` when it is to be asked
    /// again.
    fn poll_pass(&self, cx: &mut Context<'_>) -> Poll<Verdict>;
}

/// What becomes of a task that came to its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs until it waits again.
    Run,
    /// It is dropped as it stands, as in a crash of its process.
    Drop,
}

/// A task behind a gate; ends with `None` if it is dropped.
pub(crate) struct Gated<F> {
    gate: Arc<dyn Gate>,
    work: Option<Pin<Box<F>>>,
}

impl<F> Gated<F> {
    pub(crate) fn new(gate: Arc<dyn Gate>, work: F) -> Self {
        Gated { gate, work: Some(Box::pin(work)) }
    }
}

impl<F: Future> Future for Gated<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let verdict = ready!(self.gate.poll_pass(cx));
        let ended = match (verdict, &mut self.work) {
            (Verdict::Run, Some(work)) => Some(ready!(work.as_mut().poll(cx))),
            _ => None,
        };
        self.work = None;
        Poll::Ready(ended)
    }
}
