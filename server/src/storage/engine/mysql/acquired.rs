//! A connection while one operation has it.
//!
//! What is left unfinished when it is dropped ends with it. So does what is under way when the server is left: nothing
//! waits for a server that is demoted, or cut off from its group.

use super::DIALECT;
use super::connect::{Connector, Open, barrier};
use super::fault::{Verdict, fault, verdict};
use super::values::{bind, decode};
use crate::storage::Error;
use crate::storage::engine::{Connection, Dialect, Done, Fault, Result, Row, Value};
use async_trait::async_trait;
use deadpool::managed::{Object, Pool};
use futures_util::TryStreamExt;
use sqlx::mysql::MySqlArguments;
use sqlx::{AssertSqlSafe, MySqlConnection};
use tokio::time::Instant;

pub struct Acquired {
    /// `None` only while dropping.
    object: Option<Object<Connector>>,
    pool: Pool<Connector>,
    /// A statement was sent and its answer not read to the end, or the connection failed.
    is_busy: bool,
    /// Set from before BEGIN until COMMIT or ROLLBACK has returned.
    in_transaction: bool,
    /// The server has said something after which this connection is of no use.
    is_condemned: bool,
}

impl Drop for Acquired {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        if self.is_busy || self.in_transaction || self.is_condemned || self.pool.manager().left.is_cancelled() {
            // Closing the socket makes the server roll back.
            drop(Object::take(object));
        } else {
            object.used_at = Instant::now();
        }
    }
}

impl Acquired {
    pub fn new(object: Object<Connector>, pool: Pool<Connector>) -> Self {
        Acquired { object: Some(object), pool, is_busy: false, in_transaction: false, is_condemned: false }
    }

    fn open(&mut self) -> &mut Open {
        self.object.as_mut().expect("taken only by drop")
    }

    async fn command(&mut self, sql: &'static str) -> Result<()> {
        self.ask(async move |connection| sqlx::raw_sql(sql).execute(connection).await).await.map(|_| ())
    }

    /// Does something with the connection, unless the server is left meanwhile. After an answer, even a refusal, the
    /// connection can be used again; after anything else it cannot.
    async fn ask<T>(&mut self, work: impl AsyncFnOnce(&mut MySqlConnection) -> sqlx::Result<T>) -> Result<T> {
        let left = self.pool.manager().left.clone();
        self.is_busy = true;
        let outcome = tokio::select! {
            biased;
            outcome = work(&mut self.open().connection) => outcome,
            () = left.cancelled() => {
                return Err(Error::Unavailable("the server is not used any more".into()).into());
            }
        };
        self.is_busy = !matches!(outcome, Ok(_) | Err(sqlx::Error::Database(_)));
        outcome.map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: sqlx::Error) -> Fault {
        let verdict = verdict(&error);
        if verdict != Verdict::Fine {
            self.is_condemned = true;
            self.pool.manager().doubt.notify_one();
        }
        if verdict == Verdict::Demoted {
            self.pool.manager().left.cancel();
        }
        fault(error)
    }
}

#[async_trait]
impl Connection for Acquired {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        let arguments = bind(arguments)?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let done = self.ask(async |connection| query.execute(connection).await).await?;
        Ok(Done { affected: done.rows_affected(), last_id: done.last_insert_id().cast_signed() })
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        let arguments = bind(arguments)?;
        self.ask(async |connection| read_rows(connection, sql, arguments, max_bytes).await).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.in_transaction = true;
        self.command("BEGIN").await
    }

    async fn commit(&mut self) -> Result<()> {
        let committed = self.command("COMMIT").await;
        if matches!(committed, Err(Fault::Deadlock)) {
            // It is over: the group has refused it, and the server has undone it.
            self.rollback().await?;
        }
        committed?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.command("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn freshen(&mut self) -> Result<bool> {
        match barrier(self.open().replication) {
            Some(barrier) => self.command(barrier).await.map(|()| true),
            None => Ok(false),
        }
    }
}

async fn read_rows(
    connection: &mut MySqlConnection,
    sql: &str,
    arguments: MySqlArguments,
    max_bytes: usize,
) -> sqlx::Result<Vec<Row>> {
    let mut stream = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(&mut *connection);
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    // The driver reads what is left of the answer, and forgets it, before the connection's next statement.
    while bytes <= max_bytes
        && let Some(row) = stream.try_next().await?
    {
        let row = decode(&row)?;
        bytes = bytes.saturating_add(row.text_bytes());
        rows.push(row);
    }
    Ok(rows)
}
