//! Removes the beginnings of logs, a few messages at a time.
//!
//! Where a log begins (`conversation.first_seq`) moves in the transaction that removes what comes before, under the
//! conversation's lock. So a reader who misses messages, and then asks where the log begins, knows whether they were
//! removed. Nothing else changes: not the log's end, not its members, no cursor.

use super::columns::conversation;
use super::lists::list;
use super::storage::{SqlStorage, read, transaction};
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::{self, KeepRule, LogsPage, Moment, Retention, Shortened};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, UserId};
use std::collections::BTreeMap;

/// Conversations looked at in one step.
const LOGS_AT_ONCE: u32 = 256;
/// Messages removed in one step, under the conversation's lock: some milliseconds.
const MESSAGES_AT_ONCE: u32 = 256;

#[async_trait]
impl Retention for SqlStorage {
    async fn old_logs(&self, after: &str, rule: &KeepRule) -> storage::Result<LogsPage> {
        read!(self, conn => old_logs(conn, after, rule))
    }

    async fn shorten(&self, conv: Conversation, rule: &KeepRule) -> storage::Result<Shortened> {
        transaction!(self, conn => shorten(conn, conv, rule))
    }
}

async fn old_logs(conn: &mut dyn Connection, after: &str, rule: &KeepRule) -> Result<LogsPage> {
    const LOGS: &str = "SELECT c.id, c.first_seq, c.last_seq, m.time, m.cluster_age FROM conversation c \
                        LEFT JOIN message m ON m.conv = c.id AND m.seq = c.first_seq \
                        WHERE c.id > ? ORDER BY c.id LIMIT ?";
    let rows = conn.rows(LOGS, &[after.into(), LOGS_AT_ONCE.into()]).await?;
    let is_last = rows.len() < LOGS_AT_ONCE as usize;
    let last = rows.last().filter(|_| !is_last).map(|row| row.text(0)).transpose()?;
    let mut heads = Vec::new();
    for row in &rows {
        heads.extend(Head::read(row)?.filter(|head| head.is_old(rule)));
    }
    let received = received_by_all(conn, &heads).await?;
    let goes = |head: &Head| {
        let is_received = received.get(&head.conv).is_none_or(|received| *received >= head.first_seq);
        is_received || head.said.is_none_or(|said| rule.goes_unreceived(said))
    };
    Ok(LogsPage { old: heads.into_iter().filter(goes).map(|head| head.conv).collect(), last })
}

/// The beginning of a log.
struct Head {
    conv: Conversation,
    first_seq: u64,
    last_seq: u64,
    /// When its first message was said; `None` where that is missing, though it was never removed.
    said: Option<Moment>,
}

impl Head {
    /// `None`: a row that names no conversation, which holds up nobody else's.
    fn read(row: &Row) -> Result<Option<Head>> {
        let Ok(conv) = conversation(row, 0) else { return Ok(None) };
        let (first_seq, last_seq) = (row.number(1)?, row.number(2)?);
        Ok(Some(Head { conv, first_seq, last_seq, said: said(row, 3).ok() }))
    }

    fn is_old(&self, rule: &KeepRule) -> bool {
        let is_old = |said| rule.is_old(self.first_seq, said, self.last_seq);
        self.first_seq <= self.last_seq && self.said.is_none_or(is_old)
    }
}

/// When a message was said, in this column and the next.
fn said(row: &Row, at: usize) -> storage::Result<Moment> {
    Ok(Moment { time: row.int(at)?, age: row.int(at + 1)? })
}

/// How far the slowest of those has got for whom the first message of each is; none where that is nobody.
async fn received_by_all(conn: &mut dyn Connection, heads: &[Head]) -> Result<BTreeMap<Conversation, u64>> {
    if heads.is_empty() {
        return Ok(BTreeMap::new());
    }
    let convs: Vec<Conversation> = heads.iter().map(|head| head.conv).collect();
    let (placeholders, values) = list(&convs);
    let sql = format!(
        "SELECT m.conv, MIN(m.received_seq) FROM member m JOIN conversation c ON c.id = m.conv \
         JOIN message h ON h.conv = c.id AND h.seq = c.first_seq \
         WHERE m.conv IN {placeholders} AND m.userid <> h.sender GROUP BY m.conv"
    );
    let rows = conn.rows(&sql, &values).await?;
    rows.iter().map(|row| Ok((conversation(row, 0)?, row.number(1)?))).collect()
}

/// The two members who have received the least: whoever sends a message need not receive it, and a session that only
/// sends saves no cursor until it ends.
struct Slowest(Vec<(UserId, u64)>);

impl Slowest {
    async fn read(conn: &mut dyn Connection, conv: Conversation) -> Result<Slowest> {
        const READ: &str = "SELECT userid, received_seq FROM member WHERE conv = ? ORDER BY received_seq LIMIT 2";
        let rows = conn.rows(READ, &[conv.into()]).await?;
        let members = rows.iter().map(|row| Ok((row.number(0)?, row.number(1)?)));
        Ok(Slowest(members.collect::<Result<_>>()?))
    }

    fn lack(&self, seq: u64, sender: UserId) -> bool {
        let other = self.0.iter().find(|(user, _)| *user != sender);
        other.is_some_and(|(_, received)| seq > *received)
    }
}

async fn shorten(conn: &mut dyn Connection, conv: Conversation, rule: &KeepRule) -> Result<Shortened> {
    // Before the lock, as it may take a while: cursors only move forward, and who joins begins at the end.
    let slowest = Slowest::read(conn, conv).await?;
    let lock = format!("SELECT first_seq, last_seq FROM conversation WHERE id = ?{}", conn.dialect().for_update);
    let Some(row) = conn.first(&lock, &[conv.into()]).await? else { return Ok(Shortened::default()) };
    let (first_seq, last_seq) = (row.number(0)?, row.number(1)?);
    const HEAD: &str =
        "SELECT seq, sender, time, cluster_age FROM message WHERE conv = ? AND seq >= ? ORDER BY seq LIMIT ?";
    let head = conn.rows(HEAD, &[conv.into(), first_seq.into(), MESSAGES_AT_ONCE.into()]).await?;

    let mut shortened = Shortened::default();
    let mut end = first_seq;
    for row in &head {
        let (seq, said, is_unreceived) = (row.number(0)?, said(row, 2)?, slowest.lack(row.number(0)?, row.number(1)?));
        if !rule.is_old(seq, said, last_seq) || (is_unreceived && !rule.goes_unreceived(said)) {
            break;
        }
        end = seq + 1;
        shortened.removed += 1;
        shortened.unreceived += u64::from(is_unreceived);
    }
    if shortened.removed > 0 {
        conn.run("UPDATE conversation SET first_seq = ? WHERE id = ?", &[end.into(), conv.into()]).await?;
        conn.run("DELETE FROM message WHERE conv = ? AND seq < ?", &[conv.into(), end.into()]).await?;
    }
    shortened.more = shortened.removed == u64::from(MESSAGES_AT_ONCE);
    Ok(shortened)
}
