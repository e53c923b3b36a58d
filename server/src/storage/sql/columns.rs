//! What columns hold beyond numbers and text.

use crate::storage::Error;
use crate::storage::engine::{Result, Row};
use chat_protocol::conversation::{Conversation, LogEpoch};
use chat_protocol::message::State;

/// The log epoch in a column.
pub fn epoch(row: &Row, at: usize) -> Result<LogEpoch> {
    let number = row.number(at)?;
    Ok(LogEpoch::try_from(number).map_err(|_| Error::Unusable(format!("the database holds a log epoch {number}")))?)
}

/// The conversation named in a column.
pub fn conversation(row: &Row, at: usize) -> Result<Conversation> {
    let name = row.text(at)?;
    Ok(name.parse().map_err(|_| Error::Unusable(format!("the database holds a conversation named {name:?}")))?)
}

/// The state in a column that says whether a live node holds the user's session.
pub fn state(row: &Row, at: usize) -> Result<State> {
    Ok(if row.flag(at)? { State::Online } else { State::Offline })
}
