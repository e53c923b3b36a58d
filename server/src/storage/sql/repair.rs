//! Which conversations have changed, and which logs have lost their ends.
//!
//! Whoever follows a run of a node reads what lies beyond the settled number that it saw last ([`super::changes`]). A
//! change whose outcome is unknown is settled by locking the conversations it touched: the transaction, if it still
//! lives, holds those locks.

use super::changes::{ChangeId, Numbers};
use super::columns::{conversation, epoch};
use super::locks::{lock_all, make_up_for_loss};
use super::storage::{SqlStorage, ended, read, transaction};
use crate::cluster::NodeKey;
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::{self, Change, Changes, End, Repair, Seen};
use async_trait::async_trait;
use chat_protocol::conversation::Conversation;
use std::collections::{BTreeMap, BTreeSet};

/// Changed conversations read at once.
const CHANGES_AT_ONCE: u32 = 4_096;
/// Times that, in one look at one run; beyond it there is another look.
const MOST_PAGES: u32 = 16;
/// Runs followed that have no row any more, those that began last: restarts must not make every look longer for ever.
/// What a COMMIT of another still brings is found at its recipients' next login.
const ENDED_RUNS: usize = 32;
/// Conversations locked at once to settle what is unknown.
const LOCKED_AT_ONCE: usize = 256;
/// Conversations that are compared in one statement.
const COMPARED_AT_ONCE: usize = 256;
/// Conversations in one transaction that notes losses.
const LOSSES_AT_ONCE: usize = 64;

#[async_trait]
impl Repair for SqlStorage {
    async fn changes(&self, seen: Option<&Seen>) -> storage::Result<Changes> {
        let settled = self.bounded(async {
            let mut conn = self.engine.write().await?;
            settle_unknown(&mut *conn, &self.numbers).await
        });
        if let Err(error) = settled.await {
            tracing::warn!(%error, "the outcome of some changes is still unknown");
        }
        read!(self, conn => since(conn, seen))
    }

    async fn find_losses(&self, key: &NodeKey, known: &[Change]) -> storage::Result<Vec<Change>> {
        let in_doubt = |suspects: &Vec<Change>| !suspects.is_empty();
        let suspects = read!(self, conn => behind(conn, known), in doubt in_doubt)?;
        let mut lost = Vec::new();
        for suspects in suspects.chunks(LOSSES_AT_ONCE) {
            let numbered = self.numbers.begin(key.boot, suspects.iter().map(|known| known.conv).collect());
            let change = numbered.change;
            let found = transaction!(self, conn => find_losses(conn, suspects, change));
            lost.extend(ended(Some(numbered), found)?);
        }
        Ok(lost)
    }
}

/// Settles those whose transactions are over: nobody holds the conversations that they touched any more.
async fn settle_unknown(conn: &mut dyn Connection, numbers: &Numbers) -> Result<()> {
    let unknown = numbers.unknown();
    if unknown.is_empty() {
        return Ok(());
    }
    // One that was committed at a server which is not used any more comes before this.
    conn.freshen().await?;
    let convs: BTreeSet<Conversation> = unknown.iter().flat_map(|(_, touched)| touched).copied().collect();
    let mut held = BTreeSet::new();
    for convs in convs.into_iter().collect::<Vec<_>>().chunks(LOCKED_AT_ONCE) {
        held.extend(held_by_others(conn, convs).await?);
    }
    let is_over = |(_, touched): &&(ChangeId, Vec<Conversation>)| touched.iter().all(|conv| !held.contains(conv));
    let over: Vec<ChangeId> = unknown.iter().filter(is_over).map(|(change, _)| *change).collect();
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
async fn since(conn: &mut dyn Connection, seen: Option<&Seen>) -> Result<Changes> {
    let rows = conn.rows("SELECT boot, settled, gone = renewals FROM node", &[]).await?;
    let settled = rows.iter().map(|row| Ok((row.int(0)?, row.number(1)?))).collect::<Result<Seen>>()?;
    let gone = rows.iter().filter(|row| row.flag(2).unwrap_or(false)).map(|row| Ok(row.int(0)?));
    let gone = gone.collect::<Result<BTreeSet<i64>>>()?;
    let mut changes = Changes { seen: settled.clone(), ..Changes::default() };
    let Some(seen) = seen else { return Ok(changes) };
    changes.has_new_run = settled.keys().any(|run| !seen.contains_key(run));
    let mut found: BTreeMap<Conversation, Change> = BTreeMap::new();
    // A run that has ended is looked at further: a COMMIT of it may still arrive.
    let ended = seen.keys().filter(|run| !settled.contains_key(run)).rev().take(ENDED_RUNS);
    let runs: BTreeSet<i64> = settled.keys().chain(ended).copied().collect();
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
            found.insert(conv, Change { conv, end, version: row.number(2)? });
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

/// Makes up for what is lost of those conversations that have not got as far as is known of them; returns them.
async fn find_losses(conn: &mut dyn Connection, known: &[Change], change: ChangeId) -> Result<Vec<Change>> {
    let convs: BTreeSet<Conversation> = known.iter().map(|known| known.conv).collect();
    let convs: Vec<Conversation> = convs.into_iter().collect();
    let for_update = conn.dialect().for_update;
    let mut locked = lock_all(conn, &convs, for_update).await?;
    let mut lost = Vec::new();
    for known in known {
        if let Some(of) = locked.get_mut(&known.conv).filter(|of| of.is_before(known)) {
            make_up_for_loss(conn, of, *known, change).await?;
            lost.push(Change { conv: known.conv, end: of.end(), version: of.version });
        }
    }
    Ok(lost)
}

/// Those of the conversations that have not got as far as is known of them, as far as can be told without locks.
async fn behind(conn: &mut dyn Connection, known: &[Change]) -> Result<Vec<Change>> {
    let mut behind = Vec::new();
    for known in known.chunks(COMPARED_AT_ONCE) {
        let convs: Vec<Conversation> = known.iter().map(|known| known.conv).collect();
        let found = lock_all(conn, &convs, "").await?;
        let is_behind = |known: &&Change| found.get(&known.conv).is_some_and(|of| of.is_before(known));
        behind.extend(known.iter().filter(is_behind).copied());
    }
    Ok(behind)
}
