//! Who is logged in where: one `session` row per user, which counts while the node in it is not called gone.
//!
//! A row is changed only under its lock. Whoever takes sessions from a node that is called gone writes that node's row
//! in the same transaction: a late renewal then either comes before, and the session stays, or after, and finds the
//! session gone. So two nodes never both hold a session. Rows that another transaction holds are passed over, not
//! waited for: one user's trouble is nobody else's.

use super::lists::list;
use super::nodes::{JOIN_LIVE_NODE, take_over};
use super::session_rows::{SessionRow, USERS_AT_ONCE, lock_or_make_rows, lock_rows, read_rows, update};
use super::storage::{SqlStorage, read, transaction};
use super::tidying;
use crate::cluster::{EndReason, NodeId, NodeKey};
use crate::storage::engine::{Connection, Result};
use crate::storage::{self, Claim, Claimed, Release, Sessions};
use async_trait::async_trait;
use chat_protocol::conversation::UserId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

#[async_trait]
impl Sessions for SqlStorage {
    async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> storage::Result<Vec<Claimed>> {
        transaction!(self, conn => claim(conn, key, claims))
    }

    async fn release_sessions(&self, key: &NodeKey, releases: &[Release]) -> storage::Result<Vec<UserId>> {
        transaction!(self, conn => release(conn, key, releases))
    }

    async fn disown_sessions(&self, key: &NodeKey, users: &[UserId]) -> storage::Result<()> {
        transaction!(self, conn => disown(conn, key, users))
    }

    async fn withdraw_takeovers(&self, users: &[UserId]) -> storage::Result<Vec<UserId>> {
        transaction!(self, conn => withdraw(conn, users))
    }

    async fn routes(&self, users: &[UserId]) -> storage::Result<Vec<(UserId, NodeId)>> {
        read!(self, conn => routes(conn, users))
    }

    async fn next_holder(&self, after: &NodeId) -> storage::Result<Option<NodeId>> {
        read!(self, conn => tidying::next_holder(conn, after))
    }

    async fn tidy_sessions(&self, node: &NodeId, after: UserId) -> storage::Result<Option<UserId>> {
        transaction!(self, conn => tidying::tidy(conn, node, after))
    }
}

async fn claim(conn: &mut dyn Connection, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>> {
    let users: Vec<UserId> = claims.iter().map(|claim| claim.user).collect::<BTreeSet<_>>().into_iter().collect();
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let rows = lock_or_make_rows(conn, &users).await?;
    let holders = Holders::read(conn, key, rows.values()).await?;
    let existing = existing_users(conn, &users).await?;

    let (mut won, mut asked) = (Vec::new(), Vec::new());
    let mut outcomes = Vec::with_capacity(claims.len());
    for claim in claims {
        let outcome = match rows.get(&claim.user) {
            _ if !existing.contains(&claim.user) => Claimed::NoSuchUser,
            None => Claimed::Busy,
            Some(row) if row.is_disabled => Claimed::Disabled,
            Some(row) if claim.token_generation.is_some_and(|known| known != row.token_generation) => Claimed::Outdated,
            Some(row) => match holders.of(row) {
                None => Claimed::Won { epoch: row.epoch + 1 },
                Some(node) => Claimed::Held { node, epoch: row.epoch },
            },
        };
        match outcome {
            Claimed::Won { .. } => won.push(claim.user),
            // Asked under the lock, after whatever had to be waited for.
            Claimed::Held { .. } if claim.takeover.as_ref().is_some_and(|by| by.is_waiting()) => asked.push(claim.user),
            _ => {}
        }
        outcomes.push(outcome);
    }
    won.sort_unstable();
    asked.sort_unstable();
    take(conn, key, &won).await?;
    // Why is not touched: an operator's reason stands, and there is no other.
    update(conn, "session SET asked = 1 WHERE userid", &asked).await?;
    Ok(outcomes)
}

async fn release(conn: &mut dyn Connection, key: &NodeKey, releases: &[Release]) -> Result<Vec<UserId>> {
    let users: Vec<UserId> = releases.iter().map(|release| release.user).collect::<BTreeSet<_>>().into_iter().collect();
    let skip_locked = conn.dialect().for_update_skip_locked;
    let rows = read_rows(conn, &users, skip_locked).await?;
    let is_held =
        |release: &&Release| rows.get(&release.user).is_some_and(|row| row.is_of(key) && row.epoch == release.epoch);
    let held: BTreeSet<UserId> = releases.iter().filter(is_held).map(|release| release.user).collect();
    free(conn, &held.into_iter().collect::<Vec<_>>()).await?;
    passed_over(conn, &users, &rows).await
}

async fn disown(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<()> {
    let users: Vec<UserId> = users.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let rows = lock_rows(conn, &users).await?;
    let own: Vec<UserId> = users.into_iter().filter(|user| rows.get(user).is_some_and(|row| row.is_of(key))).collect();
    free(conn, &own).await
}

async fn withdraw(conn: &mut dyn Connection, users: &[UserId]) -> Result<Vec<UserId>> {
    let skip_locked = conn.dialect().for_update_skip_locked;
    let rows = read_rows(conn, users, skip_locked).await?;
    let change = format!("session SET asked = 0 WHERE asked_why = {} AND userid", EndReason::LoginElsewhere as i64);
    update(conn, &change, &rows.keys().copied().collect::<Vec<_>>()).await?;
    passed_over(conn, users, &rows).await
}

/// Whose rows were not read because another transaction holds them.
async fn passed_over(
    conn: &mut dyn Connection,
    users: &[UserId],
    rows: &BTreeMap<UserId, SessionRow>,
) -> Result<Vec<UserId>> {
    let passed_over: Vec<UserId> = users.iter().filter(|user| !rows.contains_key(user)).copied().collect();
    Ok(read_rows(conn, &passed_over, "").await?.into_keys().collect())
}

async fn routes(conn: &mut dyn Connection, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>> {
    let mut routes = Vec::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        let sql = format!(
            "SELECT s.userid, n.id FROM session s {JOIN_LIVE_NODE} \
             WHERE s.userid IN {placeholders} AND n.id IS NOT NULL"
        );
        for row in conn.rows(&sql, &values).await? {
            routes.push((row.number(0)?, NodeId(row.text(1)?)));
        }
    }
    Ok(routes)
}

/// A session row may outlive its user, if somebody deletes users by hand.
async fn existing_users(conn: &mut dyn Connection, users: &[UserId]) -> Result<HashSet<UserId>> {
    let mut existing = HashSet::with_capacity(users.len());
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        for row in conn.rows(&format!("SELECT id FROM user WHERE id IN {placeholders}"), &values).await? {
            existing.insert(row.number(0)?);
        }
    }
    Ok(existing)
}

async fn take(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<()> {
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, mut values) = list(users);
        values.splice(0..0, [(&*key.id.0).into(), key.boot.into()]);
        let sql = format!(
            "UPDATE session SET node = ?, boot = ?, epoch = epoch + 1, asked = 0, asked_why = 0 \
             WHERE userid IN {placeholders}"
        );
        conn.run(&sql, &values).await?;
    }
    update(conn, "user SET state = 'online' WHERE id", users).await
}

