//! A `mid` exactly as the client wrote it, to be echoed in the reply.

use std::fmt;

/// The longest `mid` that is echoed, in bytes; a longer one is errno 4.
pub const MAX_MID_BYTES: usize = 64;

/// The text of a `mid`. Inline, so that carrying it costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MidText {
    len: u8,
    bytes: [u8; MAX_MID_BYTES],
}

impl MidText {
    /// `None` if `text` is longer than [`MAX_MID_BYTES`].
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; MAX_MID_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(MidText { len: text.len() as u8, bytes })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("made from a str")
    }
}

impl fmt::Debug for MidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
