//! Nodes, and which of them live.
//!
//! A node counts its renewals in its row. Another that has watched the count stand still calls it gone by noting that
//! count in `gone`; the next renewal makes the two differ again. Both write the row, so of a late renewal and whoever
//! calls the node gone, or takes a session from it, one comes after the other and sees it. No clock takes part.

use super::lists::list;
use super::session_rows::{SessionRow, USERS_AT_ONCE, read_rows};
use super::storage::{SqlStorage, idempotent, read, transaction};
use crate::cluster::{EndReason, NodeId, NodeKey};
use crate::storage::engine::{Connection, Result, Row, Value};
use crate::storage::{self, EndAsked, Error, NodeStart, Nodes, Peer, Release, Renewal};
use async_trait::async_trait;
use chat_protocol::conversation::UserId;

/// Joins `session s` to the node that holds it, with columns NULL where the session does not count.
pub const JOIN_LIVE_NODE: &str = "LEFT JOIN node n ON n.id = s.node AND n.boot = s.boot AND n.gone <> n.renewals";

#[async_trait]
impl Nodes for SqlStorage {
    async fn start_node(&self, key: &NodeKey) -> storage::Result<NodeStart> {
        transaction!(self, conn => start(conn, key))
    }

    async fn renew_lease(&self, key: &NodeKey, list: bool) -> storage::Result<Renewal> {
        let settled = self.numbers.settled(key.boot);
        transaction!(self, reserved, conn => renew(conn, key, list, settled), in doubt |_| false)
    }

    async fn held_of(&self, key: &NodeKey, sessions: &[Release]) -> storage::Result<Vec<Release>> {
        self.bounded(async {
            let mut conn = self.engine.reserved().await?;
            sessions_that(&mut *conn, sessions, |row, session| row.is_of(key) && row.epoch == session.epoch).await
        })
        .await
    }

    async fn superseded(&self, sessions: &[Release]) -> storage::Result<Vec<Release>> {
        self.bounded(async {
            let mut conn = self.engine.reserved().await?;
            sessions_that(&mut *conn, sessions, |row, session| row.epoch > session.epoch).await
        })
        .await
    }

    async fn asked_of(&self, key: &NodeKey, users: &[UserId]) -> storage::Result<Vec<EndAsked>> {
        read!(self, conn => asked_of(conn, key, users), in doubt |asked| asked.len() < users.len())
    }

    async fn call_gone(&self, seen: &Peer) -> storage::Result<bool> {
        self.bounded(async {
            let mut conn = self.engine.reserved().await?;
            call_gone(&mut *conn, seen).await
        })
        .await
    }

    async fn stop_node(&self, key: &NodeKey) -> storage::Result<()> {
        idempotent!(self, conn => stop(conn, key))
    }
}

async fn start(conn: &mut dyn Connection, key: &NodeKey) -> Result<NodeStart> {
    make_row(conn, key).await?;
    let lock = format!("SELECT boot, renewals, gone FROM node WHERE id = ?{}", conn.dialect().for_update);
    let row = conn.first(&lock, &[(&*key.id.0).into()]).await?;
    let row = row.ok_or_else(|| Error::Unavailable("the node's row was removed while it was made".into()))?;
    let (boot, renewals, gone) = (row.int(0)?, row.number(1)?, row.number(2)?);
    if boot != key.boot && renewals != gone {
        return Ok(NodeStart::Taken(Peer { key: NodeKey { id: key.id.clone(), boot }, renewals }));
    }
    const START: &str = "UPDATE node SET boot = ?, renewals = renewals + 1, settled = 0 WHERE id = ?";
    conn.run(START, &[key.boot.into(), (&*key.id.0).into()]).await?;
    Ok(NodeStart::Ready)
}

/// `settled` is published with the renewal.
async fn renew(conn: &mut dyn Connection, key: &NodeKey, list: bool, settled: u64) -> Result<Renewal> {
    let mut made_anew = false;
    if !count_renewal(conn, key, settled).await? {
        // Either the row is another run's, or somebody emptied the table.
        make_row(conn, key).await?;
        made_anew = true;
        if !count_renewal(conn, key, settled).await? {
            return Err(Error::NodeReplaced(key.id.clone()).into());
        }
    }
    const LIVE: &str = "SELECT id, boot, renewals, takeovers FROM node WHERE gone <> renewals ORDER BY id";
    let rows = conn.rows(LIVE, &[]).await?;
    let own = rows.iter().find(|row| row.text(0).is_ok_and(|id| id == key.id.0));
    let takeovers = own.map(|row| row.number(3)).transpose()?.unwrap_or_default();
    let live = rows.iter().map(peer).collect::<Result<_>>()?;
    let asked = sessions(conn, key, " AND asked = 1", Vec::new()).await?;
    let held = if list { sessions(conn, key, "", Vec::new()).await? } else { Vec::new() };
    let held = held.into_iter().map(|session| session.release).collect();
    Ok(Renewal { live, asked, takeovers, made_anew, held })
}

