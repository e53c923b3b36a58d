//! Who is in a conversation, and whether its users may post.

use super::columns::conversation;
use super::lists::{any_of, list};
use super::storage::{SqlStorage, read, transaction};
use super::{cursors, locks};
use crate::storage::engine::{Connection, Result, Value};
use crate::storage::{self, Audience, Conversations, Settled};
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, UserId};
use std::collections::{BTreeMap, BTreeSet};

#[async_trait]
impl Conversations for SqlStorage {
    async fn audiences(&self, convs: &[Conversation]) -> storage::Result<BTreeMap<Conversation, Audience>> {
        let in_doubt = |found: &BTreeMap<Conversation, Audience>| found.len() < convs.len();
        read!(self, conn => audiences(conn, convs), in doubt in_doubt)
    }

    async fn is_member(&self, conv: Conversation, user: UserId) -> storage::Result<bool> {
        read!(self, conn => is_member(conn, conv, user), in doubt |found: &bool| !found)
    }

    async fn settled(&self, conv: Conversation, user: UserId) -> storage::Result<Option<Settled>> {
        // At another server the lock of the transaction that is waited for is not to be seen.
        transaction!(self, conn => settled(conn, conv, user), in doubt |_| true)
    }
}

async fn is_member(conn: &mut dyn Connection, conv: Conversation, user: UserId) -> Result<bool> {
    const FIND: &str = "SELECT 1 FROM member WHERE conv = ? AND userid = ?";
    Ok(conn.first(FIND, &[conv.into(), user.into()]).await?.is_some())
}

/// The conversation as it is when whoever holds it has let go of it.
async fn settled(conn: &mut dyn Connection, conv: Conversation, user: UserId) -> Result<Option<Settled>> {
    if locks::lock(conn, conv).await?.is_none() {
        return Ok(None);
    }
    let Some(audience) = audiences(conn, &[conv]).await?.remove(&conv) else { return Ok(None) };
    let position = cursors::positions(conn, &[(conv, user)]).await?.into_iter().next().flatten();
    Ok(Some(Settled { audience, position }))
}

/// The audiences of those conversations that exist. Where the caller has locked them, they are so until it commits.
pub async fn audiences(conn: &mut dyn Connection, convs: &[Conversation]) -> Result<BTreeMap<Conversation, Audience>> {
    if convs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (placeholders, values) = list(convs);
    let by_key = conn.dialect().by_primary_key;
    // One statement, so one moment; each version is that of the very members read.
    let sql = format!(
        "SELECT c.id, c.members_version, m.userid FROM conversation c{by_key} \
         LEFT JOIN member m ON m.conv = c.id WHERE c.id IN {placeholders} ORDER BY c.id, m.userid"
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
async fn friends_among(conn: &mut dyn Connection, convs: &[Conversation]) -> Result<BTreeSet<Conversation>> {
    let pairs: Vec<(UserId, UserId)> = convs
        .iter()
        .filter_map(|conv| match conv {
            Conversation::Direct(low, high) => Some((*low, *high)),
            Conversation::Group(_) => None,
        })
        .collect();
    if pairs.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (condition, values) = any_of(["userid", "friendid"], &pairs);
    let rows = conn.rows(&format!("SELECT userid, friendid FROM friend WHERE {condition}"), &values).await?;
    rows.iter().map(|row| Ok(Conversation::direct(row.number(0)?, row.number(1)?))).collect()
}

pub async fn are_friends(conn: &mut dyn Connection, one: UserId, other: UserId) -> Result<bool> {
    const FIND: &str = "SELECT 1 FROM friend WHERE userid = ? AND friendid = ?";
    Ok(conn.first(FIND, &[one.into(), other.into()]).await?.is_some())
}
