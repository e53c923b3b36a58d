//! What operators do to accounts and their sessions.
//!
//! All is decided under the lock of the session's row, as a login is: who logs in at the same moment comes before, and
//! the session ends, or after, and is refused.

use super::accounts::set_generation;
use super::nodes::JOIN_LIVE_NODE;
use super::session_rows::{SessionRow, lock_rows, make_missing_rows};
use super::sessions::is_live;
use super::storage::{SqlStorage, read, transaction};
use crate::cluster::{NodeId, NodeKey};
use crate::storage::engine::{Connection, Result};
use crate::storage::{self, Holder, Order, Ordered, Orders};
use async_trait::async_trait;
use chat_protocol::conversation::UserId;

#[async_trait]
impl Orders for SqlStorage {
    async fn order(&self, user: UserId, order: &Order) -> storage::Result<Option<Ordered>> {
        transaction!(self, conn => carry_out(conn, user, order), in doubt Option::is_none)
    }

    async fn holder(&self, user: UserId) -> storage::Result<Option<Holder>> {
        read!(self, conn => holder(conn, user))
    }
}

async fn carry_out(conn: &mut dyn Connection, user: UserId, order: &Order) -> Result<Option<Ordered>> {
    let Some(row) = lock_or_make_row(conn, user).await? else { return Ok(None) };
    match order {
        Order::Kick => {}
        Order::Disable => set_disabled(conn, user, 1).await?,
        Order::Enable => set_disabled(conn, user, 0).await?,
        Order::ResetPassword { hash } => {
            conn.run("UPDATE user SET password = ? WHERE id = ?", &[hash.as_str().into(), user.into()]).await?;
        }
        Order::EndTokens => {}
    }
    if !matches!(order, Order::Kick | Order::Enable) {
        set_generation(conn, user, row.token_generation + 1).await?;
    }
    let mut ordered = Ordered { ends: None, was_disabled: row.is_disabled };
    if let (Some(reason), Some(node)) = (order.ends_session(), row.node) {
        // Also where the node is called gone: it may come back, and its session with it.
        const ASK: &str = "UPDATE session SET asked = 1, asked_why = ? WHERE userid = ?";
        conn.run(ASK, &[u32::from(reason as u8).into(), user.into()]).await?;
        let key = NodeKey { id: NodeId(node), boot: row.boot };
        ordered.ends = is_live(conn, &key).await?.then_some(Holder { node: key, epoch: row.epoch });
    }
    Ok(Some(ordered))
}

/// `None`: no such user. A row may outlive its user, if somebody deletes users by hand.
async fn lock_or_make_row(conn: &mut dyn Connection, user: UserId) -> Result<Option<SessionRow>> {
    if conn.first("SELECT 1 FROM user WHERE id = ?", &[user.into()]).await?.is_none() {
        return Ok(None);
    }
    if let Some(row) = lock_rows(conn, &[user]).await?.remove(&user) {
        return Ok(Some(row));
    }
    make_missing_rows(conn, &[user]).await?;
    Ok(lock_rows(conn, &[user]).await?.remove(&user))
}

async fn set_disabled(conn: &mut dyn Connection, user: UserId, disabled: u32) -> Result<()> {
    conn.run("UPDATE session SET disabled = ? WHERE userid = ?", &[disabled.into(), user.into()]).await?;
    Ok(())
}

async fn holder(conn: &mut dyn Connection, user: UserId) -> Result<Option<Holder>> {
    let sql =
        format!("SELECT n.id, n.boot, s.epoch FROM session s {JOIN_LIVE_NODE} WHERE s.userid = ? AND n.id IS NOT NULL");
    let Some(row) = conn.first(&sql, &[user.into()]).await? else { return Ok(None) };
    let node = NodeKey { id: NodeId(row.text(0)?), boot: row.int(1)? };
    Ok(Some(Holder { node, epoch: row.number(2)? }))
}
