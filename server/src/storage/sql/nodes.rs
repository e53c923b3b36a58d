//! Nodes and their leases, by the database's clock.
//!
//! A statement's time is taken when it begins: where it then waits for a lock, leases come out shorter than asked for and
//! are thought to run longer than they do, never the reverse.

use super::executor::{Connection, Result, Row};
use crate::cluster::{NodeId, NodeKey};
use crate::storage::{Error, NodeStart, Peer, Release, Renewal};
use std::time::Duration;

pub async fn start(conn: &mut dyn Connection, key: &NodeKey, lease: Duration) -> Result<NodeStart> {
    let dialect = conn.dialect();
    let lock = format!("SELECT boot, lease_until - {} FROM node WHERE id = ?{}", dialect.now_ms, dialect.for_update);
    let mut row = conn.first(&lock, &[(&*key.id.0).into()]).await?;
    if row.is_none() {
        make_row(conn, key).await?;
        row = conn.first(&lock, &[(&*key.id.0).into()]).await?;
    }
    if let Some(row) = row {
        let (boot, lease_left) = (row.int(0)?, milliseconds(row.int(1)?));
        if boot != key.boot && !lease_left.is_zero() {
            return Ok(NodeStart::Leased { boot, lease_left });
        }
    }
    let set = format!("UPDATE node SET boot = ?, lease_until = {} + ? WHERE id = ?", dialect.now_ms);
    conn.run(&set, &[key.boot.into(), whole_milliseconds(lease).into(), (&*key.id.0).into()]).await?;
    Ok(NodeStart::Ready)
}

pub async fn renew(conn: &mut dyn Connection, key: &NodeKey, lease: Duration) -> Result<Renewal> {
    if !extend(conn, key, lease).await? {
        // Either the row is another run's, or somebody emptied the table.
        make_row(conn, key).await?;
        if !extend(conn, key, lease).await? {
            return Err(Error::NodeReplaced(key.id.clone()).into());
        }
    }
    let live = conn.rows(&live_nodes(conn), &[]).await?.iter().map(peer).collect::<Result<_>>()?;
    const ASKED: &str = "SELECT userid, epoch FROM session WHERE node = ? AND asked = 1 AND boot = ?";
    let asked = conn.rows(ASKED, &[(&*key.id.0).into(), key.boot.into()]).await?;
    let asked =
        asked.iter().map(|row| Ok(Release { user: row.number(0)?, epoch: row.number(1)? })).collect::<Result<_>>()?;
    Ok(Renewal { live, asked })
}

pub async fn stop(conn: &mut dyn Connection, key: &NodeKey) -> Result<()> {
    const STOP: &str = "UPDATE node SET lease_until = 0 WHERE id = ? AND boot = ?";
    conn.run(STOP, &[(&*key.id.0).into(), key.boot.into()]).await?;
    Ok(())
}

/// What is left of a lease; nothing if it has run out.
pub fn milliseconds(left: i64) -> Duration {
    Duration::from_millis(left.max(0).unsigned_abs())
}

fn whole_milliseconds(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

async fn extend(conn: &mut dyn Connection, key: &NodeKey, lease: Duration) -> Result<bool> {
    let sql = format!("UPDATE node SET lease_until = {} + ? WHERE id = ? AND boot = ?", conn.dialect().now_ms);
    let values = [whole_milliseconds(lease).into(), (&*key.id.0).into(), key.boot.into()];
    Ok(conn.run(&sql, &values).await?.affected > 0)
}

async fn make_row(conn: &mut dyn Connection, key: &NodeKey) -> Result<()> {
    let sql = format!("{} INTO node (id, boot, lease_until) VALUES (?, ?, 0)", conn.dialect().insert_ignore);
    conn.run(&sql, &[(&*key.id.0).into(), key.boot.into()]).await?;
    Ok(())
}

fn live_nodes(conn: &dyn Connection) -> String {
    let now = conn.dialect().now_ms;
    format!("SELECT id, boot, lease_until - {now} FROM node WHERE lease_until > {now} ORDER BY id")
}

fn peer(row: &Row) -> Result<Peer> {
    let key = NodeKey { id: NodeId(row.text(0)?), boot: row.int(1)? };
    Ok(Peer { key, lease_left: milliseconds(row.int(2)?) })
}
