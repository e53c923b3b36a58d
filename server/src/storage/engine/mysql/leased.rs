//! A connection while one operation has it.

use super::DIALECT;
use super::fault::fault;
use super::values::{bind, decode};
use crate::storage::engine::{Connection, Dialect, Done, Result, Row, Value};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::mysql::MySqlArguments;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, MySql};

/// A connection from the pool. What is left unfinished when it is dropped ends with it.
pub struct Leased {
    /// `None` only while dropping.
    pooled: Option<PoolConnection<MySql>>,
    /// A statement was sent and its answer not read to the end, or the connection failed.
    is_busy: bool,
    /// Set from before BEGIN until COMMIT or ROLLBACK has returned.
    in_transaction: bool,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take()
            && (self.is_busy || self.in_transaction)
        {
            // Closing the socket makes the server roll back.
            drop(pooled.detach());
        }
    }
}

impl Leased {
    pub fn new(pooled: PoolConnection<MySql>) -> Self {
        Leased { pooled: Some(pooled), is_busy: false, in_transaction: false }
    }

    fn connection(&mut self) -> &mut PoolConnection<MySql> {
        self.pooled.as_mut().expect("taken only by drop")
    }

    async fn command(&mut self, sql: &'static str) -> Result<()> {
        self.is_busy = true;
        let outcome = sqlx::raw_sql(sql).execute(&mut **self.connection()).await;
        self.answered(outcome).map(|_| ())
    }

    /// After an answer, even a refusal, the connection can be used again; after anything else it cannot.
    fn answered<T>(&mut self, outcome: sqlx::Result<T>) -> Result<T> {
        self.is_busy = !matches!(outcome, Ok(_) | Err(sqlx::Error::Database(_)));
        outcome.map_err(fault)
    }
}

#[async_trait]
impl Connection for Leased {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done> {
        let arguments = bind(arguments)?;
        self.is_busy = true;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let outcome = query.execute(&mut **self.connection()).await;
        let done = self.answered(outcome)?;
        Ok(Done { affected: done.rows_affected(), last_id: done.last_insert_id().cast_signed() })
    }

    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>> {
        let arguments = bind(arguments)?;
        self.is_busy = true;
        let outcome = read_rows(self.connection(), sql, arguments, max_bytes).await;
        self.answered(outcome)
    }

    async fn begin(&mut self) -> Result<()> {
        self.in_transaction = true;
        self.command("BEGIN").await
    }

    async fn commit(&mut self) -> Result<()> {
        self.command("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.command("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }
}

async fn read_rows(
    connection: &mut PoolConnection<MySql>,
    sql: &str,
    arguments: MySqlArguments,
    max_bytes: usize,
) -> sqlx::Result<Vec<Row>> {
    let mut stream = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(&mut **connection);
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
