//! Conversations: their rows, who is in them, and reading their logs.
//!
//! Whatever changes a conversation, be it a message or a member, first locks its row; so what is read under that lock
//! holds until the commit.

use super::changes::Change;
use crate::storage::engine::{Connection, Result, Row, Value, list, padded_values, repeated};
use crate::storage::{Audience, CertainPage, End, Error, Page, Settled};
use chat_protocol::conversation::{Conversation, LogEpoch, UserId};
use chat_protocol::message::{ChatMessage, SentAs};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use uuid::Uuid;

/// Conversations whose ends are compared in one statement.
const ENDS_AT_ONCE: usize = 256;

/// A conversation's row, locked until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub struct Locked {
    pub last_seq: u64,
    pub version: u64,
    pub log_epoch: LogEpoch,
}

pub async fn lock(conn: &mut dyn Connection, conv: Conversation) -> Result<Option<Locked>> {
    let for_update = conn.dialect().for_update;
    Ok(lock_all(conn, &[conv], for_update).await?.remove(&conv))
}

/// Locks in ascending order of the row's key, as everybody does. `locking` is one of the dialect's.
pub async fn lock_all(
    conn: &mut dyn Connection,
    convs: &[Conversation],
    locking: &str,
) -> Result<BTreeMap<Conversation, Locked>> {
    let (marks, values) = list(convs);
    let by_key = conn.dialect().by_primary_key;
    let sql = format!(
        "SELECT id, last_seq, members_version, log_epoch FROM conversation{by_key} WHERE id IN {marks} \
         ORDER BY id{locking}"
    );
    let rows = conn.rows(&sql, &values).await?;
    rows.iter()
        .map(|row| {
            let (last_seq, version, log_epoch) = (row.number(1)?, row.number(2)?, epoch(row, 3)?);
            Ok((conversation(row, 0)?, Locked { last_seq, version, log_epoch }))
        })
        .collect()
}

impl Locked {
    pub fn end(&self) -> End {
        End { log_epoch: self.log_epoch, seq: self.last_seq }
    }
}

/// Locks the row, which it makes if it is missing.
pub async fn lock_or_make(conn: &mut dyn Connection, conv: Conversation) -> Result<Locked> {
    if let Some(locked) = lock(conn, conv).await? {
        return Ok(locked);
    }
    let make = format!("{} INTO conversation (id) VALUES (?)", conn.dialect().insert_ignore);
    conn.run(&make, &[conv.into()]).await?;
    let locked = lock(conn, conv).await?;
    Ok(locked.ok_or_else(|| Error::Unavailable(format!("conversation {conv} was removed while it was made")))?)
}

/// A locked conversation's log had once got to `known`, and ends before: what is said from here on is of another epoch
/// than was ever known. Everyone is told as of a change of members.
pub async fn begin_epoch(
    conn: &mut dyn Connection,
    conv: Conversation,
    locked: &mut Locked,
    known: End,
    change: Change,
) -> Result<()> {
    locked.log_epoch = locked.log_epoch.max(known.log_epoch).saturating_add(1);
    locked.version += 1;
    const BEGIN: &str = "UPDATE conversation SET log_epoch = ?, epoch_after = last_seq WHERE id = ?";
    conn.run(BEGIN, &[locked.log_epoch.into(), conv.into()]).await?;
    bump_version(conn, conv, change).await
}

/// Begins another log epoch in those conversations that end before what is known of them; returns them.
pub async fn find_losses(
    conn: &mut dyn Connection,
    ends: &[(Conversation, End)],
    change: Change,
) -> Result<Vec<Conversation>> {
    let convs: BTreeSet<Conversation> = ends.iter().map(|(conv, _)| *conv).collect();
    let convs: Vec<Conversation> = convs.into_iter().collect();
    let for_update = conn.dialect().for_update;
    let mut locked = lock_all(conn, &convs, for_update).await?;
    let mut lost = Vec::new();
    for (conv, end) in ends {
        if let Some(of) = locked.get_mut(conv).filter(|of| of.end() < *end) {
            begin_epoch(conn, *conv, of, *end, change).await?;
            lost.push(*conv);
        }
    }
    Ok(lost)
}

/// Those of the conversations that end before what is known of them, as far as can be told without locks.
pub async fn ending_before(
    conn: &mut dyn Connection,
    ends: &[(Conversation, End)],
) -> Result<Vec<(Conversation, End)>> {
    let mut before = Vec::new();
    for ends in ends.chunks(ENDS_AT_ONCE) {
        let convs: Vec<Conversation> = ends.iter().map(|(conv, _)| *conv).collect();
        let found = lock_all(conn, &convs, "").await?;
        let is_before = |(conv, end): &&(Conversation, End)| found.get(conv).is_some_and(|of| of.end() < *end);
        before.extend(ends.iter().filter(is_before).copied());
    }
    Ok(before)
}

/// Tells everyone that the members of a locked conversation are others now.
pub async fn bump_version(conn: &mut dyn Connection, conv: Conversation, change: Change) -> Result<()> {
    const BUMP: &str = "UPDATE conversation SET members_version = members_version + 1, changed_by = ?, change_number = ? \
                        WHERE id = ?";
    conn.run(BUMP, &[change.run.into(), change.number.into(), conv.into()]).await?;
    Ok(())
}

