//! What all operations share: a connection, a transaction with its retries, and the time limit.

use super::changes::{Numbered, Numbers, is_certain};
use super::schema;
use crate::storage::engine::{Connection, Engine, Result as EngineResult};
use crate::storage::{Actor, Error, Result, ServerState, Storage};
use async_trait::async_trait;
use chat_environment::Environment;
use chat_protocol::conversation::Conversation;
use std::time::Duration;

/// How often something is tried that met a deadlock, a blocked row, or a row that another just made.
pub const ATTEMPTS: u32 = 8;
/// The longest wait before the second try; it doubles with each, up to [`MOST_WAIT`]. A part of it by chance, so that
/// those who were in each other's way are not so again.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const MOST_WAIT: Duration = Duration::from_millis(200);

/// A [`Storage`] on an SQL database.
pub struct SqlStorage {
    pub(super) engine: Box<dyn Engine>,
    pub(super) numbers: Numbers,
    pub(super) environment: Environment,
    timeout: Duration,
}

/// One read, outside of any transaction. What is said to be in doubt is read once more, after all that was committed at
/// other servers has come.
macro_rules! read {
    ($self:ident, $conn:ident => $operation:expr) => {
        crate::storage::sql::storage::read!($self, $conn => $operation, in doubt |_| false)
    };
    ($self:ident, $conn:ident => $operation:expr, in doubt $is_in_doubt:expr) => {
        $self
            .bounded(async {
                let mut acquired = $self.engine.read().await?;
                let $conn = &mut *acquired;
                let found = $operation.await?;
                let is_in_doubt = crate::storage::sql::storage::about(&found, $is_in_doubt);
                if is_in_doubt && $conn.freshen().await? { $operation.await } else { Ok(found) }
            })
            .await
    };
}

/// Statements that each commit by themselves, and may be run again from the start.
macro_rules! idempotent {
    ($self:ident, $conn:ident => $operation:expr) => {
        $self
            .bounded(async {
                use crate::storage::engine::Fault;
                let mut attempt = 1;
                loop {
                    let mut acquired = $self.engine.write().await?;
                    let $conn = &mut *acquired;
                    match $operation.await {
                        Err(Fault::Deadlock | Fault::LockTimeout) if $self.may_try_again(&mut attempt).await => {}
                        outcome => break outcome,
                    }
                }
            })
            .await
    };
}

/// One transaction, tried again while that may help; and once more where its outcome is said to be in doubt, after all
/// that was committed at other servers has come.
macro_rules! transaction {
    ($self:ident, $conn:ident => $operation:expr) => {
        crate::storage::sql::storage::transaction!($self, $conn => $operation, in doubt |_| false)
    };
    ($self:ident, $conn:ident => $operation:expr, in doubt $is_in_doubt:expr) => {
        crate::storage::sql::storage::transaction!($self, write, $conn => $operation, in doubt $is_in_doubt)
    };
    ($self:ident, $source:ident, $conn:ident => $operation:expr, in doubt $is_in_doubt:expr) => {
        $self
            .bounded(async {
                use crate::storage::engine::Fault;
                let (mut attempt, mut is_fresh) = (1, false);
                loop {
                    let mut acquired = $self.engine.$source().await?;
                    acquired.begin().await?;
                    let $conn = &mut *acquired;
                    let outcome = $operation.await;
                    match crate::storage::sql::storage::settle($conn, outcome).await {
                        Err(Fault::Deadlock | Fault::LockTimeout | Fault::Duplicate)
                            if $self.may_try_again(&mut attempt).await => {}
                        Ok(found)
                            if !is_fresh
                                && crate::storage::sql::storage::about(&found, $is_in_doubt)
                                && $conn.freshen().await? =>
                        {
                            is_fresh = true;
                        }
                        settled => break settled,
                    }
                }
            })
            .await
    };
}

