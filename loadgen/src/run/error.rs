//! Why a run came to nothing: on this side, or before it measured.

use super::{open_files, setup};
use crate::dialect::profile;
use crate::link;
use crate::user::accounts;

/// Why there is no outcome at all. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plan(#[from] crate::plan::Error),
    #[error(transparent)]
    Accounts(#[from] accounts::Error),
    #[error(transparent)]
    History(#[from] judge::history::Error),
    #[error(transparent)]
    Files(#[from] open_files::Error),
    #[error(transparent)]
    Profile(#[from] profile::Error),
    /// Those whom it was to begin together with do not begin.
    #[error("{0}")]
    Together(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Why measuring never began: this is the outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Link(#[from] link::Error),
    #[error(transparent)]
    Setup(#[from] setup::Error),
    #[error("nobody could log in{}", why.as_ref().map_or(String::new(), |why| format!(": {why}")))]
    NobodyOnline { why: Option<String> },
    #[error("interrupted before the measured time")]
    Interrupted,
    #[cfg(feature = "goose")]
    #[error(transparent)]
    Goose(#[from] crate::driver::goose::Error),
    #[error(transparent)]
    Fatal(#[from] Error),
}