/// The conversation as it is when whoever holds it has let go of it.
pub async fn settled(conn: &mut dyn Connection, conv: Conversation, user: UserId) -> Result<Option<Settled>> {
    if lock(conn, conv).await?.is_none() {
        return Ok(None);
    }
    let Some(audience) = audiences(conn, &[conv]).await?.remove(&conv) else { return Ok(None) };
    let position = super::cursors::read(conn, &[(conv, user)]).await?.into_iter().next().flatten();
    Ok(Some(Settled { audience, position }))
}

pub async fn certain_messages_after(
    conn: &mut dyn Connection,
    conv: Conversation,
    after: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<CertainPage> {
    let last_seq = lock(conn, conv).await?.map_or(0, |locked| locked.last_seq);
    Ok(CertainPage { page: messages_after(conn, conv, after, limit, max_bytes).await?, last_seq })
}

/// The audiences of those conversations that exist. Where the caller has locked them, they are so until it commits.
pub async fn audiences(conn: &mut dyn Connection, convs: &[Conversation]) -> Result<BTreeMap<Conversation, Audience>> {
    if convs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (marks, values) = list(convs);
    let by_key = conn.dialect().by_primary_key;
    // One statement, so one moment; each version is that of the very members read.
    let sql = format!(
        "SELECT c.id, c.members_version, m.userid FROM conversation c{by_key} \
         LEFT JOIN member m ON m.conv = c.id WHERE c.id IN {marks} ORDER BY c.id, m.userid"
    );
    let mut found: BTreeMap<Conversation, (u64, Vec<UserId>)> = BTreeMap::new();
    for row in conn.rows(&sql, &values).await? {
        let (_, members) = found.entry(conversation(&row, 0)?).or_insert((row.number(1)?, Vec::new()));
        if row.0.get(2) != Some(&Value::Null) {
            members.push(row.number(2)?);
        }
    }
    // Only now: friendship that is newer than the version does no harm, an older one would last as long as the version.
    let friends = friends_among(conn, convs).await?;
    let audience = |(conv, (version, members)): (Conversation, (u64, Vec<UserId>))| {
        let open = matches!(conv, Conversation::Group(_)) || friends.contains(&conv);
        (conv, Audience { version, members: members.into(), open })
    };
    Ok(found.into_iter().map(audience).collect())
}

/// Those of the direct conversations whose users are friends.
async fn friends_among(conn: &mut dyn Connection, convs: &[Conversation]) -> Result<HashSet<Conversation>> {
    let pairs: Vec<(UserId, UserId)> = convs
        .iter()
        .filter_map(|conv| match conv {
            Conversation::Direct(low, high) => Some((*low, *high)),
            Conversation::Group(_) => None,
        })
        .collect();
    if pairs.is_empty() {
        return Ok(HashSet::new());
    }
    let condition = repeated("(userid = ? AND friendid = ?)", " OR ", pairs.len());
    let values = padded_values(&pairs, |(low, high), values| values.extend([(*low).into(), (*high).into()]));
    let rows = conn.rows(&format!("SELECT userid, friendid FROM friend WHERE {condition}"), &values).await?;
    rows.iter().map(|row| Ok(Conversation::direct(row.number(0)?, row.number(1)?))).collect()
}

pub async fn are_friends(conn: &mut dyn Connection, one: UserId, other: UserId) -> Result<bool> {
    const FIND: &str = "SELECT 1 FROM friend WHERE userid = ? AND friendid = ?";
    Ok(conn.first(FIND, &[one.into(), other.into()]).await?.is_some())
}

/// A sender whose user row is gone still has sent: without a name, but never a hole in the log.
const MESSAGE: &str = "SELECT m.seq, m.sender, COALESCE(u.name, ''), m.body, m.time, m.mid, m.sent_as, m.log_epoch \
                       FROM message m LEFT JOIN user u ON u.id = m.sender WHERE m.conv = ? AND";

pub async fn messages_after(
    conn: &mut dyn Connection,
    conv: Conversation,
    after: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<Page> {
    read_page(conn, conv, "m.seq > ? ORDER BY m.seq LIMIT ?", after, limit, max_bytes).await
}

pub async fn messages_before(
    conn: &mut dyn Connection,
    conv: Conversation,
    before: Option<u64>,
    limit: u32,
    max_bytes: usize,
) -> Result<Page> {
    let before = before.unwrap_or(u64::MAX);
    let mut page = read_page(conn, conv, "m.seq < ? ORDER BY m.seq DESC LIMIT ?", before, limit, max_bytes).await?;
    page.messages.reverse();
    Ok(page)
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
    let mut page = Page { messages: Vec::with_capacity(rows.len()), more: false };
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

/// The log epoch in a column.
pub fn epoch(row: &Row, at: usize) -> Result<LogEpoch> {
    let number = row.number(at)?;
    Ok(LogEpoch::try_from(number).map_err(|_| Error::Unusable(format!("the database holds a log epoch {number}")))?)
}

/// The conversation named in a column.
pub fn conversation(row: &Row, at: usize) -> Result<Conversation> {
    let name = row.text(at)?;
    Ok(name.parse().map_err(|_| Error::Unusable(format!("the database holds a conversation named {name:?}")))?)
}