async fn free(conn: &mut dyn Connection, users: &[UserId]) -> Result<()> {
    update(conn, "session SET node = NULL, asked = 0, asked_why = 0 WHERE userid", users).await?;
    update(conn, "user SET state = 'offline' WHERE id", users).await
}

/// The other nodes that hold sessions and are not gone.
struct Holders {
    live: HashSet<(Arc<str>, i64)>,
}

impl Holders {
    /// Takes over from those that are gone: what they hold is free until the transaction ends.
    async fn read<'a>(
        conn: &mut dyn Connection,
        own: &NodeKey,
        rows: impl Iterator<Item = &'a SessionRow> + Send,
    ) -> Result<Self> {
        let keys: BTreeSet<(Arc<str>, i64)> = rows
            .filter(|row| !row.is_of(own))
            .filter_map(|row| row.node.clone().map(|node| (node, row.boot)))
            .collect();
        let mut holders = Holders { live: HashSet::new() };
        if keys.is_empty() {
            return Ok(holders);
        }
        holders.live = live_nodes(conn).await?;
        holders.live.remove(&(own.id.0.clone(), own.boot));
        // An earlier run of a node cannot come back. One whose row is missing makes it anew, and then compares.
        for (node, boot) in keys.into_iter().filter(|key| !holders.live.contains(key)).collect::<Vec<_>>() {
            let key = NodeKey { id: NodeId(node.clone()), boot };
            if !take_over(conn, &key).await? && is_live(conn, &key).await? {
                holders.live.insert((node, boot));
            }
        }
        Ok(holders)
    }

    fn of(&self, row: &SessionRow) -> Option<NodeKey> {
        let key = (row.node.clone()?, row.boot);
        self.live.contains(&key).then_some(NodeKey { id: NodeId(key.0), boot: key.1 })
    }
}

async fn live_nodes(conn: &mut dyn Connection) -> Result<HashSet<(Arc<str>, i64)>> {
    let rows = conn.rows("SELECT id, boot FROM node WHERE gone <> renewals", &[]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
}

pub async fn is_live(conn: &mut dyn Connection, key: &NodeKey) -> Result<bool> {
    const FIND: &str = "SELECT 1 FROM node WHERE id = ? AND boot = ? AND gone <> renewals";
    Ok(conn.first(FIND, &[(&*key.id.0).into(), key.boot.into()]).await?.is_some())
}
