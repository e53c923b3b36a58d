//! How far each member has got in each conversation, and so what waits for whom.

use super::columns::{conversation, epoch};
use super::lists::{any_of, any_of_to_update, list, padded, padded_values, repeated};
use super::storage::{SqlStorage, idempotent, read};
use crate::cluster::NodeKey;
use crate::storage::engine::{Connection, Result, Row, Value};
use crate::storage::{self, Cursors, End, Mark, Position, Waiting};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

/// Cursors in one statement.
const CURSORS_AT_ONCE: usize = 64;
/// Conversations whose waiting messages are counted in one statement.
const CONVERSATIONS_AT_ONCE: usize = 16;
/// Users in one statement.
const USERS_AT_ONCE: usize = 256;

/// The columns that name a cursor.
const MEMBER: [&str; 2] = ["conv", "userid"];

#[async_trait]
impl Cursors for SqlStorage {
    async fn cursors(&self, of: &[(Conversation, UserId, LogEpoch)]) -> storage::Result<Vec<Option<Position>>> {
        let keys: Vec<(Conversation, UserId)> = of.iter().map(|(conv, user, _)| (*conv, *user)).collect();
        let is_old = |found: &Vec<Option<Position>>| {
            let mut all = of.iter().zip(found);
            all.any(|((.., known), found)| found.is_some_and(|position| position.log_epoch < *known))
        };
        read!(self, conn => positions(conn, &keys), in doubt is_old)
    }

    async fn waiting(&self, users: &[UserId]) -> storage::Result<Vec<Waiting>> {
        read!(self, conn => waiting(conn, users))
    }

    async fn count_waiting(&self, user: UserId, at_most: u32) -> storage::Result<u64> {
        read!(self, conn => count_waiting(conn, user, at_most))
    }

    async fn mark_received(&self, by: Option<&NodeKey>, marks: &[Mark]) -> storage::Result<()> {
        idempotent!(self, conn => mark_received(conn, by, marks))
    }
}

pub async fn positions(conn: &mut dyn Connection, of: &[(Conversation, UserId)]) -> Result<Vec<Option<Position>>> {
    let mut found = HashMap::with_capacity(of.len());
    for of in of.chunks(CURSORS_AT_ONCE) {
        let (condition, values) = any_of(MEMBER, of);
        let by_key = conn.dialect().by_primary_key;
        let sql = format!(
            "SELECT m.conv, m.userid, m.received_seq, c.log_epoch, c.epoch_after \
             FROM member m{by_key} JOIN conversation c ON c.id = m.conv WHERE {condition}"
        );
        for row in conn.rows(&sql, &values).await? {
            found.insert((conversation(&row, 0)?, row.number(1)?), position(&row, 2)?);
        }
    }
    Ok(of.iter().map(|key| found.get(key).copied()).collect())
}

async fn waiting(conn: &mut dyn Connection, users: &[UserId]) -> Result<Vec<Waiting>> {
    let mut waiting = Vec::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        let sql = format!(
            "SELECT m.userid, m.conv, m.received_seq, c.log_epoch, c.epoch_after, c.last_seq \
             FROM member m JOIN conversation c ON c.id = m.conv \
             WHERE m.userid IN {placeholders} AND c.last_seq > m.received_seq"
        );
        for row in conn.rows(&sql, &values).await? {
            waiting.push(Waiting {
                user: row.number(0)?,
                conv: conversation(&row, 1)?,
                position: position(&row, 2)?,
                last_seq: row.number(5)?,
            });
        }
    }
    Ok(waiting)
}

async fn count_waiting(conn: &mut dyn Connection, user: UserId, at_most: u32) -> Result<u64> {
    // Each conversation is counted by itself: joined with the cursors, the whole of its log would be read.
    const COUNT: &str =
        "SELECT COUNT(*) FROM (SELECT 1 FROM message WHERE conv = ? AND seq > ? AND sender <> ? LIMIT ?) AS waiting";
    let behind = waiting(conn, &[user]).await?;
    let at_most = u64::from(at_most);
    let mut total = 0;
    for behind in behind.chunks(CONVERSATIONS_AT_ONCE) {
        let left = at_most - total;
        let mut values: Vec<Value> = Vec::with_capacity(4 * padded(behind.len()));
        for one in behind {
            values.extend([one.conv.into(), one.position.received_seq.into(), user.into(), left.into()]);
        }
        // Padded with counts of nothing: repeating one would count it again.
        for _ in behind.len()..padded(behind.len()) {
            values.extend(["".into(), 0_u64.into(), user.into(), 0_u64.into()]);
        }
        for row in conn.rows(&repeated(COUNT, " UNION ALL ", behind.len()), &values).await? {
            total += row.number(0)?;
        }
        if total >= at_most {
            return Ok(at_most);
        }
    }
    Ok(total)
}

