//! What clients are told when the node cannot do as they ask.

use super::Session;
use crate::cluster::EndReason;
use crate::storage;
use chat_protocol::errno::{Errno, Failure};
use std::time::Duration;

/// What a client is told to wait when the database cannot take its message.
const RETRY: Duration = Duration::from_millis(500);

/// Errno 11: not accepted, or it is unknown whether it was.
pub fn unavailable() -> Failure {
    Failure::from(Errno::Unavailable).retry_after(RETRY)
}

/// What a client is told whose session somebody elsewhere wants to end.
pub fn of_end(reason: EndReason) -> Failure {
    match reason {
        EndReason::LoginElsewhere => Errno::Replaced.into(),
        EndReason::Kicked => Errno::EndedByOperator.into(),
        EndReason::AccountDisabled => Errno::AccountDisabled.into(),
        EndReason::PasswordReset => Failure::new(Errno::EndedByOperator, "your password was reset by an operator"),
    }
}

/// Errno 11, with the cause in the log and not on the wire.
pub fn storage_failure(error: storage::Error) -> Failure {
    tracing::warn!(%error, "a request could not be done");
    unavailable()
}

/// The same where something was to change: a session that turns out to be another node's is closed.
pub fn change_failure(session: &Session, error: storage::Error) -> Failure {
    if let storage::Error::SessionGone = error {
        session.lose();
    }
    storage_failure(error)
}
