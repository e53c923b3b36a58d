//! What can go wrong for a client, in words fit for a person.
//!
//! [`Error`] is the outcome of one call; [`Why`] is what ended a connection. Both are `Clone`, because one lost
//! connection is the answer to everything that waited on it.

use chat_protocol::errno::Failure;
use std::io;
use std::time::Duration;

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The node said no: final or retryable as its errno says.
    #[error("{0}")]
    Refused(Failure),
    /// There is no connection (any more). Whether the request was done is unknown.
    #[error("not connected: {0}")]
    Disconnected(Why),
    /// No answer within the time allowed; whether the request was done is unknown.
    #[error("no answer within the time allowed")]
    TimedOut,
    /// What came is not what a node says. The connection is given up where its frames cannot be trusted.
    #[error("not a proper answer: {0}")]
    Protocol(String),
    /// As much waits for answers as [`super::Options`] allows: wait for some first.
    #[error("too much waits for an answer")]
    Full,
    /// Not sent: the node would close the connection over a frame this long.
    #[error("too large: a frame of {bytes} bytes, the node takes {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// No connection could be made.
    #[error("cannot connect to {address}: {text}")]
    Connect { address: String, kind: io::ErrorKind, text: String },
    /// Connected, but TLS failed; `certificate`: because the node's certificate was not accepted.
    #[error("no secure connection to {address}: {text}")]
    Tls { address: String, text: String, certificate: bool },
}

impl Error {
    /// How long to wait before the same call can succeed, where the node said so.
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Error::Refused(failure) => failure.retry,
            _ => None,
        }
    }
}

/// What ended a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// End of file, without a NOTICE.
    #[error("the node closed the connection")]
    Closed,
    #[error("{text}")]
    Io { kind: io::ErrorKind, text: String },
    /// The node said why.
    #[error("{}", .0.text)]
    Notice(Failure),
    /// Nothing came for three heartbeats, two PINGs included.
    #[error("the node has been silent for too long")]
    Silent,
    #[error("not a proper answer: {0}")]
    Protocol(String),
    /// The login after a reconnect was refused for good.
    #[error("the login was refused: {}", .0.text)]
    Refused(Failure),
    /// No node could be reached in as many tries as [`super::Reconnect`] allows.
    #[error("no node could be reached")]
    GaveUp,
    /// This side closed it.
    #[error("closed by this side")]
    Ended,
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Why::Io { kind: error.kind(), text: error.to_string() }
    }
}
