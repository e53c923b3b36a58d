//! What all operations share: a connection, a transaction with its retries, and the time limit.

use super::changes::{Numbered, Numbers, is_certain};
use super::schema;
use crate::storage::engine::{Connection, Engine, Result as EngineResult};
use crate::storage::{Actor, Error, Result, Storage};
use chat_environment::Environment;
use chat_protocol::conversation::Conversation;
use std::time::Duration;

/// How often something is tried that met a deadlock, a blocked row, or a row that another just made.
pub const ATTEMPTS: u32 = 5;

/// A [`Storage`] on an SQL database.
pub struct SqlStorage {
    pub(super) engine: Box<dyn Engine>,
    pub(super) numbers: Numbers,
    pub(super) environment: Environment,
    timeout: Duration,
}

/// One read, outside of any transaction.
macro_rules! read {
    ($self:ident, $conn:ident => $operation:expr) => {
        $self
            .bounded(async {
                let mut leased = $self.engine.read().await?;
                let $conn = &mut *leased;
                $operation.await
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
                let mut attempts_left = crate::storage::sql::storage::ATTEMPTS;
                loop {
                    attempts_left -= 1;
                    let mut leased = $self.engine.write().await?;
                    let $conn = &mut *leased;
                    match $operation.await {
                        Err(Fault::Deadlock | Fault::LockTimeout) if attempts_left > 0 => {}
                        outcome => break outcome,
                    }
                }
            })
            .await
    };
}

/// One transaction, tried again while that may help.
macro_rules! transaction {
    ($self:ident, $conn:ident => $operation:expr) => {
        $self
            .bounded(async {
                use crate::storage::engine::Fault;
                let mut attempts_left = crate::storage::sql::storage::ATTEMPTS;
                loop {
                    attempts_left -= 1;
                    let mut leased = $self.engine.write().await?;
                    leased.begin().await?;
                    let $conn = &mut *leased;
                    let outcome = $operation.await;
                    match crate::storage::sql::storage::settle($conn, outcome).await {
                        Err(Fault::Deadlock | Fault::LockTimeout | Fault::Duplicate) if attempts_left > 0 => {}
                        settled => break settled,
                    }
                }
            })
            .await
    };
}

/// A transaction that changes conversations, under a number if a session makes the change.
macro_rules! change {
    ($self:ident, $by:expr, $convs:expr, $conn:ident, $change:ident => $operation:expr) => {{
        let numbered = $self.begin($by, $convs);
        let $change = numbered.as_ref().map(|numbered| numbered.change).unwrap_or_default();
        let outcome = crate::storage::sql::storage::transaction!($self, $conn => $operation);
        crate::storage::sql::storage::ended(numbered, outcome)
    }};
}

pub(super) use {change, idempotent, read, transaction};

impl SqlStorage {
    /// Applies the schema to an empty database, or checks the one that is there.
    pub async fn open(engine: Box<dyn Engine>, timeout: Duration, environment: Environment) -> Result<Self> {
        let mut conn = engine.write().await?;
        schema::ensure(&mut *conn).await?;
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

    pub(super) async fn bounded<T>(&self, work: impl Future<Output = EngineResult<T>>) -> Result<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(Error::Unavailable(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }
}

impl Storage for SqlStorage {
    fn describe(&self) -> String {
        self.engine.describe()
    }

    fn writers(&self, configured: usize) -> usize {
        self.engine.writers(configured)
    }
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
