//! Where one frame ends and the next begins: one reader and one writer a framing, for nodes and clients alike.
//!
//! A reader looks at the front of what has come and takes nothing away. What a length promises is checked before any of
//! the body arrives.

pub mod bare;
pub mod checked;
pub mod length;

use crate::errno::{Errno, Failure};
use std::ops::Range;

/// Where one complete frame lies at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub payload: Range<usize>,
    /// Everything before this place belongs to the frame.
    pub end: usize,
}

/// Why no frame can begin with such bytes: the stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("empty frame")]
    Empty,
    #[error("frame of {bytes} bytes, at most {limit} allowed")]
    TooLong { bytes: usize, limit: usize },
    #[error("negative length {0}")]
    NegativeLength(i32),
    #[error("no frame marker")]
    NoMarker,
    #[error("wrong checksum")]
    Checksum,
    #[error("no object where one should begin")]
    NoObject,
    #[error("object longer than {limit} bytes")]
    ObjectTooLong { limit: usize },
}

impl Error {
    /// The length that was announced, where that is what is wrong.
    pub fn announced_bytes(&self) -> Option<usize> {
        match self {
            Error::Empty => Some(0),
            Error::TooLong { bytes, .. } => Some(*bytes),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let errno = match error {
            Error::TooLong { .. } | Error::ObjectTooLong { .. } => Errno::TooLarge,
            _ => Errno::Malformed,
        };
        Failure::new(errno, error.to_string())
    }
}
