//! A frame of the framed dialect, written piece by piece behind a placeholder for its length.

use chat_client::wire::HEADER_BYTES;
use uuid::Uuid;

/// A frame that is being written; nothing of it counts before [`Frame::end`].
pub struct Frame<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Frame<'a> {
    /// Begins a frame behind what `out` holds.
    pub fn begin(out: &'a mut Vec<u8>) -> Frame<'a> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Frame { out, start }
    }

    /// Appends JSON as it stands.
    pub fn json(&mut self, text: &str) -> &mut Self {
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.json(itoa::Buffer::new().format(number))
    }

    /// Appends the identity without quotes.
    pub fn mid(&mut self, mid: Uuid) -> &mut Self {
        self.json(mid.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    /// Fills in the length.
    pub fn end(&mut self) {
        let (header, payload) = self.out[self.start..].split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&(payload.len() as u32).to_be_bytes());
    }
}
