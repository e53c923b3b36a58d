//! The rows of sessions, the locks on them, and the sessions in whose name something changes.
//!
//! Rows that another transaction holds are passed over where that is enough, not waited for: one user's trouble is
//! nobody else's.

use super::lists::list;
use crate::cluster::NodeKey;
use crate::storage::engine::{Connection, Result};
use crate::storage::{Actor, Error};
use chat_protocol::conversation::UserId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Users in one statement.
pub const USERS_AT_ONCE: usize = 512;

/// Makes the session rows of users that have none, for example since an import.
pub async fn make_missing_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<()> {
    let dialect = conn.dialect();
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        let rows = format!("INTO session (userid) SELECT id FROM user WHERE id IN {placeholders}");
        conn.run(&dialect.insert_ignore(&rows), &values).await?;
    }
    Ok(())
}

/// A `session` row.
pub struct SessionRow {
    pub node: Option<Arc<str>>,
    pub boot: i64,
    pub epoch: u64,
    pub token_generation: u64,
    pub is_disabled: bool,
}

impl SessionRow {
    pub fn is_of(&self, key: &NodeKey) -> bool {
        self.node.as_deref() == Some(&*key.id.0) && self.boot == key.boot
    }
}

/// Ascending by user; `locking` is one of the dialect's.
pub async fn read_rows(
    conn: &mut dyn Connection,
    users: &[UserId],
    locking: &str,
) -> Result<BTreeMap<UserId, SessionRow>> {
    let by_key = conn.dialect().by_primary_key;
    let mut rows = BTreeMap::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        let sql = format!(
            "SELECT userid, node, boot, epoch, token_generation, disabled FROM session{by_key} \
             WHERE userid IN {placeholders} ORDER BY userid{locking}"
        );
        for row in conn.rows(&sql, &values).await? {
            let session = SessionRow {
                node: row.text_or_null(1)?,
                boot: row.int(2)?,
                epoch: row.number(3)?,
                token_generation: row.number(4)?,
                is_disabled: row.flag(5)?,
            };
            rows.insert(row.number(0)?, session);
        }
    }
    Ok(rows)
}

pub async fn lock_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<BTreeMap<UserId, SessionRow>> {
    let for_update = conn.dialect().for_update;
    read_rows(conn, users, for_update).await
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
pub async fn confirm_all(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<BTreeMap<UserId, u64>> {
    let (by_key, for_share) = (conn.dialect().by_primary_key, conn.dialect().for_share);
    let mut epochs = BTreeMap::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, mut values) = list(users);
        let sql = format!(
            "SELECT userid, epoch FROM session{by_key} WHERE userid IN {placeholders} AND node = ? AND boot = ? \
             ORDER BY userid{for_share}"
        );
        values.extend([(&*key.id.0).into(), key.boot.into()]);
        for row in conn.rows(&sql, &values).await? {
            epochs.insert(row.number(0)?, row.number(1)?);
        }
    }
    Ok(epochs)
}

/// Locks the rows of the users that exist, but for those that another transaction holds.
pub async fn lock_or_make_rows(conn: &mut dyn Connection, users: &[UserId]) -> Result<BTreeMap<UserId, SessionRow>> {
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

/// Runs `UPDATE change IN (users)`.
pub async fn update(conn: &mut dyn Connection, change: &str, users: &[UserId]) -> Result<()> {
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        conn.run(&format!("UPDATE {change} IN {placeholders}"), &values).await?;
    }
    Ok(())
}
