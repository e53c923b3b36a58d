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
mod report;
mod write;

pub use evidence::Encoding;
pub use passwords::{HashPassword, Progress};
pub use report::{Example, MigrationReport, Problem, Renamed};

use super::engine::mysql::{self, Mysql, Purpose};
use super::engine::{Connection, Engine, Result as EngineResult};
use super::open::open_engine;
use super::sql::{schema, settle};
use super::{Error, Result};
use crate::config::{self, without_password};
use chat_environment::Environment;
use std::time::Duration;

/// Connections to the classic database: one reads.
const SOURCE_CONNECTIONS: u32 = 1;

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
    let environment = Environment::default();
    let target = open_engine(into, &environment).await?;
    prepare(&*target, &environment).await?;
    let (plan, report) = plan(database, encoding);
    let hashes = passwords::hash_all(&plan.users, hash, progress, &environment.tasks).await?;

    // Hashing takes its time, after which an idle connection may be gone: so this is another.
    let mut conn = target.write().await?;
    conn.begin().await?;
    let outcome = match ensure_unused(&mut *conn).await {
        Ok(()) => write::write(&mut *conn, &plan, &hashes, &environment).await,
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
        let found = without_password(from_url);
        return Err(Error::Unusable(format!("--from should be {}, not {found:?}", mysql::URL)));
    }
    let tasks = Environment::default().tasks;
    let source = Mysql::open(from_url, Purpose::Reading, SOURCE_CONNECTIONS, timeout, &tasks).await?;
    let mut conn = source.read().await?;
    Ok(classic::read(&mut *conn).await?)
}

/// Makes the tables if they are missing, and checks early what would make the work in vain.
async fn prepare(target: &dyn Engine, environment: &Environment) -> Result<()> {
    let mut conn = target.write().await?;
    schema::ensure(&mut *conn, environment).await.map_err(Error::from)?;
    Ok(ensure_unused(&mut *conn).await?)
}

async fn ensure_unused(conn: &mut dyn Connection) -> EngineResult<()> {
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