async fn mark_received(conn: &mut dyn Connection, by: Option<&NodeKey>, marks: &[Mark]) -> Result<()> {
    let mut furthest: BTreeMap<(Conversation, UserId), End> = BTreeMap::new();
    for mark in marks {
        let end = furthest.entry((mark.conv, mark.user)).or_default();
        *end = End { log_epoch: mark.log_epoch, seq: mark.seq }.max(*end);
    }
    let marks: Vec<((Conversation, UserId), End)> = furthest.into_iter().collect();
    for marks in marks.chunks(CURSORS_AT_ONCE) {
        let advancing = advancing(conn, marks).await?;
        if !advancing.is_empty() {
            advance(conn, by, &advancing).await?;
        }
    }
    Ok(())
}

/// Those that move a cursor forward, and no further than to the conversation's end.
async fn advancing(
    conn: &mut dyn Connection,
    marks: &[((Conversation, UserId), End)],
) -> Result<Vec<((Conversation, UserId), u64)>> {
    let keys: Vec<(Conversation, UserId)> = marks.iter().map(|(key, _)| *key).collect();
    let (condition, values) = any_of(MEMBER, &keys);
    let by_key = conn.dialect().by_primary_key;
    let sql = format!(
        "SELECT m.conv, m.userid, m.received_seq, c.last_seq, c.log_epoch, c.epoch_after \
         FROM member m{by_key} JOIN conversation c ON c.id = m.conv WHERE {condition}"
    );
    let mut stored = HashMap::with_capacity(marks.len());
    for row in conn.rows(&sql, &values).await? {
        let end = End { log_epoch: epoch(&row, 4)?, seq: row.number(3)? };
        stored.insert((conversation(&row, 0)?, row.number(1)?), (row.number(2)?, end, row.number(5)?));
    }
    let mut advancing = Vec::with_capacity(marks.len());
    for ((conv, user), mark) in marks {
        let Some((received_seq, end, epoch_after)) = stored.get(&(*conv, *user)).copied() else { continue };
        let seq = match mark.log_epoch.cmp(&end.log_epoch) {
            // What came after that was given the numbers of what is lost.
            Ordering::Less => {
                let most = End { seq: mark.seq.min(epoch_after), ..*mark };
                same_since(conn, *conv, received_seq, most).await?
            }
            Ordering::Equal => mark.seq.min(end.seq),
            // The database has lost even the epoch that the client was told of.
            Ordering::Greater => continue,
        };
        if seq > received_seq {
            advancing.push(((*conv, *user), seq));
        }
    }
    Ok(advancing)
}

/// How far the log is what it was up to `end`, beyond `after`: it may have begun several epochs since, each where it
/// had lost more.
async fn same_since(conn: &mut dyn Connection, conv: Conversation, after: u64, end: End) -> Result<u64> {
    const NEWER: &str =
        "SELECT seq FROM message WHERE conv = ? AND seq > ? AND seq <= ? AND log_epoch > ? ORDER BY seq LIMIT 1";
    let newer = conn.first(NEWER, &[conv.into(), after.into(), end.seq.into(), end.log_epoch.into()]).await?;
    Ok(newer.map(|row| row.number(0)).transpose()?.map_or(end.seq, |seq| seq - 1))
}

async fn advance(
    conn: &mut dyn Connection,
    by: Option<&NodeKey>,
    marks: &[((Conversation, UserId), u64)],
) -> Result<()> {
    // Another session of the user may have got further meanwhile, hence the comparison once more.
    let (greatest, by_key) = (conn.dialect().greatest, conn.dialect().by_primary_key);
    let cases = repeated("WHEN conv = ? AND userid = ? THEN ?", " ", marks.len());
    let keys: Vec<(Conversation, UserId)> = marks.iter().map(|(key, _)| *key).collect();
    let (condition, key_values) = any_of_to_update(conn.dialect(), MEMBER, &keys);
    // Asked in the statement that has the effect.
    let of_session = match by {
        Some(_) => " AND EXISTS (SELECT 1 FROM session s WHERE s.userid = member.userid AND s.node = ? AND s.boot = ?)",
        None => "",
    };
    let sql = format!(
        "UPDATE member{by_key} SET received_seq = {greatest}(received_seq, CASE {cases} ELSE 0 END) \
         WHERE {condition}{of_session}"
    );
    let mut values = padded_values(marks, |((conv, user), seq), values| {
        values.extend([(*conv).into(), (*user).into(), (*seq).into()]);
    });
    values.extend(key_values);
    values.extend(by.into_iter().flat_map(|key| [(&*key.id.0).into(), key.boot.into()]));
    conn.run(&sql, &values).await?;
    Ok(())
}

/// A position in three columns.
fn position(row: &Row, at: usize) -> Result<Position> {
    let (log_epoch, epoch_after) = (epoch(row, at + 1)?, row.number(at + 2)?);
    Ok(Position { received_seq: row.number(at)?, log_epoch, epoch_after })
}
