//! The messages that the database holds, as a story's history has them.

use anyhow::{Context, Result, ensure};
use chat_protocol::conversation::UserId;
use judge::history;
use uuid::Uuid;

/// Asks for all of them.
pub(crate) const QUERY: &str = "SELECT conv, seq, sender, HEX(mid), body FROM message ORDER BY conv, seq";

/// One message in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub conv: String,
    pub seq: u64,
    pub sender: UserId,
    pub mid: Uuid,
    /// The hash that stands for its text.
    pub body: u64,
}

/// Reads the answer to [`QUERY`]: each field as text.
///
/// # Errors
/// If it is no such answer.
pub(crate) fn read(fields: &[String]) -> Result<Row> {
    ensure!(fields.len() == 5, "a row of {} fields: {fields:?}", fields.len());
    let number = |field: usize| fields[field].parse::<u64>().with_context(|| format!("not a number: {fields:?}"));
    let mid = Uuid::try_parse(&fields[3]).with_context(|| format!("not a mid: {fields:?}"))?;
    let body = history::body(&fields[4]);
    Ok(Row { conv: fields[0].clone(), seq: number(1)?, sender: number(2)?, mid, body })
}
