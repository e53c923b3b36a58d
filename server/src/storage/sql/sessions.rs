//! Who is logged in where: one `session` row per user, which counts while the node in it is not called gone.
//!
//! A row is changed only under its lock. Whoever takes sessions from a node that is called gone writes that node's row
//! in the same transaction: a late renewal then either comes before, and the session stays, or after, and finds the
//! session gone. So two nodes never both hold a session. Rows that another transaction holds are passed over, not
//! waited for: one user's trouble is nobody else's.

use crate::storage::engine::{Connection, Result, list};
use super::nodes::{JOIN_LIVE_NODE, take_over};
use crate::cluster::{NodeId, NodeKey};
use crate::storage::{Actor, Claim, Claimed, Error, Release};
use chat_protocol::conversation::UserId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Users in one statement.
const USERS_AT_ONCE: usize = 512;

pub async fn claim(conn: &mut dyn Connection, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>> {
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
    update(conn, "session SET asked = 1 WHERE userid", &asked).await?;
    Ok(outcomes)
}

pub async fn release(conn: &mut dyn Connection, key: &NodeKey, releases: &[Release]) -> Result<Vec<UserId>> {
    let users: Vec<UserId> = releases.iter().map(|release| release.user).collect::<BTreeSet<_>>().into_iter().collect();
    let skip_locked = conn.dialect().for_update_skip_locked;
    let rows = read_rows(conn, &users, skip_locked).await?;
    let is_held =
        |release: &&Release| rows.get(&release.user).is_some_and(|row| row.is_of(key) && row.epoch == release.epoch);
    let held: BTreeSet<UserId> = releases.iter().filter(is_held).map(|release| release.user).collect();
    free(conn, &held.into_iter().collect::<Vec<_>>()).await?;
    let passed_over: Vec<UserId> = users.into_iter().filter(|user| !rows.contains_key(user)).collect();
    Ok(read_rows(conn, &passed_over, "").await?.into_keys().collect())
}

pub async fn disown(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<()> {
    let users: Vec<UserId> = users.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let rows = lock_rows(conn, &users).await?;
    let own: Vec<UserId> = users.into_iter().filter(|user| rows.get(user).is_some_and(|row| row.is_of(key))).collect();
    free(conn, &own).await
}

/// Keeps the actor's session from being released or taken over until the transaction ends; [`Error::SessionGone`] if it
/// has been.
pub async fn confirm(conn: &mut dyn Connection, by: &Actor) -> Result<()> {
    let Some(session) = &by.session else { return Ok(()) };
    let confirmed = confirm_all(conn, &session.node, &[by.user]).await?;
    match confirmed.get(&by.user) {
        Some(epoch) if *epoch == session.epoch => Ok(()),
        _ => Err(Error::SessionGone.into()),
    }
}

/// The same for many: the epoch of each user's session that is this run's.
pub async fn confirm_all(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<HashMap<UserId, u64>> {
    let for_share = conn.dialect().for_share;
    let rows = read_rows(conn, users, for_share).await?;
    Ok(rows.into_iter().filter(|(_, row)| row.is_of(key)).map(|(user, row)| (user, row.epoch)).collect())
}

pub async fn routes(conn: &mut dyn Connection, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>> {
    let mut routes = Vec::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        let sql = format!(
            "SELECT s.userid, n.id FROM session s {JOIN_LIVE_NODE} WHERE s.userid IN {marks} AND n.id IS NOT NULL"
        );
        for row in conn.rows(&sql, &values).await? {
            routes.push((row.number(0)?, NodeId(row.text(1)?)));
        }
    }
    Ok(routes)
}

/// Makes the session rows of users that have none, for example since an import.
pub async fn make_missing_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<()> {
    let insert = conn.dialect().insert_ignore;
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        conn.run(&format!("{insert} INTO session (userid) SELECT id FROM user WHERE id IN {marks}"), &values).await?;
    }
    Ok(())
}

/// A `session` row.
pub struct SessionRow {
    node: Option<Arc<str>>,
    boot: i64,
    epoch: u64,
}

impl SessionRow {
    fn is_of(&self, key: &NodeKey) -> bool {
        self.node.as_deref() == Some(&*key.id.0) && self.boot == key.boot
    }
}

/// Ascending by user; `locking` is one of the dialect's.
async fn read_rows(conn: &mut dyn Connection, users: &[UserId], locking: &str) -> Result<HashMap<UserId, SessionRow>> {
    let by_key = conn.dialect().by_primary_key;
    let mut rows = HashMap::with_capacity(users.len());
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        let sql = format!(
            "SELECT userid, node, boot, epoch FROM session{by_key} WHERE userid IN {marks} ORDER BY userid{locking}"
        );
        for row in conn.rows(&sql, &values).await? {
            let session = SessionRow { node: row.text_or_null(1)?, boot: row.int(2)?, epoch: row.number(3)? };
            rows.insert(row.number(0)?, session);
        }
    }
    Ok(rows)
}

pub async fn lock_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<HashMap<UserId, SessionRow>> {
    let for_update = conn.dialect().for_update;
    read_rows(conn, users, for_update).await
}

/// Locks the rows of the users that exist, but for those that another transaction holds.
async fn lock_or_make_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<HashMap<UserId, SessionRow>> {
    let skip_locked = conn.dialect().for_update_skip_locked;
    let mut rows = read_rows(conn, users, skip_locked).await?;
    if rows.len() < users.len() {
        let passed_over: Vec<UserId> = users.iter().filter(|user| !rows.contains_key(user)).copied().collect();
        let held = read_rows(conn, &passed_over, "").await?;
        let missing: Vec<UserId> = passed_over.into_iter().filter(|user| !held.contains_key(user)).collect();
        make_missing_rows(conn, &missing).await?;
        rows.extend(read_rows(conn, &missing, skip_locked).await?);
    }
    Ok(rows)
}

/// A session row may outlive its user, if somebody deletes users by hand.
async fn existing_users(conn: &mut dyn Connection, users: &[UserId]) -> Result<HashSet<UserId>> {
    let mut existing = HashSet::with_capacity(users.len());
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        for row in conn.rows(&format!("SELECT id FROM user WHERE id IN {marks}"), &values).await? {
            existing.insert(row.number(0)?);
        }
    }
    Ok(existing)
}

async fn take(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<()> {
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, mut values) = list(users);
        values.splice(0..0, [(&*key.id.0).into(), key.boot.into()]);
        let sql =
            format!("UPDATE session SET node = ?, boot = ?, epoch = epoch + 1, asked = 0 WHERE userid IN {marks}");
        conn.run(&sql, &values).await?;
    }
    update(conn, "user SET state = 'online' WHERE id", users).await
}

async fn free(conn: &mut dyn Connection, users: &[UserId]) -> Result<()> {
    update(conn, "session SET node = NULL, asked = 0 WHERE userid", users).await?;
    update(conn, "user SET state = 'offline' WHERE id", users).await
}

/// Runs `UPDATE change IN (users)`.
pub async fn update(conn: &mut dyn Connection, change: &str, users: &[UserId]) -> Result<()> {
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        conn.run(&format!("UPDATE {change} IN {marks}"), &values).await?;
    }
    Ok(())
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
        // An earlier run of a node cannot come back. One whose row is missing makes it anew, and then compares its sessions.
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

async fn is_live(conn: &mut dyn Connection, key: &NodeKey) -> Result<bool> {
    const FIND: &str = "SELECT 1 FROM node WHERE id = ? AND boot = ? AND gone <> renewals";
    Ok(conn.first(FIND, &[(&*key.id.0).into(), key.boot.into()]).await?.is_some())
}
