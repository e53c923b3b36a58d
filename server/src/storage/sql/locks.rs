//! The rows of conversations, and the locks on them.
//!
//! Whatever changes a conversation, be it a message or a member, first locks its row; so what is read under that lock
//! holds until the commit.

use super::age;
use super::changes::ChangeId;
use super::columns::{conversation, epoch};
use super::lists::list;
use crate::storage::engine::{Connection, Result};
use crate::storage::{AgeMs, Change, End, Error};
use chat_protocol::conversation::{Conversation, LogEpoch};
use std::collections::BTreeMap;

/// A conversation's row, locked until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub struct Locked {
    pub last_seq: u64,
    pub version: u64,
    pub log_epoch: LogEpoch,
    /// The cluster's age when it was locked, or before.
    pub cluster_age: AgeMs,
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
    let (placeholders, values) = list(convs);
    let by_key = conn.dialect().by_primary_key;
    let sql = format!(
        "SELECT id, last_seq, members_version, log_epoch, {} FROM conversation{by_key} WHERE id IN {placeholders} \
         ORDER BY id{locking}",
        age::COLUMN
    );
    let rows = conn.rows(&sql, &values).await?;
    rows.iter()
        .map(|row| {
            let (last_seq, version) = (row.number(1)?, row.number(2)?);
            let (log_epoch, cluster_age) = (epoch(row, 3)?, age::in_column(row, 4)?);
            Ok((conversation(row, 0)?, Locked { last_seq, version, log_epoch, cluster_age }))
        })
        .collect()
}

impl Locked {
    pub fn end(&self) -> End {
        End { log_epoch: self.log_epoch, seq: self.last_seq }
    }

    /// Whether the conversation has not got as far as is known of it.
    pub fn is_before(&self, known: &Change) -> bool {
        self.end() < known.end || self.version < known.version
    }
}

/// Locks the row, which it makes if it is missing.
pub async fn lock_or_make(conn: &mut dyn Connection, conv: Conversation) -> Result<Locked> {
    if let Some(locked) = lock(conn, conv).await? {
        return Ok(locked);
    }
    let make = conn.dialect().insert_ignore("INTO conversation (id) VALUES (?)");
    conn.run(&make, &[conv.into()]).await?;
    let locked = lock(conn, conv).await?;
    Ok(locked.ok_or_else(|| Error::Unavailable(format!("conversation {conv} was removed while it was made")))?)
}

/// A locked conversation is known to have got further once. Where its log ends before, what is said from here on is of
/// another epoch than was ever known. Either way everyone is told as of a change of members, under a version that
/// nobody ever knew.
pub async fn make_up_for_loss(
    conn: &mut dyn Connection,
    locked: &mut Locked,
    known: Change,
    by: ChangeId,
) -> Result<()> {
    if locked.end() < known.end {
        locked.log_epoch = locked.log_epoch.max(known.end.log_epoch).saturating_add(1);
        const BEGIN: &str = "UPDATE conversation SET log_epoch = ?, epoch_after = last_seq WHERE id = ?";
        conn.run(BEGIN, &[locked.log_epoch.into(), known.conv.into()]).await?;
    }
    locked.version = locked.version.max(known.version).saturating_add(1);
    const RAISE: &str = "UPDATE conversation SET members_version = ?, changed_by = ?, change_number = ? WHERE id = ?";
    let values = [locked.version.into(), by.run.into(), by.number.into(), known.conv.into()];
    conn.run(RAISE, &values).await?;
    Ok(())
}

/// Tells everyone that the members of a locked conversation are others now.
pub async fn bump_version(conn: &mut dyn Connection, conv: Conversation, change: ChangeId) -> Result<()> {
    const BUMP: &str = "UPDATE conversation \
                        SET members_version = members_version + 1, changed_by = ?, change_number = ? WHERE id = ?";
    conn.run(BUMP, &[change.run.into(), change.number.into(), conv.into()]).await?;
    Ok(())
}
