//! The logs of conversations: what is appended, and the pages that are read.

use super::append::{self, Appender};
use super::columns::epoch;
use super::locks::lock;
use super::storage::{SqlStorage, read, transaction};
use crate::cluster::NodeKey;
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::{self, Append, Appended, AppendedBatch, CertainPage, Error, Fence, Log, Page};
use async_trait::async_trait;
use chat_protocol::conversation::Conversation;
use chat_protocol::message::{ChatMessage, SentAs, TimeMs};
use std::collections::BTreeSet;
use uuid::Uuid;

#[async_trait]
impl Log for SqlStorage {
    async fn append(
        &self,
        key: &NodeKey,
        batch: &[Append],
        now: TimeMs,
        fence: Fence<'_>,
    ) -> storage::Result<AppendedBatch> {
        let is_blocked = |done: &AppendedBatch| done.outcomes.contains(&Appended::Blocked);
        let appended = self.bounded(async {
            let mut conn = self.engine.write().await?;
            // Not before: what never reached the database cannot come true there.
            let convs: BTreeSet<Conversation> = batch.iter().map(|append| append.conv).collect();
            let numbered = self.numbers.begin(key.boot, convs.into_iter().collect());
            let by = Appender { key, change: numbered.change, fence, environment: &self.environment };
            let appended = append::append(&mut *conn, by, batch, now).await;
            if appended.as_ref().is_ok_and(|done| !is_blocked(done)) {
                numbered.settled();
            }
            appended
        });
        appended.await
    }

    async fn messages_after(
        &self,
        conv: Conversation,
        after: u64,
        limit: u32,
        max_bytes: usize,
    ) -> storage::Result<Page> {
        read!(self, conn => messages_after(conn, conv, after, limit, max_bytes))
    }

    async fn certain_messages_after(
        &self,
        conv: Conversation,
        after: u64,
        limit: u32,
        max_bytes: usize,
    ) -> storage::Result<CertainPage> {
        transaction!(self, conn => certain_messages_after(conn, conv, after, limit, max_bytes))
    }

    async fn messages_before(
        &self,
        conv: Conversation,
        before: Option<u64>,
        limit: u32,
        max_bytes: usize,
    ) -> storage::Result<Page> {
        read!(self, conn => messages_before(conn, conv, before, limit, max_bytes))
    }
}

async fn certain_messages_after(
    conn: &mut dyn Connection,
    conv: Conversation,
    after: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<CertainPage> {
    let last_seq = lock(conn, conv).await?.map_or(0, |locked| locked.last_seq);
    Ok(CertainPage { page: messages_after(conn, conv, after, limit, max_bytes).await?, last_seq })
}

/// A sender whose user row is gone still has sent: without a name, but never a hole in the log.
const MESSAGE: &str = "SELECT m.seq, m.sender, COALESCE(u.name, ''), m.body, m.time, m.mid, m.sent_as, m.log_epoch \
                       FROM message m LEFT JOIN user u ON u.id = m.sender WHERE m.conv = ? AND";

async fn messages_after(
    conn: &mut dyn Connection,
    conv: Conversation,
    after: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<Page> {
    let mut page = read_page(conn, conv, "m.seq > ? ORDER BY m.seq LIMIT ?", after, limit, max_bytes).await?;
    if page.messages.first().is_none_or(|first| first.seq != after.saturating_add(1)) {
        page.first_seq = first_seq(conn, conv).await?;
    }
    Ok(page)
}

async fn messages_before(
    conn: &mut dyn Connection,
    conv: Conversation,
    before: Option<u64>,
    limit: u32,
    max_bytes: usize,
) -> Result<Page> {
    let before = before.unwrap_or(u64::MAX);
    let mut page = read_page(conn, conv, "m.seq < ? ORDER BY m.seq DESC LIMIT ?", before, limit, max_bytes).await?;
    page.messages.reverse();
    if !page.more {
        page.first_seq = match page.messages.first() {
            Some(first) if first.seq == 1 => 1,
            _ => first_seq(conn, conv).await?,
        };
    }
    Ok(page)
}

/// Where the log begins. Asked after a page was read: what that lacks because it was removed lies before this.
async fn first_seq(conn: &mut dyn Connection, conv: Conversation) -> Result<u64> {
    let row = conn.first("SELECT first_seq FROM conversation WHERE id = ?", &[conv.into()]).await?;
    Ok(row.map(|row| row.number(0)).transpose()?.unwrap_or_default())
}

async fn read_page(
    conn: &mut dyn Connection,
    conv: Conversation,
    range: &str,
    bound: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<Page> {
    // One more than asked for tells whether there is more.
    let values = [conv.into(), bound.into(), limit.saturating_add(1).into()];
    let rows = conn.rows_within(&format!("{MESSAGE} {range}"), &values, max_bytes).await?;
    let mut page = Page { messages: Vec::with_capacity(rows.len()), ..Page::default() };
    let mut bytes = 0;
    for row in &rows {
        bytes += row.text_bytes();
        if page.messages.len() == limit as usize || (bytes > max_bytes && !page.messages.is_empty()) {
            page.more = true;
            break;
        }
        page.messages.push(message(conv, row)?);
    }
    // The first message may have used up the bytes, so that no other was read: then there may be more.
    page.more |= bytes > max_bytes && page.messages.len() < limit as usize;
    Ok(page)
}

fn message(conv: Conversation, row: &Row) -> Result<ChatMessage> {
    let mid = Uuid::from_slice(row.bytes(5)?)
        .map_err(|_| Error::Unusable(format!("a message of {conv} has a mid that is not 16 bytes long")))?;
    // What cannot be read of a classic client's own fields is not worth losing the message for.
    let sent_as = row.text_or_null(6)?.and_then(|json| serde_json::from_str::<SentAs>(&json).ok()).map(Box::new);
    Ok(ChatMessage {
        conv,
        log_epoch: epoch(row, 7)?,
        seq: row.number(0)?,
        sender: row.number(1)?,
        name: row.text(2)?,
        msg: row.text(3)?,
        time: row.int(4)?,
        mid,
        sent_as,
    })
}
