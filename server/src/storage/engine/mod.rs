//! The little that the domain operations need of a database: run a statement, read rows, a transaction.
//!
//! Statements are written once, with `?` parameters, in the SQL that MySQL, MariaDB and SQLite share; the few words
//! that differ come from the [`Dialect`]. An [`Engine`] hands out connections and sees to it that none with an
//! unfinished statement or transaction is ever used again. No statement reads the database's clock.
//!
//! A new engine is a file beside `mysql` and `sqlite`, an arm in `open`, and its URL in `config::validate`. One from
//! outside (a simulator's, a test's) becomes a storage by [`open_on`](super::open_on); for tables and words it may
//! borrow [`sqlite::DIALECT`].

mod dialect;
mod fault;
mod value;

pub mod mysql;
pub mod sqlite;

pub use dialect::Dialect;
pub use fault::{Fault, Result};
pub use value::{Row, Value};

use crate::storage::ServerState;
use async_trait::async_trait;

/// What a statement that returns no rows did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows matched (not: rows that came out different).
    pub affected: u64,
    pub last_id: i64,
}

/// One connection, for the exclusive use of one operation.
#[async_trait]
pub trait Connection: Send {
    fn dialect(&self) -> &'static Dialect;
    async fn run(&mut self, sql: &str, arguments: &[Value]) -> Result<Done>;
    /// Reads rows until their text exceeds `max_bytes` (that row included); the rest is never read.
    async fn rows_within(&mut self, sql: &str, arguments: &[Value], max_bytes: usize) -> Result<Vec<Row>>;
    async fn begin(&mut self) -> Result<()>;
    async fn commit(&mut self) -> Result<()>;
    async fn rollback(&mut self) -> Result<()>;

    /// Outside of a transaction: waits until what is read next shows all that was committed at any server before.
    /// False: it always does, and nothing was waited for.
    async fn freshen(&mut self) -> Result<bool> {
        Ok(false)
    }

    async fn rows(&mut self, sql: &str, arguments: &[Value]) -> Result<Vec<Row>> {
        self.rows_within(sql, arguments, usize::MAX).await
    }

    async fn first(&mut self, sql: &str, arguments: &[Value]) -> Result<Option<Row>> {
        Ok(self.rows(sql, arguments).await?.into_iter().next())
    }
}

/// Where connections come from.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Product, version and place, without a password.
    fn describe(&self) -> String;
    /// How many transactions can usefully commit at once.
    fn writers(&self, configured: usize) -> usize;
    /// The servers that the database may be at, if any.
    fn servers(&self) -> Vec<ServerState> {
        Vec::new()
    }

    /// How often another of them was used than before.
    fn server_changes(&self) -> u64 {
        0
    }

    async fn read(&self) -> Result<Box<dyn Connection>>;
    async fn write(&self) -> Result<Box<dyn Connection>>;
    /// A connection for the lease: other work, however much, does not keep it waiting.
    async fn reserved(&self) -> Result<Box<dyn Connection>>;

    /// Nothing more will be asked. Where a database is one file, all of it is in that file then.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
