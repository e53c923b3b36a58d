//! Making a connection, and keeping it while it is good: the settings of its session, and the server's role.
//!
//! A connection is used only while the server behind it is ready. Where an address leads to several servers, as that of
//! a proxy does, connections may lead elsewhere than the one by which the address is watched; so each is asked itself,
//! when it is made and then once in a [`ROLE_HOLDS`] while it is in use.

use super::fault::{Verdict, verdict};
use super::role::{self, Replication, Role};
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySqlConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long making a connection may take: one to a machine that is not there would wait for minutes.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a server may take to say what it is.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// After which time a connection in use is asked again what it leads to.
const ROLE_HOLDS: Duration = Duration::from_secs(1);
/// Older idle connections are not used again: well before the server may drop them.
const IDLE: Duration = Duration::from_secs(5);
/// What InnoDB waits for a row lock, in seconds; then 1205.
const LOCK_WAIT_S: u32 = 2;
/// After which silence, in seconds, the server drops a connection and rolls its transaction back.
const SILENCE_S: u32 = 10;
/// As `sql_select_limit`: a server that has another for everybody would hide rows from us.
const ALL_ROWS: u64 = u64::MAX;

/// What the database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only a server that is ready to take writes will do.
    Serving,
    /// A server that is read-only does as well.
    Reading,
}

/// A connection with what is known of it.
pub struct Open {
    pub connection: MySqlConnection,
    pub replication: Replication,
    role_known_at: Instant,
    pub used_at: Instant,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Failed(#[from] sqlx::Error),
    #[error("{0}")]
    NotReady(String),
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    TooSlow,
}

/// Makes the connections of one pool.
pub struct Connector {
    pub options: MySqlConnectOptions,
    pub purpose: Purpose,
    /// Wakes whoever watches the server.
    pub doubt: Arc<Notify>,
    /// Ends all that is done over this pool.
    pub left: CancellationToken,
}

impl Connector {
    async fn connect(&self) -> Result<Open, Trouble> {
        let connecting = async {
            let mut connection = self.options.connect().await?;
            let settings = format!(
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                 SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}, SESSION wait_timeout = {SILENCE_S}, \
                 SESSION sql_select_limit = {ALL_ROWS}, SESSION completion_type = 0, \
                 SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
            );
            connection.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await?;
            let replication = self.replication(&mut connection).await?;
            // What was committed elsewhere before is seen by a connection from its beginning: a server that has just
            // become the one in use may have some of it still to apply.
            if let Some(barrier) = barrier(replication) {
                connection.execute(sqlx::raw_sql(barrier)).await?;
            }
            let now = Instant::now();
            Ok(Open { connection, replication, role_known_at: now, used_at: now })
        };
        timeout(CONNECT_WITHIN, connecting).await.unwrap_or(Err(Trouble::TooSlow))
    }

    async fn replication(&self, connection: &mut MySqlConnection) -> Result<Replication, Trouble> {
        match (role::ask(connection).await?, self.purpose) {
            (Role::Ready(replication), _) => Ok(replication),
            (Role::NotReady(_), Purpose::Reading) => Ok(Replication::None),
            (Role::NotReady(why), Purpose::Serving) => Err(Trouble::NotReady(why)),
        }
    }

    async fn still_ready(&self, open: &mut Open) -> Result<(), Trouble> {
        let asked = timeout(ANSWER_WITHIN, self.replication(&mut open.connection)).await;
        open.replication = asked.unwrap_or(Err(Trouble::TooSlow))?;
        open.role_known_at = Instant::now();
        Ok(())
    }
}

impl Manager for Connector {
    type Type = Open;
    type Error = Trouble;

    async fn create(&self) -> Result<Open, Trouble> {
        let connected = self.connect().await;
        if connected.is_err() {
            self.doubt.notify_one();
        }
        connected
    }

    /// Before a connection is used again.
    async fn recycle(&self, open: &mut Open, _: &Metrics) -> RecycleResult<Trouble> {
        if open.used_at.elapsed() > IDLE {
            return Err(RecycleError::message("idle for too long"));
        }
        if open.role_known_at.elapsed() < ROLE_HOLDS {
            return Ok(());
        }
        let asked = self.still_ready(open).await;
        match &asked {
            Ok(()) => {}
            // What else is open may lead there as well.
            Err(Trouble::NotReady(_)) => self.demoted(),
            Err(Trouble::Failed(error)) => self.failed(error),
            Err(Trouble::TooSlow) => self.doubt.notify_one(),
        }
        asked.map_err(RecycleError::Backend)
    }
}

impl Connector {
    fn failed(&self, error: &sqlx::Error) {
        match verdict(error) {
            Verdict::Fine => {}
            Verdict::Doubtful => self.doubt.notify_one(),
            Verdict::Demoted => self.demoted(),
        }
    }

    fn demoted(&self) {
        self.left.cancel();
        self.doubt.notify_one();
    }
}

/// Waits, outside of a transaction, until this server has applied what was committed at any other before.
pub fn barrier(replication: Replication) -> Option<&'static str> {
    match replication {
        Replication::None => None,
        Replication::Galera => Some("SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 1"),
        // BEGIN is what waits. Later transactions of this connection wait only at a server that has just become the
        // primary.
        Replication::Group => Some(
            "SET SESSION group_replication_consistency = 'BEFORE'; \
             BEGIN; \
             COMMIT; \
             SET SESSION group_replication_consistency = 'BEFORE_ON_PRIMARY_FAILOVER'",
        ),
    }
}
