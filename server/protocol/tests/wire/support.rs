//! The client's side of the three dialects, and the shortest ways to ask a codec for something.

use bytes::{Buf, BytesMut};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Incoming, Outgoing, Request};
use chat_protocol::{Codec, Dialect, murmur};

pub const DIALECTS: [Dialect; 3] = [Dialect::Framed, Dialect::Checked, Dialect::Bare];
pub const MAX_FRAME_BYTES: usize = 65_536;

pub fn codec(dialect: Dialect) -> Codec {
    Codec::new(dialect, MAX_FRAME_BYTES)
}

/// `json` as a client of this dialect sends it.
pub fn frame(dialect: Dialect, json: impl AsRef<[u8]>) -> Vec<u8> {
    let json = json.as_ref();
    match dialect {
        Dialect::Framed => [&(json.len() as u32).to_be_bytes(), json].concat(),
        Dialect::Checked => {
            let length = (json.len() as u32).to_be_bytes();
            [&[0xFE, 0xFF], &length[..], json, &murmur::checksum(json).to_be_bytes()].concat()
        }
        Dialect::Bare => json.to_vec(),
    }
}

/// Decodes all of `bytes`, which arrive at once.
pub fn decode_all(codec: &mut Codec, input: &mut BytesMut) -> Result<Vec<Incoming>, Failure> {
    let mut messages = Vec::new();
    while let Some(message) = codec.decode(input)? {
        messages.push(message);
    }
    Ok(messages)
}

/// Decodes one frame that holds `json`.
pub fn decode(dialect: Dialect, json: impl AsRef<[u8]>) -> Result<Incoming, Failure> {
    let mut input = BytesMut::from(&frame(dialect, json)[..]);
    let message = codec(dialect).decode(&mut input)?;
    assert!(input.is_empty(), "left over: {input:?}");
    Ok(message.expect("a whole frame was there"))
}

#[track_caller]
pub fn request(dialect: Dialect, json: &str) -> Request {
    match decode(dialect, json) {
        Ok(Incoming::Request(request)) => request,
        other => panic!("{json}: {other:?}"),
    }
}

#[track_caller]
pub fn fatal(dialect: Dialect, bytes: &[u8]) -> Errno {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
    match codec(dialect).decode(&mut BytesMut::from(bytes)) {
        Err(failure) => failure.errno,
        other => panic!("{dialect:?} {start}: {other:?}"),
    }
}

/// The JSON of everything that `messages` become, taken out of its frames.
pub fn said(dialect: Dialect, message: &Outgoing<'_>) -> Vec<String> {
    said_by(&codec(dialect), message)
}

/// The same from a codec that has heard something of its client.
pub fn said_by(codec: &Codec, message: &Outgoing<'_>) -> Vec<String> {
    let dialect = codec.dialect();
    let mut out = BytesMut::new();
    codec.encode(message, &mut out);
    let mut objects = Vec::new();
    while out.has_remaining() {
        objects.push(String::from_utf8(payload(dialect, &mut out)).expect("a node speaks UTF-8"));
    }
    objects
}

/// The one object that `message` becomes.
#[track_caller]
pub fn said_once(dialect: Dialect, message: &Outgoing<'_>) -> String {
    let mut objects = said(dialect, message);
    assert_eq!(objects.len(), 1, "{objects:?}");
    objects.remove(0)
}

/// The JSON at the front of what a node said.
pub fn payload(dialect: Dialect, out: &mut BytesMut) -> Vec<u8> {
    match dialect {
        Dialect::Framed => {
            let length = out.get_u32() as usize;
            out.split_to(length).to_vec()
        }
        Dialect::Checked => {
            assert_eq!(out.get_u16(), 0xFEFF);
            let length = out.get_i32() as usize;
            let payload = out.split_to(length).to_vec();
            assert_eq!(out.get_u32(), murmur::checksum(&payload));
            payload
        }
        Dialect::Bare => {
            let end = out.iter().position(|&byte| byte == 0).expect("a bare object ends with NUL");
            let payload = out.split_to(end).to_vec();
            out.advance(1);
            payload
        }
    }
}
