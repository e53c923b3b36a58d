//! Who is logged in where: one `session` row per user, which counts while the lease of the node in it runs.
//!
//! A row is changed only under its lock. Whoever takes a session from a node whose lease has run out also locks that
//! node's row first and looks again: a late renewal then either comes before, and the session stays, or after, and finds
//! the session gone. So two nodes never both hold a session.

use super::executor::{Connection, Dialect, Result, list};
use super::nodes::milliseconds;
use crate::cluster::{NodeId, NodeKey};
use crate::protocol::conversation::UserId;
use crate::storage::{Claim, Claimed, Release};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Users in one statement.
const USERS_AT_ONCE: usize = 512;
/// Users whose `state` is put right in one transaction.
const TIDIED_AT_ONCE: u32 = 256;

/// Joins `session s` to the node that holds it, with columns NULL where the session does not count.
pub fn join_live_node(dialect: &Dialect) -> String {
    format!("LEFT JOIN node n ON n.id = s.node AND n.boot = s.boot AND n.lease_until > {}", dialect.now_ms)
}

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
        let outcome = match rows.get(&claim.user).filter(|_| existing.contains(&claim.user)) {
            None => Claimed::NoSuchUser,
            Some(row) => match holders.lease_left(row) {
                None => Claimed::Won { epoch: row.epoch + 1 },
                Some((node, lease_left)) => Claimed::Held { node, epoch: row.epoch, lease_left },
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

pub async fn release(conn: &mut dyn Connection, key: &NodeKey, releases: &[Release]) -> Result<()> {
    let users = users_of(releases);
    let rows = lock_rows(conn, &users).await?;
    let released: BTreeSet<UserId> = releases
        .iter()
        .filter(|release| rows.get(&release.user).is_some_and(|row| row.is_of(key) && row.epoch == release.epoch))
        .map(|release| release.user)
        .collect();
    let released: Vec<UserId> = released.into_iter().collect();
    update(conn, "session SET node = NULL, asked = 0 WHERE userid", &released).await?;
    update(conn, "user SET state = 'offline' WHERE id", &released).await
}

pub async fn routes(conn: &mut dyn Connection, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>> {
    let join = join_live_node(conn.dialect());
    let mut routes = Vec::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        let sql = format!("SELECT s.userid, n.id FROM session s {join} WHERE s.userid IN {marks} AND n.id IS NOT NULL");
        for row in conn.rows(&sql, &values).await? {
            routes.push((row.number(0)?, NodeId(row.text(1)?)));
        }
    }
    Ok(routes)
}

pub async fn still_held(conn: &mut dyn Connection, key: &NodeKey, held: &[Release]) -> Result<Vec<Release>> {
    let users = users_of(held);
    let rows = read_rows(conn, &users, "").await?;
    let is_held =
        |release: &&Release| rows.get(&release.user).is_some_and(|row| row.is_of(key) && row.epoch == release.epoch);
    Ok(held.iter().filter(is_held).copied().collect())
}

/// Puts the states of some users right whose session's holder is gone. True: there may be more of them.
pub async fn tidy_some_states(conn: &mut dyn Connection) -> Result<bool> {
    let stale = format!(
        "SELECT s.userid FROM session s JOIN user u ON u.id = s.userid AND u.state = 'online' {} \
         WHERE s.node IS NOT NULL AND n.id IS NULL LIMIT {TIDIED_AT_ONCE}",
        join_live_node(conn.dialect()),
    );
    let rows = conn.rows(&stale, &[]).await?;
    let users = rows.iter().map(|row| Ok(row.number(0)?)).collect::<Result<Vec<UserId>>>()?;
    if users.is_empty() {
        return Ok(false);
    }
    // Under the lock, none of them can log in meanwhile and be called offline.
    let rows = lock_rows(conn, &users).await?;
    let nobody = NodeKey { id: "".into(), boot: 0 };
    let holders = Holders::read(conn, &nobody, rows.values()).await?;
    let gone: Vec<UserId> = users
        .iter()
        .filter(|user| rows.get(user).is_none_or(|row| holders.lease_left(row).is_none()))
        .copied()
        .collect();
    update(conn, "user SET state = 'offline' WHERE id", &gone).await?;
    Ok(!gone.is_empty() && users.len() == TIDIED_AT_ONCE as usize)
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
struct SessionRow {
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

async fn lock_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<HashMap<UserId, SessionRow>> {
    let for_update = conn.dialect().for_update;
    read_rows(conn, users, for_update).await
}

async fn lock_or_make_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<HashMap<UserId, SessionRow>> {
    let rows = lock_rows(conn, users).await?;
    if rows.len() == users.len() {
        return Ok(rows);
    }
    make_missing_rows(conn, users).await?;
    lock_rows(conn, users).await
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

/// Runs `UPDATE change IN (users)`.
async fn update(conn: &mut dyn Connection, change: &str, users: &[UserId]) -> Result<()> {
    for users in users.chunks(USERS_AT_ONCE) {
        let (marks, values) = list(users);
        conn.run(&format!("UPDATE {change} IN {marks}"), &values).await?;
    }
    Ok(())
}

fn users_of(releases: &[Release]) -> Vec<UserId> {
    releases.iter().map(|release| release.user).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The other nodes that hold sessions, with a live lease.
struct Holders {
    live: HashMap<(Arc<str>, i64), Duration>,
}

impl Holders {
    async fn read<'a>(
        conn: &mut dyn Connection,
        own: &NodeKey,
        rows: impl Iterator<Item = &'a SessionRow> + Send,
    ) -> Result<Self> {
        let keys: BTreeSet<(Arc<str>, i64)> = rows
            .filter(|row| !row.is_of(own))
            .filter_map(|row| row.node.clone().map(|node| (node, row.boot)))
            .collect();
        let mut holders = Holders { live: HashMap::new() };
        if keys.is_empty() {
            return Ok(holders);
        }
        let mut lapsed: BTreeSet<&str> = BTreeSet::new();
        for (key, lease_left) in node_leases(conn, keys.iter().map(|(node, _)| &**node).collect(), "").await? {
            if keys.contains(&key) {
                if lease_left.is_zero() {
                    lapsed.extend(keys.get(&key).map(|(node, _)| &**node));
                } else {
                    holders.live.insert(key, lease_left);
                }
            }
        }
        if !lapsed.is_empty() {
            let for_share = conn.dialect().for_share;
            let renewed = node_leases(conn, lapsed, for_share).await?;
            holders.live.extend(renewed.into_iter().filter(|(_, lease_left)| !lease_left.is_zero()));
        }
        Ok(holders)
    }

    fn lease_left(&self, row: &SessionRow) -> Option<(NodeId, Duration)> {
        let node = row.node.clone()?;
        let lease_left = *self.live.get(&(node.clone(), row.boot))?;
        Some((NodeId(node), lease_left))
    }
}

async fn node_leases(
    conn: &mut dyn Connection,
    nodes: BTreeSet<&str>,
    locking: &str,
) -> Result<Vec<((Arc<str>, i64), Duration)>> {
    let nodes: Vec<&str> = nodes.into_iter().collect();
    let (marks, values) = list(&nodes);
    let now = conn.dialect().now_ms;
    let sql = format!("SELECT id, boot, lease_until - {now} FROM node WHERE id IN {marks} ORDER BY id{locking}");
    let rows = conn.rows(&sql, &values).await?;
    rows.iter().map(|row| Ok(((row.text(0)?, row.int(1)?), milliseconds(row.int(2)?)))).collect()
}
