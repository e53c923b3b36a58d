//! Copies the write-ahead log into the database while commits go on.
//!
//! Left to itself SQLite does this inside the commit that makes the log too long, and that commit and all behind it
//! wait for thousands of scattered pages. Here a connection of its own copies most of them beside the commits; only for
//! what these have added meanwhile is the writer kept. Then the log is used again from its beginning.

use super::Handle;
use chat_environment::{Died, Tasks};
use sqlx::{Row, SqliteConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

/// Pages in the log (32 MiB) from which it is copied. Under load the same pages change again and again; the longer the
/// log, the fewer of them are copied.
const LOG_PAGES: i64 = 8_192;
/// Pages (256 MiB) beyond which a commit waits for the copying after all.
pub const MAX_LOG_PAGES: &str = "65536";
/// Pages left for which the writer is kept.
const LAST_PAGES: i64 = 512;
/// How often copying beside the commits is tried before the writer is kept for all that is left.
const ROUNDS: u32 = 4;
/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(50);

/// The task; it ends when this is dropped.
pub struct Checkpoints(JoinHandle<Result<(), Died>>);

impl Checkpoints {
    /// `committed` is told of commits, so that nothing is done while there are none.
    pub fn start(tasks: &Tasks, own: SqliteConnection, writer: Arc<Mutex<Handle>>, committed: Arc<Notify>) -> Self {
        Checkpoints(tasks.spawn("checkpoints of SQLite", run(own, writer, committed)))
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(mut own: SqliteConnection, writer: Arc<Mutex<Handle>>, committed: Arc<Notify>) {
    loop {
        committed.notified().await;
        if let Err(error) = shorten(&mut own, &writer).await {
            // The log grows until it works again, or a commit has to do it.
            tracing::debug!(%error, "SQLite's write-ahead log could not be copied");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How long the log is.
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
/// Copies what no commit or reader stands in the way of.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Waits for commits and readers.
const EMPTY: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

async fn shorten(own: &mut SqliteConnection, writer: &Mutex<Handle>) -> sqlx::Result<()> {
    if ask(own, LOOK).await?.pages < LOG_PAGES {
        return Ok(());
    }
    for _ in 0..ROUNDS {
        ask(own, COPY).await?;
        let log = ask(own, LOOK).await?;
        if log.pages - log.copied < LAST_PAGES {
            break;
        }
    }
    let mut writer = writer.lock().await;
    ask(&mut writer.connection, COPY).await?;
    Ok(())
}

/// Copies all of the log, and makes it nothing. What readers are still looking at stays.
pub async fn empty(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    ask(connection, EMPTY).await.map(|_| ())
}

struct Log {
    pages: i64,
    copied: i64,
}

async fn ask(connection: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<Log> {
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok(Log { pages: row.try_get(1)?, copied: row.try_get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::ConnectOptions;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

    /// More than the log is meant to hold.
    const LONG: &str = "INSERT INTO blobs VALUES (zeroblob(40000000))";
    const SHORT: &str = "INSERT INTO blobs VALUES (zeroblob(1))";
    const BUDGET: Duration = Duration::from_secs(30);

    async fn database() -> (tempfile::TempDir, SqliteConnection, Arc<Mutex<Handle>>) {
        let directory = tempfile::tempdir().expect("a directory");
        let options = SqliteConnectOptions::new().filename(directory.path().join("chat.db")).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).pragma("wal_autocheckpoint", MAX_LOG_PAGES);
        let writer = Handle::new(options.connect().await.expect("it opens"));
        write(&writer, "CREATE TABLE blobs (content BLOB)").await;
        (directory, options.connect().await.expect("it opens again"), writer)
    }

    async fn write(writer: &Mutex<Handle>, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut writer.lock().await.connection).await.expect("SQLite writes");
    }

    async fn log(writer: &Mutex<Handle>) -> Log {
        ask(&mut writer.lock().await.connection, LOOK).await.expect("SQLite answers")
    }

    #[tokio::test]
    async fn long_log_is_copied_and_used_again_from_its_beginning_a_short_one_left_alone() {
        let (_directory, mut own, writer) = database().await;
        shorten(&mut own, &writer).await.expect("there is nothing to do");
        assert_eq!(log(&writer).await.copied, 0);

        write(&writer, LONG).await;
        shorten(&mut own, &writer).await.expect("it can be copied");

        let Log { pages, copied } = log(&writer).await;
        assert!(pages > LOG_PAGES && copied == pages, "{copied} of {pages}");
        write(&writer, SHORT).await;
        assert!(log(&writer).await.pages < LAST_PAGES);
    }

    #[tokio::test]
    async fn commits_set_the_task_going() {
        let (_directory, own, writer) = database().await;
        let committed = Arc::new(Notify::new());
        let _checkpoints = Checkpoints::start(&Tasks::default(), own, writer.clone(), committed.clone());
        write(&writer, LONG).await;
        committed.notify_one();

        let is_copied = async || (log(&writer).await.copied > LOG_PAGES).then_some(());
        services::eventually(BUDGET, "the log is copied", is_copied).await;
    }
}
