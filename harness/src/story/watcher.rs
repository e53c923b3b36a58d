//! Who looks on while a story is told.

use crate::users::Record;
use std::sync::Arc;

/// Is told how far a story is; all else stands in its record.
pub trait Watcher: Send + Sync {
    /// A story begins, which is written down here.
    fn begins(&self, record: &Arc<Record>);

    /// The step at this place begins, once what the last one broke has healed; where the answer is no it does not, but
    /// the story ends then and is judged as ever.
    fn wants(&self, step: usize) -> bool;

    fn comes_to(&self, part: Part);
}

/// A part of a story behind its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The last faults heal, and people write on.
    Recovery,
    /// Nobody writes any more, and what was written is waited for.
    Arrivals,
    /// Friends look at each other, and rows are read.
    Judgement,
}

/// Lets every story be told to its end.
pub(super) struct Nobody;

impl Watcher for Nobody {
    fn begins(&self, _record: &Arc<Record>) {}
    fn comes_to(&self, _part: Part) {}

    fn wants(&self, _step: usize) -> bool {
        true
    }
}
