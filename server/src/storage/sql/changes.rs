//! The numbers of changes, by which others find them without anybody's clock.
//!
//! Each change of a conversation (a message, a member) leaves in its row which run of a node made it, and the change's
//! number within that run. Numbers are given before a transaction and may be committed in any order; so a run also
//! publishes, in its node's row, up to where all are *settled*: committed, or never to be. Whoever follows reads what
//! lies beyond the settled number it saw last, and so misses nothing, whatever a COMMIT takes. One whose outcome is
//! unknown is settled by locking the conversations it touched: the transaction, if it still lives, holds those locks.

use crate::storage;
use chat_protocol::conversation::Conversation;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// One change, as it is noted in the rows of conversations. The default is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeId {
    /// [`NodeKey::boot`](crate::cluster::NodeKey::boot) of whoever makes it.
    pub run: i64,
    pub number: u64,
}

/// The numbers of the changes that this process makes, for each of its nodes.
#[derive(Default)]
pub struct Numbers {
    runs: Mutex<BTreeMap<i64, Run>>,
}

#[derive(Default)]
struct Run {
    last: u64,
    /// Under way.
    open: BTreeMap<u64, Vec<Conversation>>,
    /// Ended, but nobody knows how.
    unknown: BTreeMap<u64, Vec<Conversation>>,
}

impl Run {
    fn settled(&self) -> u64 {
        let first = self.open.keys().next().into_iter().chain(self.unknown.keys().next()).min();
        first.map_or(self.last, |first| first - 1)
    }
}

impl Numbers {
    /// Gives the next number of `run` to a change of `convs`.
    pub fn begin(&self, run: i64, convs: Vec<Conversation>) -> Numbered<'_> {
        let mut runs = self.runs.lock();
        let of = runs.entry(run).or_default();
        of.last += 1;
        of.open.insert(of.last, convs);
        Numbered { numbers: self, change: ChangeId { run, number: of.last } }
    }

    /// Up to where all of the run's changes are settled.
    pub fn settled(&self, run: i64) -> u64 {
        self.runs.lock().get(&run).map_or(0, Run::settled)
    }

    /// The changes whose outcome is unknown, and the conversations that each touched.
    pub fn unknown(&self) -> Vec<(ChangeId, Vec<Conversation>)> {
        let runs = self.runs.lock();
        let of_run = |(run, of): (&i64, &Run)| {
            let (run, unknown) = (*run, of.unknown.clone());
            unknown.into_iter().map(move |(number, touched)| (ChangeId { run, number }, touched))
        };
        runs.iter().flat_map(of_run).collect()
    }

    pub fn settle(&self, changes: &[ChangeId]) {
        let mut runs = self.runs.lock();
        for ChangeId { run, number } in changes {
            if let Some(of) = runs.get_mut(run) {
                of.unknown.remove(number);
            }
        }
    }
}

/// A change under way. Dropped without [`Numbered::settled`], its outcome is unknown.
pub struct Numbered<'a> {
    numbers: &'a Numbers,
    pub change: ChangeId,
}

impl Numbered<'_> {
    /// It has been committed, or never will be.
    pub fn settled(self) {
        self.end();
    }

    fn end(&self) -> Option<Vec<Conversation>> {
        let ChangeId { run, number } = self.change;
        self.numbers.runs.lock().get_mut(&run)?.open.remove(&number)
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        let ChangeId { run, number } = self.change;
        if let Some(convs) = self.end().filter(|convs| !convs.is_empty())
            && let Some(of) = self.numbers.runs.lock().get_mut(&run)
        {
            of.unknown.insert(number, convs);
        }
    }
}

/// Whether a failed operation has certainly not changed anything, nor will.
pub fn is_certain<T>(outcome: &storage::Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => !matches!(error, storage::Error::Unavailable(_)),
    }
}
