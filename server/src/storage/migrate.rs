//! Taking a database of the classic project over.
//!
//! The whole of it is read, planned in memory ([`plan`]) and written in one transaction into a database of ours that is
//! empty: so it is done or not done, and a run that failed can be repeated. The source is only read. Ids stay as they
//! are; nothing that cannot be taken over goes unreported.

mod classic;
mod offline;
mod passwords;
mod plan;
mod write;

use super::mysql::Mysql;
use super::sql::executor::{Engine, Fault};
use super::sql::{schema, settle};
use super::{Error, Result, open_engine};
use crate::config;
use crate::protocol::conversation::UserId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Makes the stored form of a password; the error says what is wrong with it.
pub type HashPassword = Arc<dyn Fn(&str) -> std::result::Result<String, String> + Send + Sync>;

/// Told the number of passwords hashed and their total: by far the longest part.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// Connections to the classic database: one reads.
const SOURCE_CONNECTIONS: u32 = 1;

/// What was taken over, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationReport {
    pub users: usize,
    /// Pairs of friends.
    pub friendships: usize,
    pub groups: usize,
    pub group_members: usize,
    /// Waiting messages; one to a group counts once.
    pub messages: usize,
    pub renamed: Vec<Renamed>,
    pub problems: Vec<Problem>,
}

/// A user or group whose name we could not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// `user` or `allgroup`.
    pub table: &'static str,
    pub id: UserId,
    pub from: String,
    pub to: String,
}

/// A row that was not taken over, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub table: &'static str,
    /// The row, as far as it tells what would be lost: an offline message in full.
    pub row: String,
    pub reason: String,
}

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: renamed from {:?} to {:?}", self.table, self.id, self.from, self.to)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.table, self.reason, self.row)
    }
}

/// Copies the classic database at `from_url` into the one of `into`, which must be another and empty.
///
/// Errors: [`Error::Unusable`] where one of the two is not what it should be, with what to do; nothing is written then.
pub async fn migrate(
    from_url: &str,
    into: &config::Database,
    hash: HashPassword,
    progress: Progress<'_>,
) -> Result<MigrationReport> {
    let timeout = Duration::from_millis(into.timeout_ms);
    if !from_url.starts_with("mysql:") && !from_url.starts_with("mariadb:") {
        let found = super::without_password(from_url);
        return Err(Error::Unusable(format!(
            "--from should be mysql://user:password@host:port/database, not {found:?}"
        )));
    }
    let source = Mysql::open(from_url, SOURCE_CONNECTIONS, timeout).await?;
    let mut conn = source.read().await?;
    let database = classic::read(&mut *conn).await?;
    drop((conn, source));

    let target = open_engine(into, timeout).await?;
    prepare(&*target).await?;
    let (plan, report) = plan::plan(database);
    let hashes = passwords::hash_all(&plan.users, hash, progress).await?;

    // Hashing takes its time, after which an idle connection may be gone: so this is another.
    let mut conn = target.write().await?;
    conn.begin().await?;
    let outcome = match ensure_unused(&mut *conn).await {
        Ok(()) => write::write(&mut *conn, &plan, &hashes).await,
        refused => refused,
    };
    settle(&mut *conn, outcome).await?;
    Ok(report)
}

/// Makes the tables if they are missing, and checks early what would make the work in vain.
async fn prepare(target: &dyn Engine) -> Result<()> {
    let mut conn = target.write().await?;
    schema::ensure(&mut *conn).await.map_err(Error::from)?;
    Ok(ensure_unused(&mut *conn).await?)
}

async fn ensure_unused(conn: &mut dyn super::sql::executor::Connection) -> std::result::Result<(), Fault> {
    for table in ["user", "allgroup", "conversation"] {
        if conn.first(&format!("SELECT 1 FROM {table} LIMIT 1"), &[]).await?.is_some() {
            return Err(Error::Unusable(format!(
                "database.url already holds data (in table {table}): migrate into an empty database"
            ))
            .into());
        }
    }
    Ok(())
}
