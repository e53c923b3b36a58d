//! Why a statement failed.

use crate::storage::error::Error;

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
