//! Text that must not reach a log.

use serde::Serialize;
use std::fmt;

/// A password or a token. It can be written to the wire, and is never shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
