//! The little that the domain operations need of a database: run a statement, read rows, a transaction.
//!
//! Statements are written once, with `?` parameters, in the SQL that MySQL, MariaDB and SQLite share; the few words
//! that differ come from the [`Dialect`]. An engine hands out connections and sees to it that none with an unfinished
//! statement or transaction is ever used again.

pub mod mysql;
pub mod sqlite;

use crate::storage::{Error, Result as StorageResult};
use async_trait::async_trait;
use std::sync::Arc;

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
    Bytes(Vec<u8>),
}

/// Why a statement failed, as far as the operations care.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A unique key holds this value already.
    #[error("duplicate key")]
    Duplicate,
    /// The server ended the transaction to resolve a deadlock: roll back, and try again.
    #[error("deadlock")]
    Deadlock,
    /// A row lock did not come in time: roll back.
    #[error("lock wait timeout")]
    LockTimeout,
    /// The database cannot hold a value that it was given: too long, out of range, against a constraint. The same again
    /// fails again, with or without what was sent beside it.
    #[error("the database does not take a value: {0}")]
    Data(String),
    /// Any other refusal. The connection works.
    #[error("{0}")]
    Refused(String),
    /// Anything else, ready for the caller of the storage.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(error) => error,
            other => Error::Unavailable(other.to_string()),
        }
    }
}

pub type Result<T> = std::result::Result<T, Fault>;

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
    async fn read(&self) -> Result<Box<dyn Connection>>;
    async fn write(&self) -> Result<Box<dyn Connection>>;
    /// A connection for the lease: other work, however much, does not keep it waiting.
    async fn reserved(&self) -> Result<Box<dyn Connection>>;
}

/// What the databases spell differently.
#[derive(Debug)]
pub struct Dialect {
    /// Ends a SELECT that locks what it reads.
    pub for_update: &'static str,
    /// The same, but fails at once with [`Fault::LockTimeout`] where it would have to wait.
    pub for_update_nowait: &'static str,
    /// The same, but leaves out the rows that another transaction holds.
    pub for_update_skip_locked: &'static str,
    /// Ends a SELECT that keeps others from changing what it reads.
    pub for_share: &'static str,
    /// After a table's name: look rows up by the primary key and nothing else. A scan or another index would lock rows
    /// that were not asked for, or in another order.
    pub by_primary_key: &'static str,
    /// The larger of two values.
    pub greatest: &'static str,
    /// Begins an INSERT that leaves existing rows as they are.
    pub insert_ignore: &'static str,
    /// Between the rows of an INSERT and the assignments for those whose `id` exists.
    pub on_duplicate_id: &'static str,
    /// Lists the tables of the database.
    pub list_tables: &'static str,
    /// Waits until no other node is making the tables, and answers 1; `None` where there is no other node.
    pub lock_schema: Option<&'static str>,
    pub unlock_schema: Option<&'static str>,
    /// The statements that make the tables.
    pub schema: &'static str,
    /// Around a column's name in such an assignment: the value that was to be inserted.
    pub inserted: (&'static str, &'static str),
}

impl Dialect {
    /// In an assignment for duplicates: the value that was to be inserted into `column`.
    pub fn inserted(&self, column: &str) -> String {
        format!("{}{column}{}", self.inserted.0, self.inserted.1)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        // Ids and sequence numbers stay far below; "no bound" saturates to the largest there is.
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}

impl From<chat_protocol::conversation::Conversation> for Value {
    fn from(conv: chat_protocol::conversation::Conversation) -> Self {
        Value::Text(conv.to_string().into())
    }
}

/// One row of a result; columns are taken by position. A column that is not what the schema says it is makes
/// [`Error::Unusable`]: somebody changed the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn column(&self, at: usize) -> StorageResult<&Value> {
        self.0.get(at).ok_or_else(|| unexpected(at, "a column", None))
    }

    pub fn int(&self, at: usize) -> StorageResult<i64> {
        match self.column(at)? {
            Value::Int(number) => Ok(*number),
            other => Err(unexpected(at, "a number", Some(other))),
        }
    }

    /// A number that cannot be negative: an id, a sequence number, a count.
    pub fn number(&self, at: usize) -> StorageResult<u64> {
        let number = self.int(at)?;
        u64::try_from(number).map_err(|_| unexpected(at, "a number from 0", Some(&Value::Int(number))))
    }

    pub fn flag(&self, at: usize) -> StorageResult<bool> {
        Ok(self.int(at)? != 0)
    }

    pub fn text(&self, at: usize) -> StorageResult<Arc<str>> {
        self.text_or_null(at)?.ok_or_else(|| unexpected(at, "text", Some(&Value::Null)))
    }

    pub fn text_or_null(&self, at: usize) -> StorageResult<Option<Arc<str>>> {
        match self.column(at)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            other => Err(unexpected(at, "text", Some(other))),
        }
    }

    pub fn bytes(&self, at: usize) -> StorageResult<&[u8]> {
        match self.column(at)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(at, "bytes", Some(other))),
        }
    }

    /// What its text takes up, for [`Connection::rows_within`].
    pub fn text_bytes(&self) -> usize {
        self.0.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 }).sum()
    }
}