/// Those of the sessions whose rows pass the test.
async fn sessions_that(
    conn: &mut dyn Connection,
    sessions: &[Release],
    test: impl Fn(&SessionRow, &Release) -> bool,
) -> Result<Vec<Release>> {
    let users: Vec<UserId> = sessions.iter().map(|session| session.user).collect();
    let rows = read_rows(conn, &users, "").await?;
    let passes = |session: &&Release| rows.get(&session.user).is_some_and(|row| test(row, session));
    Ok(sessions.iter().filter(passes).copied().collect())
}

async fn call_gone(conn: &mut dyn Connection, seen: &Peer) -> Result<bool> {
    const CALL: &str = "UPDATE node SET gone = renewals WHERE id = ? AND boot = ? AND renewals = ?";
    let values = [(&*seen.key.id.0).into(), seen.key.boot.into(), seen.renewals.into()];
    Ok(conn.run(CALL, &values).await?.affected > 0)
}

async fn stop(conn: &mut dyn Connection, key: &NodeKey) -> Result<()> {
    const STOP: &str = "UPDATE node SET gone = renewals WHERE id = ? AND boot = ?";
    conn.run(STOP, &[(&*key.id.0).into(), key.boot.into()]).await?;
    Ok(())
}

/// Notes in the row of a node that is gone that sessions are taken from it. False: it is back, or another run has its
/// name.
pub async fn take_over(conn: &mut dyn Connection, key: &NodeKey) -> Result<bool> {
    const TAKE: &str = "UPDATE node SET takeovers = takeovers + 1 WHERE id = ? AND boot = ? AND gone = renewals";
    Ok(conn.run(TAKE, &[(&*key.id.0).into(), key.boot.into()]).await?.affected > 0)
}

async fn count_renewal(conn: &mut dyn Connection, key: &NodeKey, settled: u64) -> Result<bool> {
    const COUNT: &str = "UPDATE node SET renewals = renewals + 1, settled = ? WHERE id = ? AND boot = ?";
    Ok(conn.run(COUNT, &[settled.into(), (&*key.id.0).into(), key.boot.into()]).await?.affected > 0)
}

/// Leaves a row that is there as it is. A new one is that of a node that is gone.
async fn make_row(conn: &mut dyn Connection, key: &NodeKey) -> Result<()> {
    let insert = conn.dialect().insert_ignore("INTO node (id, boot) VALUES (?, ?)");
    conn.run(&insert, &[(&*key.id.0).into(), key.boot.into()]).await?;
    Ok(())
}

async fn asked_of(conn: &mut dyn Connection, key: &NodeKey, users: &[UserId]) -> Result<Vec<EndAsked>> {
    let mut asked = Vec::new();
    for users in users.chunks(USERS_AT_ONCE) {
        let (placeholders, values) = list(users);
        asked.extend(sessions(conn, key, &format!(" AND asked = 1 AND userid IN {placeholders}"), values).await?);
    }
    Ok(asked)
}

/// The run's sessions that meet a condition, whose parameters are `values`.
async fn sessions(
    conn: &mut dyn Connection,
    key: &NodeKey,
    condition: &str,
    mut values: Vec<Value>,
) -> Result<Vec<EndAsked>> {
    let sql = format!("SELECT userid, epoch, asked_why FROM session WHERE node = ? AND boot = ?{condition}");
    values.splice(0..0, [(&*key.id.0).into(), key.boot.into()]);
    let rows = conn.rows(&sql, &values).await?;
    let session = |row: &Row| {
        let release = Release { user: row.number(0)?, epoch: row.number(1)? };
        // A reason that only a later release knows is an operator's.
        let reason = u8::try_from(row.number(2)?).ok().and_then(EndReason::from_repr).unwrap_or(EndReason::Kicked);
        Ok(EndAsked { release, reason })
    };
    rows.iter().map(session).collect()
}

fn peer(row: &Row) -> Result<Peer> {
    Ok(Peer { key: NodeKey { id: NodeId(row.text(0)?), boot: row.int(1)? }, renewals: row.number(2)? })
}
