//! The one door between bytes and messages, whatever the dialect.
//!
//! A [`Codec`] is what a connection keeps: which dialect, how long a frame may be, how far an unfinished bare object
//! has been looked at, and how a classic client spells. It holds no bytes itself. However a stream is cut into pieces,
//! the messages are the same, and the work is linear in the bytes.

use crate::decode::decode;
use crate::dialect::Dialect;
use crate::encode;
use crate::errno::{Errno, Failure};
use crate::framing::length::{self, Order};
use crate::framing::{Cut, bare, checked};
use crate::json;
use crate::message::{Incoming, Outgoing};
use crate::spelling::{SharedSpelling, Spelling};
use bytes::{Buf, BytesMut};

/// Decodes one client's requests and encodes what it is to be told.
#[derive(Clone, Debug)]
pub struct Codec {
    dialect: Dialect,
    max_frame_bytes: usize,
    scan: bare::Scan,
    spelling: SharedSpelling,
}

impl Codec {
    /// `max_frame_bytes` bounds the JSON of one message from the client; beyond it errno 9.
    pub fn new(dialect: Dialect, max_frame_bytes: usize) -> Codec {
        Codec { dialect, max_frame_bytes, scan: bare::Scan::default(), spelling: SharedSpelling::default() }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Takes one message from the front of `input`; `Ok(None)` if it holds no whole one yet. After `Err` the stream
    /// cannot be read on: say why with a NOTICE where the dialect has one, and close.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, Failure> {
        let cut = match self.dialect {
            Dialect::Framed => length::cut(input, Order::Big, self.max_frame_bytes)?,
            Dialect::Checked => checked::cut(input, self.max_frame_bytes)?,
            Dialect::Bare => {
                input.advance(self.scan.separators(input));
                self.scan.cut(input, self.max_frame_bytes)?
            }
        };
        let Some(Cut { payload, end }) = cut else { return Ok(None) };
        let fields = json::parse(&input[payload]).map_err(|error| Failure::new(Errno::Malformed, error.to_string()))?;
        let mut spelling = self.spelling.get();
        let incoming = decode(self.dialect, &mut spelling, fields)?;
        self.spelling.set(spelling);
        input.advance(end);
        Ok(Some(incoming))
    }

    /// Appends `message` to `out`; nothing where the dialect has no such message.
    pub fn encode(&self, message: &Outgoing<'_>, out: &mut BytesMut) {
        match self.dialect {
            Dialect::Framed => encode::framed::encode(message, out),
            Dialect::Checked => encode::checked::encode(message, self.spelling.get(), out),
            Dialect::Bare => encode::bare::encode(message, self.spelling.get(), out),
        }
    }

    /// How the client spells, as far as it has shown: always as usual in the framed dialect.
    pub fn spelling(&self) -> Spelling {
        self.spelling.get()
    }

    /// Encodes by this spelling from now on.
    pub fn spell(&self, spelling: Spelling) {
        self.spelling.set(spelling);
    }

    /// Whether clients of this dialect say what they received.
    pub fn acknowledges(&self) -> bool {
        self.dialect == Dialect::Framed
    }

    /// Whether PING and NOTICE exist in this dialect.
    pub fn speaks_ping_and_notice(&self) -> bool {
        self.dialect == Dialect::Framed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_is_small_enough_for_every_idle_connection() {
        assert!(size_of::<Codec>() < 64);
    }
}