/// A transaction that changes conversations, under a number if a session makes the change.
macro_rules! change {
    ($self:ident, $by:expr, $convs:expr, $conn:ident, $change:ident => $operation:expr) => {
        crate::storage::sql::storage::change!($self, $by, $convs, $conn, $change => $operation, in doubt |_| false)
    };
    ($self:ident, $by:expr, $convs:expr, $conn:ident, $change:ident => $operation:expr,
     in doubt $is_in_doubt:expr) => {{
        let numbered = $self.begin($by, $convs);
        let $change = numbered.as_ref().map(|numbered| numbered.change).unwrap_or_default();
        let outcome =
            crate::storage::sql::storage::transaction!($self, $conn => $operation, in doubt $is_in_doubt);
        crate::storage::sql::storage::ended(numbered, outcome)
    }};
}

pub(super) use {change, idempotent, read, transaction};

impl SqlStorage {
    /// Applies the schema to an empty database, or checks the one that is there.
    pub async fn open(engine: Box<dyn Engine>, timeout: Duration, environment: Environment) -> Result<Self> {
        let mut conn = engine.write().await?;
        schema::ensure(&mut *conn, &environment).await?;
        drop(conn);
        Ok(SqlStorage { engine, numbers: Numbers::default(), environment, timeout })
    }

    /// Takes a database only as it is.
    pub async fn open_existing(engine: Box<dyn Engine>, timeout: Duration, environment: Environment) -> Result<Self> {
        let mut conn = engine.read().await?;
        schema::check(&mut *conn).await?;
        drop(conn);
        Ok(SqlStorage { engine, numbers: Numbers::default(), environment, timeout })
    }

    /// Gives a number to a change that a session makes.
    pub(super) fn begin(&self, by: &Actor, convs: &[Conversation]) -> Option<Numbered<'_>> {
        by.session.as_ref().map(|session| self.numbers.begin(session.node.boot, convs.to_vec()))
    }

    /// Waits a little before the next attempt; false: there were enough. The time limit of the whole still holds.
    pub(super) async fn may_try_again(&self, attempt: &mut u32) -> bool {
        wait_before_next(&self.environment, attempt, ATTEMPTS).await
    }

    pub(super) async fn bounded<T>(&self, work: impl Future<Output = EngineResult<T>>) -> Result<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(Error::Unavailable(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }
}

#[async_trait]
impl Storage for SqlStorage {
    fn describe(&self) -> String {
        self.engine.describe()
    }

    fn writers(&self, configured: usize) -> usize {
        self.engine.writers(configured)
    }

    fn servers(&self) -> Vec<ServerState> {
        self.engine.servers()
    }

    fn server_changes(&self) -> u64 {
        self.engine.server_changes()
    }

    async fn close(&self) -> Result<()> {
        self.bounded(self.engine.close()).await
    }
}

/// Whether `is_so` of what was found: tells the closure what it is given.
pub fn about<T>(found: &T, is_so: impl FnOnce(&T) -> bool) -> bool {
    is_so(found)
}

/// Waits by chance, longer with each attempt, and counts it; false after the last one.
pub async fn wait_before_next(environment: &Environment, attempt: &mut u32, attempts: u32) -> bool {
    if *attempt >= attempts {
        return false;
    }
    let most = FIRST_WAIT.saturating_mul(1_u32.checked_shl(*attempt - 1).unwrap_or(u32::MAX)).min(MOST_WAIT);
    *attempt += 1;
    tokio::time::sleep(environment.part_of(most)).await;
    true
}

/// What came of a numbered change; one whose outcome is unknown stays open.
pub fn ended<T>(numbered: Option<Numbered<'_>>, outcome: Result<T>) -> Result<T> {
    if let Some(numbered) = numbered
        && is_certain(&outcome)
    {
        numbered.settled();
    }
    outcome
}

/// Commits what succeeded, rolls back what did not.
pub async fn settle<T>(conn: &mut dyn Connection, outcome: EngineResult<T>) -> EngineResult<T> {
    match outcome {
        Ok(value) => conn.commit().await.map(|()| value),
        Err(fault) => {
            // If this fails as well, the engine discards the connection, and with it the transaction.
            let _ = conn.rollback().await;
            Err(fault)
        }
    }
}
