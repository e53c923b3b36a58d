//! Puts right what the sessions of dead runs left behind, a few rows at a time.
//!
//! Nothing depends on it: a session counts only while its holder lives. `user.state` is for the eyes of those who read
//! the table, and rows that are free need not be looked at again. So nobody is made to wait: a step looks at few rows,
//! found by index whatever the size of the tables, and locks only those that it changes.

use super::lists::list;
use super::nodes::JOIN_LIVE_NODE;
use super::session_rows::{lock_rows, update};
use crate::cluster::NodeId;
use crate::storage::engine::{Connection, Result, Value};
use chat_protocol::conversation::UserId;

/// Session rows looked at in one step.
const STEP: u32 = 256;

pub async fn next_holder(conn: &mut dyn Connection, after: &NodeId) -> Result<Option<NodeId>> {
    const NEXT: &str = "SELECT node FROM session WHERE node > ? ORDER BY node LIMIT 1";
    let row = conn.first(NEXT, &[(&*after.0).into()]).await?;
    Ok(row.map(|row| row.text(0)).transpose()?.map(NodeId))
}

pub async fn tidy(conn: &mut dyn Connection, node: &NodeId, after: UserId) -> Result<Option<UserId>> {
    let users = held_by(conn, node, after).await?;
    let Some(last) = users.last().copied() else { return Ok(None) };
    let stale: Vec<UserId> = stale(conn, node, &users).await?.iter().map(|row| row.user).collect();
    if !stale.is_empty() {
        // Under the lock, none of them can log in meanwhile and be called offline.
        lock_rows(conn, &stale).await?;
        let stale = self::stale(conn, node, &stale).await?;
        let of =
            |which: fn(&Stale) -> bool| stale.iter().filter(|row| which(row)).map(|row| row.user).collect::<Vec<_>>();
        update(conn, "session SET node = NULL, asked = 0 WHERE userid", &of(|row| row.is_for_good)).await?;
        update(conn, "user SET state = 'offline' WHERE id", &of(|row| row.is_shown_online)).await?;
    }
    Ok(Some(last))
}

/// The users above `after` whose sessions some run of the node holds or held, a step of them, ascending.
async fn held_by(conn: &mut dyn Connection, node: &NodeId, after: UserId) -> Result<Vec<UserId>> {
    // By the index on (node, asked), in which users stand in order only for one value of `asked`.
    let asked = |value: u8| {
        format!(
            "SELECT userid FROM (SELECT userid FROM session WHERE node = ? AND asked = {value} AND userid > ? \
             ORDER BY userid LIMIT {STEP}) AS asked{value}"
        )
    };
    let sql = format!("{} UNION ALL {} ORDER BY userid LIMIT {STEP}", asked(0), asked(1));
    let (node, after): (Value, Value) = ((&*node.0).into(), after.into());
    let rows = conn.rows(&sql, &[node.clone(), after.clone(), node, after]).await?;
    rows.iter().map(|row| Ok(row.number(0)?)).collect()
}

/// A row whose holder is gone, and has left something to put right.
struct Stale {
    user: UserId,
    /// Another run has followed under the name, so the holder never comes back.
    is_for_good: bool,
    is_shown_online: bool,
}

async fn stale(conn: &mut dyn Connection, node: &NodeId, users: &[UserId]) -> Result<Vec<Stale>> {
    let (placeholders, mut values) = list(users);
    let sql = format!(
        "SELECT s.userid, latest.boot IS NOT NULL AND latest.boot <> s.boot, COALESCE(u.state, 'offline') = 'online' \
         FROM session s {JOIN_LIVE_NODE} LEFT JOIN node latest ON latest.id = s.node \
         LEFT JOIN user u ON u.id = s.userid WHERE s.userid IN {placeholders} AND s.node = ? AND n.id IS NULL"
    );
    values.push((&*node.0).into());
    let rows = conn.rows(&sql, &values).await?;
    let stale = rows
        .iter()
        .map(|row| Ok(Stale { user: row.number(0)?, is_for_good: row.flag(1)?, is_shown_online: row.flag(2)? }))
        .collect::<Result<Vec<_>>>()?;
    Ok(stale.into_iter().filter(|row| row.is_for_good || row.is_shown_online).collect())
}
