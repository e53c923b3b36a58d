//! The cluster's age, and which run of a node counts it.
//!
//! Both stand in one row of `meta`: of two that take themselves for that node only one adds, also where they use
//! different servers.

use super::storage::{SqlStorage, read, transaction};
use crate::cluster::NodeKey;
use crate::storage::engine::{Connection, Result, Row};
use crate::storage::{self, AgeMs, Ages, Error, age};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// In `meta`: the age, then the boot and the id of who counts it.
const ROW: &str = "age";
/// The row as a column of any SELECT, also of one that locks: it is read without a lock, so that those who append do
/// not wait for whoever counts.
pub const COLUMN: &str = "(SELECT value FROM meta WHERE name = 'age')";

#[async_trait]
impl Ages for SqlStorage {
    async fn count_age(&self, key: &NodeKey, passed: Duration) -> storage::Result<Option<AgeMs>> {
        transaction!(self, conn => count(conn, key, passed))
    }

    async fn age(&self) -> storage::Result<AgeMs> {
        read!(self, conn => read(conn))
    }
}

/// The age in a [`COLUMN`].
pub fn in_column(row: &Row, at: usize) -> Result<AgeMs> {
    let Some(value) = row.text_or_null(at)? else { return Ok(age::FIRST) };
    Ok(parse(&value)?.0)
}

/// What the row says: the age, and who counts it.
fn parse(value: &str) -> storage::Result<(AgeMs, &str)> {
    let (counted, counter) = value.split_once(' ').unwrap_or((value, ""));
    let counted = counted.parse().ok().filter(|counted| *counted >= age::FIRST);
    let unusable = || {
        Error::Unusable(format!("the row {ROW:?} of the table meta holds no age: {value:?}; remove it to count anew"))
    };
    Ok((counted.ok_or_else(unusable)?, counter))
}

async fn read(conn: &mut dyn Connection) -> Result<AgeMs> {
    let row = conn.first(&format!("SELECT {COLUMN}"), &[]).await?;
    row.map_or(Ok(age::FIRST), |row| in_column(&row, 0))
}

async fn count(conn: &mut dyn Connection, key: &NodeKey, passed: Duration) -> Result<Option<AgeMs>> {
    let value = lock_or_make(conn).await?;
    let (mut counted, counter) = parse(&value)?;
    let own = format!("{} {}", key.boot, key.id);
    if *counter == own {
        let more = AgeMs::try_from(passed.min(age::LONGEST_STEP).as_millis()).unwrap_or_default();
        counted = counted.saturating_add(more);
    } else if is_live(conn, counter).await? {
        return Ok(None);
    }
    conn.run("UPDATE meta SET value = ? WHERE name = ?", &[format!("{counted} {own}").into(), ROW.into()]).await?;
    Ok(Some(counted))
}

async fn lock_or_make(conn: &mut dyn Connection) -> Result<Arc<str>> {
    if let Some(value) = lock(conn).await? {
        return Ok(value);
    }
    let make = conn.dialect().insert_ignore("INTO meta (name, value) VALUES (?, ?)");
    conn.run(&make, &[ROW.into(), age::FIRST.to_string().into()]).await?;
    let value = lock(conn).await?;
    Ok(value.ok_or_else(|| Error::Unavailable("the cluster's age was removed while it was made".into()))?)
}

async fn lock(conn: &mut dyn Connection) -> Result<Option<Arc<str>>> {
    let lock = format!("SELECT value FROM meta WHERE name = ?{}", conn.dialect().for_update);
    Ok(conn.first(&lock, &[ROW.into()]).await?.map(|row| row.text(0)).transpose()?)
}

/// Whether that run of a node is not called gone, so that no clock decides.
async fn is_live(conn: &mut dyn Connection, counter: &str) -> Result<bool> {
    let Some((boot, id)) = counter.split_once(' ') else { return Ok(false) };
    const LIVES: &str = "SELECT boot FROM node WHERE id = ? AND gone <> renewals";
    let live = conn.first(LIVES, &[id.into()]).await?.map(|row| row.int(0)).transpose()?;
    Ok(live.is_some_and(|live| boot.parse() == Ok(live)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_says_the_age_and_who_counts_it() {
        let check = |value: &str, expected: Option<(AgeMs, &str)>| assert_eq!(parse(value).ok(), expected, "{value:?}");
        check("1", Some((1, "")));
        check("7 3 node-1", Some((7, "3 node-1")));
        check("7 3 a name", Some((7, "3 a name")));
        check("9223372036854775807 3 node-1", Some((AgeMs::MAX, "3 node-1")));
        check("9223372036854775808 3 node-1", None);
        check("0 3 node-1", None);
        check("-7 3 node-1", None);
        check("3.5", None);
        check(" 7", None);
        check("node-1", None);
        check("", None);
    }
}