fn unexpected(at: usize, expected: &str, found: Option<&Value>) -> Error {
    let found = match found {
        None => "nothing",
        Some(Value::Null) => "NULL",
        Some(Value::Int(_)) => "a number",
        Some(Value::Text(_)) => "text",
        Some(Value::Bytes(_)) => "bytes",
    };
    Error::Unusable(format!("the database answered {found} where column {at} should be {expected}"))
}

/// The smallest power of two that holds `count`. Statements come in these sizes only, so that all of them stay in the
/// connections' caches of prepared statements.
pub fn padded(count: usize) -> usize {
    count.next_power_of_two()
}

/// `group` repeated for `count` items padded to a power of two, separated by `separator`.
pub fn repeated(group: &str, separator: &str, count: usize) -> String {
    vec![group; padded(count)].join(separator)
}

/// The parameters of `items`, the last repeated up to a power of two of items: harmless in a list of alternatives.
pub fn padded_values<T>(items: &[T], mut push: impl FnMut(&T, &mut Vec<Value>)) -> Vec<Value> {
    let mut values = Vec::new();
    let Some(last) = items.last() else { return values };
    for item in items.iter().chain(std::iter::repeat(last)).take(padded(items.len())) {
        push(item, &mut values);
    }
    values
}

/// `(?, ?, …)` for a list of `items`, and its parameters.
pub fn list<T: Clone + Into<Value>>(items: &[T]) -> (String, Vec<Value>) {
    let marks = format!("({})", repeated("?", ", ", items.len()));
    (marks, padded_values(items, |item, values| values.push(item.clone().into())))
}

/// Splits into pieces of powers of two, at most `largest` (itself one): for rows of an INSERT, which cannot be padded.
pub fn power_of_two_chunks<T>(mut items: &[T], largest: usize) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    while !items.is_empty() {
        let size = (1 << items.len().ilog2()).min(largest);
        let (chunk, rest) = items.split_at(size);
        chunks.push(chunk);
        items = rest;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_to_powers_of_two() {
        let check = |items: &[u64], marks: &str, padding: &[i64]| {
            let (sql, values) = list(items);
            assert_eq!(sql, marks);
            assert_eq!(values, padding.iter().map(|id| Value::Int(*id)).collect::<Vec<_>>());
        };
        check(&[7], "(?)", &[7]);
        check(&[7, 8], "(?, ?)", &[7, 8]);
        check(&[7, 8, 9], "(?, ?, ?, ?)", &[7, 8, 9, 9]);
    }

    #[test]
    fn chunks_are_powers_of_two_and_cover_everything() {
        for count in 0..300_usize {
            let items: Vec<usize> = (0..count).collect();
            let chunks = power_of_two_chunks(&items, 64);
            assert!(chunks.iter().all(|chunk| chunk.len().is_power_of_two() && chunk.len() <= 64));
            assert_eq!(chunks.concat(), items);
        }
    }

    #[test]
    fn a_column_of_another_type_is_an_error_not_a_panic() {
        let row = Row(vec![Value::Null, Value::Int(-1)]);
        assert!(row.int(0).is_err() && row.number(1).is_err() && row.text(1).is_err() && row.int(2).is_err());
    }
}
