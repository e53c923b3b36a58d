//! The messages that the database holds, as a story's history has them.

use anyhow::{Context, Result, bail, ensure};
use chat_protocol::conversation::UserId;
use judge::history;
use uuid::Uuid;

/// Asks for all of them.
pub(crate) const QUERY: &str = "SELECT conv, seq, sender, HEX(mid), body FROM message ORDER BY conv, seq";

/// Also for what [`KEEP_REMOVED`] kept aside.
pub(crate) const QUERY_ALL: &str = "SELECT conv, seq, sender, HEX(mid), body FROM message UNION ALL \
                                    SELECT conv, seq, sender, HEX(mid), body FROM removed ORDER BY conv, seq";
/// The places of what was removed.
pub(crate) const QUERY_REMOVED: &str = "SELECT conv, seq FROM removed ORDER BY conv, seq";
/// From then on messages that are removed are kept aside.
pub(crate) const KEEP_REMOVED: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS removed (conv VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
     seq BIGINT NOT NULL, sender BIGINT NOT NULL, mid BINARY(16) NOT NULL, body MEDIUMTEXT NOT NULL, \
     PRIMARY KEY (conv, seq)) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TRIGGER IF NOT EXISTS keep_removed BEFORE DELETE ON message FOR EACH ROW \
     INSERT INTO removed VALUES (old.conv, old.seq, old.sender, old.mid, old.body)",
];

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

/// The place of a message that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub conv: String,
    pub seq: u64,
    /// For how long it was kept at least.
    pub kept_s: u64,
}

/// Reads the answer to [`QUERY_REMOVED`], of messages that were kept for so long.
///
/// # Errors
/// If it is no such answer.
pub(crate) fn read_removed(fields: &[String], kept_s: u64) -> Result<Removed> {
    let [conv, seq] = fields else { bail!("a place of {} fields: {fields:?}", fields.len()) };
    let seq = seq.parse().with_context(|| format!("not a number: {fields:?}"))?;
    Ok(Removed { conv: conv.clone(), seq, kept_s })
}

/// Reads the answer to [`QUERY`] or [`QUERY_ALL`]: each field as text.
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
