//! Values on their way to the server and back.

use crate::storage::Error;
use crate::storage::engine::{Result, Row, Value};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{MySql, Row as _, Type, TypeInfo, ValueRef};

pub fn bind(values: &[Value]) -> Result<MySqlArguments> {
    use sqlx::Arguments;
    let mut arguments = MySqlArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(&**text),
            Value::Bytes(bytes) => arguments.add(&**bytes),
        }
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    }
    Ok(arguments)
}

pub fn decode(row: &MySqlRow) -> sqlx::Result<Row> {
    let mut values = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        let raw = row.try_get_raw(at)?;
        let kind = raw.type_info();
        let value = if raw.is_null() {
            Value::Null
        } else if kind.name().contains("INT") || kind.name() == "BOOLEAN" {
            Value::Int(row.try_get_unchecked(at)?)
        } else if <str as Type<MySql>>::compatible(&kind) {
            Value::Text(row.try_get_unchecked::<&str, _>(at)?.into())
        } else {
            Value::Bytes(row.try_get_unchecked(at)?)
        };
        values.push(value);
    }
    Ok(Row(values))
}
