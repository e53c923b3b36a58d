//! The server fails, and another takes its place: with all that was committed, or without what came last.

use super::lagging::copy;
use super::{Database, StoredRow, messages};
use anyhow::Context;
use chat_protocol::conversation::{GroupId, UserId};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What only the server had that failed.
pub struct Loss {
    pub messages: Vec<StoredRow>,
    /// Who had joined which group.
    pub joined: Vec<(GroupId, UserId)>,
    /// Who had left which group.
    pub left: Vec<(GroupId, UserId)>,
    /// Users whose login was lost.
    pub logins: Vec<UserId>,
}

impl Database {
    /// After `behind` the server fails, and all connections with it; what is lost is all since now, or nothing if that
    /// is no time, and `told` at once. After `outage` another takes its place.
    pub async fn fail_over(self: &Arc<Self>, behind: Duration, outage: Duration, told: impl FnMut(Loss)) {
        let other = if behind.is_zero() { None } else { self.copy_of_now().await };
        let before = self.inner.lock().failures;
        sleep(behind).await;
        let loss = {
            let mut inner = self.inner.lock();
            inner.end_transaction();
            inner.is_down = true;
            inner.failures += 1;
            // None of them is used any more.
            inner.lagging.clear();
            // One that is from before another failure has what was lost by that.
            let other = other.filter(|_| inner.failures == before + 1);
            other.map(|other| replace(&mut inner.sqlite, &other).expect("what is in memory can be copied"))
        };
        self.is_free.notify_waiters();
        let messages = loss.as_ref().map_or(0, |loss| loss.messages.len());
        self.trace.note("database", format_args!("fails, {messages} messages are lost"));
        loss.into_iter().for_each(told);
        sleep(outage).await;
        self.inner.lock().is_down = false;
        self.trace.note("database", "is there again");
    }

    /// `None` where it is down already.
    async fn copy_of_now(self: &Arc<Self>) -> Option<Connection> {
        // Nobody else is in a transaction then.
        let _lease = self.lease_at_once(usize::MAX).await.ok()?;
        Some(copy(&self.inner.lock().sqlite).expect("what is in memory can be copied"))
    }
}

/// Makes the database what the other is; what is lost by it.
fn replace(sqlite: &mut Connection, other: &Connection) -> anyhow::Result<Loss> {
    let (had, has) = (members(sqlite)?, members(other)?);
    let logged_in: BTreeSet<(UserId, i64)> = sessions(sqlite)?.difference(&sessions(other)?).copied().collect();
    let kept: BTreeSet<StoredRow> = messages(other)?.into_iter().collect();
    let mut lost = messages(sqlite)?;
    lost.retain(|row| !kept.contains(row));
    Backup::new(other, sqlite)?.step(-1).context("cannot take its place")?;
    let without = |one: &BTreeSet<(GroupId, UserId)>, other| one.difference(other).copied().collect();
    let logins = logged_in.into_iter().map(|(user, _)| user).collect();
    Ok(Loss { messages: lost, joined: without(&had, &has), left: without(&has, &had), logins })
}

/// With the epoch of each.
fn sessions(sqlite: &Connection) -> anyhow::Result<BTreeSet<(UserId, i64)>> {
    let mut query = sqlite.prepare("SELECT userid, epoch FROM session")?;
    let sessions = query.query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))?;
    sessions.collect::<Result<_, _>>().context("cannot read the sessions")
}

fn members(sqlite: &Connection) -> anyhow::Result<BTreeSet<(GroupId, UserId)>> {
    let mut query = sqlite.prepare("SELECT groupid, userid FROM groupuser")?;
    let members = query.query_map([], |row| {
        let (group, user): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((group.unsigned_abs(), user.unsigned_abs()))
    })?;
    members.collect::<Result<_, _>>().context("cannot read the members")
}
