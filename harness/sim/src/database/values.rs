//! Values and errors, from ours to SQLite's and back.

use chat::storage::Error;
use chat::storage::engine::{Fault, Result, Value};
use rusqlite::ErrorCode;
use rusqlite::types::{Value as SqlValue, ValueRef};
use std::fmt;

/// The connection is gone.
pub(super) fn lost(why: &str) -> Fault {
    Fault::Failed(Error::Unavailable(why.into()))
}

pub(super) fn bind(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Int(number) => SqlValue::Integer(*number),
        Value::Text(text) => SqlValue::Text(text.to_string()),
        Value::Bytes(bytes) => SqlValue::Blob(bytes.clone()),
    }
}

pub(super) fn decode(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Real(number) => return Err(lost(&format!("a fraction, {number}, which no column of ours holds"))),
    })
}

/// Arguments of a statement, for the trace: every one of them, and quickly written.
pub(super) struct Told<'a>(pub(super) &'a [Value]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|value| match value {
            Value::Null => f.write_str(" NULL"),
            Value::Int(number) => write!(f, " {number}"),
            Value::Text(text) => write!(f, " {:?}", &**text),
            Value::Bytes(bytes) => {
                f.write_str(" x")?;
                bytes.chunks(8).try_for_each(|chunk| {
                    let word = chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
                    write!(f, "{word:0width$x}", width = 2 * chunk.len())
                })
            }
        })
    }
}

/// SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY and SQLITE_CONSTRAINT_ROWID.
const DUPLICATE_CODES: [i32; 3] = [2067, 1555, 2579];

pub(super) fn fault(error: rusqlite::Error) -> Fault {
    match &error {
        rusqlite::Error::SqliteFailure(cause, _) if DUPLICATE_CODES.contains(&cause.extended_code) => Fault::Duplicate,
        rusqlite::Error::SqliteFailure(cause, _) => match cause.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Fault::LockTimeout,
            ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
                Fault::Data(error.to_string())
            }
            _ => lost(&error.to_string()),
        },
        _ => lost(&error.to_string()),
    }
}
