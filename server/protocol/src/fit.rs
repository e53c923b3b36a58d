//! What of a long list fits into one frame.
//!
//! A node's frames are bounded, and pages may stop early at that bound. Sizes are reckoned from above rather than
//! written out, because almost every page fits with room to spare.

/// The longest frame a node sends, in bytes; lists stop early at it and say `more`.
pub const MAX_NODE_FRAME_BYTES: usize = 1024 * 1024;

/// The longest that everything else in a reply gets: numbers, `mid`, token, names of node and server.
pub const REPLY_BYTES: usize = 8 * 1024;

/// The room that is left in a reply.
pub struct Room(usize);

impl Room {
    pub fn in_reply() -> Room {
        Room(MAX_NODE_FRAME_BYTES - REPLY_BYTES)
    }

    /// Takes `bytes` from the room, if it is that much.
    pub fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// The length of `text` in JSON, at most.
pub fn text_bytes(text: &str) -> usize {
    let escapes: usize =
        text.bytes().map(|byte| if byte < 0x20 { 5 } else { usize::from(matches!(byte, b'"' | b'\\')) }).sum();
    text.len() + escapes
}
