//! Taking a database of the classic project over.
//!
//! The whole of it is read, planned in memory (`plan`) and written in one transaction into a database of ours that is
//! empty: so it is done or not done, and a run that failed can be repeated. The source is only read. Ids stay as they
//! are; nothing that cannot be taken over goes unreported. What the classic servers garbled on the way into their
//! database is repaired first (`repair`).

mod backslashes;
mod classic;
mod evidence;
mod misread;
mod offline;
mod passwords;
mod plan;
mod repair;
mod write;

pub use evidence::Encoding;

use super::mysql::Mysql;
use super::sql::executor::{Engine, Fault};
use super::sql::{schema, settle};
use super::{Error, Result, open_engine};
use crate::config;
use chat_environment::Tasks;
use chat_protocol::conversation::UserId;
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
    /// Texts that were UTF-8 taken for GBK, and now are as they were sent.
    pub repaired: usize,
    /// The same with characters lost for good: each is among the problems.
    pub repaired_in_part: usize,
    /// Texts that were taken for GBK, or may have been, and were left as they are: each is among the problems.
    pub unrepaired: usize,
    /// Messages whose JSON had lost its backslashes.
    pub unescaped: usize,
    /// The first few of what was repaired; no passwords.
    pub examples: Vec<Example>,
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

/// A text before and after its repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Table, column and row.
    pub place: String,
    pub before: String,
    pub after: String,
}

/// A row that was not taken over, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub table: &'static str,
    /// The row, as far as it tells what would be lost: an offline message in full.
    pub row: String,
    pub reason: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.place, self.before, self.after)
    }
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

/// Copies the classic database at `from_url` into the one of `into`, which must be another and empty. Finds out by
/// itself how texts are encoded there.
///
/// Errors: [`Error::Unusable`] where one of the two is not what it should be, with what to do; nothing is written then.
pub async fn migrate(
    from_url: &str,
    into: &config::Database,
    hash: HashPassword,
    progress: Progress<'_>,
) -> Result<MigrationReport> {
    migrate_as(Encoding::Auto, from_url, into, hash, progress).await
}

/// The same with texts encoded as said.
///
/// Errors: as [`migrate`].
pub async fn migrate_as(
    encoding: Encoding,
    from_url: &str,
    into: &config::Database,
    hash: HashPassword,
    progress: Progress<'_>,
) -> Result<MigrationReport> {
    let timeout = Duration::from_millis(into.timeout_ms);
    let database = read(from_url, timeout).await?;
    let target = open_engine(into, timeout, &Tasks::default()).await?;
    prepare(&*target).await?;
    let (plan, report) = plan(database, encoding);
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

/// What [`migrate_as`] would report. Reads the classic database, and touches no other.
///
/// Errors: [`Error::Unusable`] where it is not a classic one.
pub async fn preview(encoding: Encoding, from_url: &str, timeout: Duration) -> Result<MigrationReport> {
    Ok(plan(read(from_url, timeout).await?, encoding).1)
}

fn plan(mut database: classic::Classic, encoding: Encoding) -> (plan::Plan, MigrationReport) {
    let mut report = MigrationReport::default();
    repair::repair(&mut database, encoding, &mut report);
    plan::plan(database, report)
}

async fn read(from_url: &str, timeout: Duration) -> Result<classic::Classic> {
    if !from_url.starts_with("mysql:") && !from_url.starts_with("mariadb:") {
        let found = super::without_password(from_url);
        return Err(Error::Unusable(format!(
            "--from should be mysql://user:password@host:port/database, not {found:?}"
        )));
    }
    let source = Mysql::open(from_url, SOURCE_CONNECTIONS, timeout).await?;
    let mut conn = source.read().await?;
    Ok(classic::read(&mut *conn).await?)
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
