//! Who looks on while a story is told.

use crate::users::Record;
use std::sync::Arc;

/// Is told how far a story is; all else stands in its record.
pub trait Watcher: Send + Sync {
    /// A story begins, which is written down here.
    fn begins(&self, record: &Arc<Record>);

    fn comes_to(&self, part: Part);

    /// Whether the steps so far are enough, asked once what the last one broke has healed: the story ends then and is
    /// judged as ever.
    fn is_enough(&self) -> bool;
}

/// A part of a story, behind the gathering of those who take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// By its place among those of the story; first comes its pause.
    Step(usize),
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

    fn is_enough(&self) -> bool {
        false
    }
}
