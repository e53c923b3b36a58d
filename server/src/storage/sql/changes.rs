//! Which conversations have changed, without anybody's clock.
//!
//! Each change of a conversation (a message, a member) leaves in its row which run of a node made it, and the change's
//! number within that run. Numbers are given before a transaction and may be committed in any order; so a run also
//! publishes, in its node's row, up to where all are *settled*: committed, or never to be. Whoever follows reads what
//! lies beyond the settled number it saw last, and so misses nothing, whatever a COMMIT takes. One whose outcome is
//! unknown is settled by locking the conversations it touched: the transaction, if it still lives, holds those locks.

use super::conversations::{conversation, epoch, lock_all};
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::{self, Changes, End, Seen};
use chat_protocol::conversation::Conversation;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Changed conversations read at once.
const CHANGES_AT_ONCE: u32 = 4_096;
/// Times that, in one look at one run; beyond it there is another look.
const MOST_PAGES: u32 = 16;
/// Conversations locked at once to settle what is unknown.
const LOCKED_AT_ONCE: usize = 256;

/// One change, as it is noted in the rows of conversations. The default is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// [`NodeKey::boot`](crate::cluster::NodeKey::boot) of whoever makes it.
    pub run: i64,
    pub number: u64,
}

/// The numbers of the changes that this process makes, for each of its nodes.
#[derive(Default)]
pub struct Numbers {
    runs: Mutex<HashMap<i64, Run>>,
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
        Numbered { numbers: self, change: Change { run, number: of.last } }
    }

    /// Up to where all of the run's changes are settled.
    pub fn settled(&self, run: i64) -> u64 {
        self.runs.lock().get(&run).map_or(0, Run::settled)
    }

    /// The changes whose outcome is unknown, and the conversations that each touched.
    fn unknown(&self) -> Vec<(Change, Vec<Conversation>)> {
        let runs = self.runs.lock();
        let of_run = |(run, of): (&i64, &Run)| {
            let (run, unknown) = (*run, of.unknown.clone());
            unknown.into_iter().map(move |(number, touched)| (Change { run, number }, touched))
        };
        runs.iter().flat_map(of_run).collect()
    }

    fn settle(&self, changes: &[Change]) {
        let mut runs = self.runs.lock();
        for Change { run, number } in changes {
            if let Some(of) = runs.get_mut(run) {
                of.unknown.remove(number);
            }
        }
    }
}

/// A change under way. Dropped without [`Numbered::settled`], its outcome is unknown.
pub struct Numbered<'a> {
    numbers: &'a Numbers,
    pub change: Change,
}

impl Numbered<'_> {
    /// It has been committed, or never will be.
    pub fn settled(self) {
        self.end();
    }

    fn end(&self) -> Option<Vec<Conversation>> {
        let Change { run, number } = self.change;
        self.numbers.runs.lock().get_mut(&run)?.open.remove(&number)
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        let Change { run, number } = self.change;
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

/// Settles those whose transactions are over: nobody holds the conversations that they touched any more.
pub async fn settle_unknown(conn: &mut dyn Connection, numbers: &Numbers) -> Result<()> {
    let unknown = numbers.unknown();
    let convs: BTreeSet<Conversation> = unknown.iter().flat_map(|(_, touched)| touched).copied().collect();
    let mut held = BTreeSet::new();
    for convs in convs.into_iter().collect::<Vec<_>>().chunks(LOCKED_AT_ONCE) {
        held.extend(held_by_others(conn, convs).await?);
    }
    let is_over = |(_, touched): &&(Change, Vec<Conversation>)| touched.iter().all(|conv| !held.contains(conv));
    let over: Vec<Change> = unknown.iter().filter(is_over).map(|(change, _)| *change).collect();
    numbers.settle(&over);
    Ok(())
}

/// Those of the conversations whose rows another transaction holds.
async fn held_by_others(conn: &mut dyn Connection, convs: &[Conversation]) -> Result<Vec<Conversation>> {
    conn.begin().await?;
    let skip_locked = conn.dialect().for_update_skip_locked;
    let locked = lock_all(conn, convs, skip_locked).await;
    // Nothing was changed; if this fails, the connection is discarded.
    let _ = conn.rollback().await;
    let locked = locked?;
    let passed_over: Vec<Conversation> = convs.iter().filter(|conv| !locked.contains_key(conv)).copied().collect();
    if passed_over.is_empty() {
        return Ok(passed_over);
    }
    // One that does not exist is held by nobody.
    Ok(lock_all(conn, &passed_over, "").await?.into_keys().collect())
}

/// What changed beyond `seen`. The runs' numbers are read first: what is settled later is part of the next look.
pub async fn since(conn: &mut dyn Connection, seen: Option<&Seen>) -> Result<Changes> {
    let rows = conn.rows("SELECT boot, settled, gone = renewals FROM node", &[]).await?;
    let settled = rows.iter().map(|row| Ok((row.int(0)?, row.number(1)?))).collect::<Result<Seen>>()?;
    let gone = rows.iter().filter(|row| row.flag(2).unwrap_or(false)).map(|row| Ok(row.int(0)?));
    let gone = gone.collect::<Result<BTreeSet<i64>>>()?;
    let mut changes = Changes { seen: settled.clone(), ..Changes::default() };
    let Some(seen) = seen else { return Ok(changes) };
    let mut found: BTreeMap<Conversation, storage::Change> = BTreeMap::new();
    // A run that has ended since is looked at once more.
    let runs: BTreeSet<i64> = settled.keys().chain(seen.keys()).copied().collect();
    for run in runs {
        let after = seen.get(&run).copied().unwrap_or(0);
        let (rows, is_all) = changed_by(conn, run, after).await?;
        let last = rows.last().map(|row| row.number(3)).transpose()?.unwrap_or(after);
        // One that is gone numbers nothing any more, nor publishes what is settled.
        let settled = if gone.contains(&run) { last } else { settled.get(&run).copied().unwrap_or(last) };
        // The last number may be that of more conversations than were read.
        let next = if is_all { settled } else { settled.min(last.saturating_sub(1)) }.max(after);
        changes.seen.insert(run, next);
        changes.more |= !is_all && next > after;
        for row in &rows {
            let conv = conversation(row, 0)?;
            let end = End { log_epoch: epoch(row, 4)?, seq: row.number(1)? };
            found.insert(conv, storage::Change { conv, end, version: row.number(2)? });
        }
    }
    changes.changed = found.into_values().collect();
    Ok(changes)
}

/// All of them, or as many as one look takes.
async fn changed_by(conn: &mut dyn Connection, run: i64, after: u64) -> Result<(Vec<Row>, bool)> {
    const CHANGED: &str = "SELECT id, last_seq, members_version, change_number, log_epoch FROM conversation \
                           WHERE changed_by = ? AND change_number > ? ORDER BY change_number LIMIT ?";
    let (mut rows, mut from) = (Vec::new(), after);
    for _ in 0..MOST_PAGES {
        let page = conn.rows(CHANGED, &[run.into(), from.into(), CHANGES_AT_ONCE.into()]).await?;
        let is_last = page.len() < CHANGES_AT_ONCE as usize;
        // A number is given to far fewer conversations than there are in a page, so this goes on.
        from = page.last().map(|row| row.number(3)).transpose()?.map_or(from, |last| last.saturating_sub(1));
        rows.extend(page);
        if is_last {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}
