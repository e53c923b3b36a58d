//! A chat message on its way to one connection or many.

use bytes::{Bytes, BytesMut};
use chat_protocol::Spelling;
use chat_protocol::codec::Codec;
use chat_protocol::dialect::Dialect;
use chat_protocol::message::{ChatMessage, Outgoing};
use std::sync::OnceLock;

/// A chat message for any number of connections: each dialect's bytes are made at most once, and only if asked for; but
/// once for each who spells in a way of its own.
pub struct Push<'a> {
    pub message: &'a ChatMessage,
    encoded: [OnceLock<Bytes>; Dialect::COUNT],
    /// With one recipient the bytes go straight into its buffer.
    shared: bool,
}

impl<'a> Push<'a> {
    pub fn new(message: &'a ChatMessage, recipients: usize) -> Self {
        Push { message, encoded: Default::default(), shared: recipients > 1 }
    }

    pub(super) fn append(&self, codec: &Codec, buffer: &mut BytesMut) {
        if !self.shared || codec.spelling() != Spelling::default() {
            return codec.encode(&Outgoing::Push(self.message), buffer);
        }
        let bytes = self.encoded[codec.dialect() as usize].get_or_init(|| {
            let mut bytes = BytesMut::new();
            codec.encode(&Outgoing::Push(self.message), &mut bytes);
            bytes.freeze()
        });
        buffer.extend_from_slice(bytes);
    }
}
