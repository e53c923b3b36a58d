//! Parameters of statements, and the rows that come back.

use crate::storage::error::{Error, Result};
use chat_protocol::conversation::Conversation;
use std::sync::Arc;

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
    Bytes(Vec<u8>),
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

impl From<Conversation> for Value {
    fn from(conv: Conversation) -> Self {
        Value::Text(conv.to_string().into())
    }
}

/// One row of a result; columns are taken by position. A column that is not what the schema says it is makes
/// [`Error::Unusable`]: somebody changed the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn column(&self, at: usize) -> Result<&Value> {
        self.0.get(at).ok_or_else(|| unexpected(at, "a column", None))
    }

    pub fn int(&self, at: usize) -> Result<i64> {
        match self.column(at)? {
            Value::Int(number) => Ok(*number),
            other => Err(unexpected(at, "a number", Some(other))),
        }
    }

    /// A number that cannot be negative: an id, a sequence number, a count.
    pub fn number(&self, at: usize) -> Result<u64> {
        let number = self.int(at)?;
        u64::try_from(number).map_err(|_| unexpected(at, "a number from 0", Some(&Value::Int(number))))
    }

    pub fn flag(&self, at: usize) -> Result<bool> {
        Ok(self.int(at)? != 0)
    }

    pub fn text(&self, at: usize) -> Result<Arc<str>> {
        self.text_or_null(at)?.ok_or_else(|| unexpected(at, "text", Some(&Value::Null)))
    }

    pub fn text_or_null(&self, at: usize) -> Result<Option<Arc<str>>> {
        match self.column(at)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            other => Err(unexpected(at, "text", Some(other))),
        }
    }

    pub fn bytes(&self, at: usize) -> Result<&[u8]> {
        match self.column(at)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(at, "bytes", Some(other))),
        }
    }

    /// What its text takes up, for [`Connection::rows_within`](super::Connection::rows_within).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_another_type_is_an_error_not_a_panic() {
        let row = Row(vec![Value::Null, Value::Int(-1)]);
        assert!(row.int(0).is_err() && row.number(1).is_err() && row.text(1).is_err() && row.int(2).is_err());
    }
}
