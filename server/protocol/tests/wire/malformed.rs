//! Bytes after which a connection cannot go on: each ends in its errno, whatever else arrives.

use crate::support::{DIALECTS, MAX_FRAME_BYTES, codec, decode_all, fatal, frame};
use bytes::BytesMut;
use chat_protocol::Dialect;
use chat_protocol::errno::Errno;
use proptest::prelude::*;

/// JSON that no dialect takes, with what it shows.
fn hostile_json() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |depth| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    vec![
        ("not UTF-8", b"{\"msgid\":1,\"msgType\":1,\"x\":\"\xff\"}".to_vec()),
        ("overlong UTF-8", b"{\"msgid\":1,\"msgType\":1,\"x\":\"\xc0\x80\"}".to_vec()),
        ("NUL in a string", b"{\"msgid\":1,\"msgType\":1,\"x\":\"\0\"}".to_vec()),
        ("NUL between tokens", b"{\"msgid\":1,\0\"msgType\":1}".to_vec()),
        ("half a surrogate pair", br#"{"msgid":1,"msgType":1,"x":"\ud800"}"#.to_vec()),
        ("duplicate key", br#"{"msgid":1,"msgType":1,"x":1,"x":2}"#.to_vec()),
        ("duplicate msgid", br#"{"msgid":1,"msgType":1,"msgid":1,"msgType":1}"#.to_vec()),
        ("duplicate key, escaped", br#"{"msgid":1,"msgType":1,"a":1,"\u0061":2}"#.to_vec()),
        ("duplicate key, nested", br#"{"msgid":1,"msgType":1,"x":[{"a":1,"a":2}]}"#.to_vec()),
        ("nested too deep", nested(32)),
        ("nested 10,000 deep", nested(10_000)),
        ("no number", br#"{}"#.to_vec()),
        ("number is text", br#"{"msgid":"1","msgType":"1"}"#.to_vec()),
        ("number is null", br#"{"msgid":null,"msgType":null}"#.to_vec()),
        ("number is a float", br#"{"msgid":1.0,"msgType":1.0}"#.to_vec()),
        ("number is a list", br#"{"msgid":[1],"msgType":[1]}"#.to_vec()),
        ("not JSON", br#"{msgid:1}"#.to_vec()),
    ]
}

#[test]
fn hostile_json_is_fatal_in_every_dialect() {
    for dialect in DIALECTS {
        for (what, json) in hostile_json() {
            assert_eq!(fatal(dialect, &frame(dialect, json)), Errno::Malformed, "{dialect:?}: {what}");
        }
    }
}

#[test]
fn nesting_bombs_do_not_overflow_the_stack() {
    for bomb in ["[".repeat(1_000_000), "{\"x\":".repeat(1_000_000), "{\"x\":[".repeat(500_000)] {
        let json = format!("{{\"msgid\":1,\"msgType\":1,\"x\":{bomb}");
        for dialect in [Dialect::Framed, Dialect::Checked] {
            let mut codec = chat_protocol::Codec::new(dialect, 16 << 20);
            let result = codec.decode(&mut BytesMut::from(&frame(dialect, &json)[..]));
            assert_eq!(result.expect_err("a bomb").errno, Errno::Malformed);
        }
        assert_eq!(fatal(Dialect::Bare, json.as_bytes()), Errno::TooLarge);
    }
}

#[test]
fn payload_must_be_exactly_one_object() {
    for payload in ["", " ", "null", "1", "\"x\"", "[]", "[{\"msgid\":19}]", "{\"msgid\":19}x", "{\"msgid\":19}{}"] {
        assert_eq!(fatal(Dialect::Framed, &frame(Dialect::Framed, payload)), Errno::Malformed, "{payload}");
        assert_eq!(fatal(Dialect::Checked, &frame(Dialect::Checked, payload)), Errno::Malformed, "{payload}");
    }
    for start in ["null", "[", "x", "\u{1}", "}", "\0\0,{}"] {
        assert_eq!(fatal(Dialect::Bare, start.as_bytes()), Errno::Malformed, "{start}");
    }
}

#[test]
fn framed_length_is_judged_by_the_header_alone() {
    for (length, errno) in [
        (0, Errno::Malformed),
        (MAX_FRAME_BYTES as u32 + 1, Errno::TooLarge),
        (i32::MAX as u32 + 1, Errno::TooLarge),
        (u32::MAX, Errno::TooLarge),
    ] {
        assert_eq!(fatal(Dialect::Framed, &length.to_be_bytes()), errno, "{length}");
    }
    let longest = (MAX_FRAME_BYTES as u32).to_be_bytes();
    assert_eq!(codec(Dialect::Framed).decode(&mut BytesMut::from(&longest[..])), Ok(None));
}

#[test]
fn checked_header_is_judged_at_once() {
    let header = |length: i32| [&[0xFE, 0xFF][..], &length.to_be_bytes()].concat();
    for (bytes, errno) in [
        (vec![0x00], Errno::Malformed),
        (vec![0xFE, 0xFE], Errno::Malformed),
        (header(-1), Errno::Malformed),
        (header(i32::MIN), Errno::Malformed),
        (header(MAX_FRAME_BYTES as i32 + 1), Errno::TooLarge),
        (header(i32::MAX), Errno::TooLarge),
    ] {
        assert_eq!(fatal(Dialect::Checked, &bytes), errno, "{bytes:02x?}");
    }
    assert_eq!(codec(Dialect::Checked).decode(&mut BytesMut::from(&header(MAX_FRAME_BYTES as i32)[..])), Ok(None));
}

#[test]
fn checked_frame_with_any_flipped_bit_is_not_taken() {
    let sent = frame(Dialect::Checked, r#"{"msgType":4,"name":"alice","password":"secret"}"#);
    for bit in 0..sent.len() * 8 {
        let mut damaged = sent.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let result = codec(Dialect::Checked).decode(&mut BytesMut::from(&damaged[..]));
        // A longer length waits for the rest; everything else is found out.
        assert!(matches!(result, Err(_) | Ok(None)), "bit {bit}: {result:?}");
    }
}

#[test]
fn longest_message_is_taken_and_one_byte_more_is_not() {
    let json = |length: usize| {
        let start = r#"{"msgid":19,"msgType":3,"x":""#;
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    for dialect in DIALECTS {
        let longest = frame(dialect, json(MAX_FRAME_BYTES));
        let taken = decode_all(&mut codec(dialect), &mut BytesMut::from(&longest[..]));
        assert_eq!(taken.map(|messages| messages.len()), Ok(1), "{dialect:?}");
        assert_eq!(fatal(dialect, &frame(dialect, json(MAX_FRAME_BYTES + 1))), Errno::TooLarge, "{dialect:?}");
    }
}

#[test]
fn bare_object_that_never_ends_is_refused_at_the_limit() {
    for filler in ["{", "\"", "{\"a\":\"\\", "{\"a\":[[[["] {
        let endless = format!("{{\"x\":{}", filler.repeat(MAX_FRAME_BYTES));
        let mut codec = codec(Dialect::Bare);
        let mut input = BytesMut::from(&endless.as_bytes()[..MAX_FRAME_BYTES]);
        assert_eq!(codec.decode(&mut input), Ok(None));
        input.extend_from_slice(b"{");
        assert_eq!(codec.decode(&mut input).expect_err("past the limit").errno, Errno::TooLarge);
    }
}

/// Decodes until nothing more comes; every message must take bytes, or it would never end.
fn exhaust(dialect: Dialect, bytes: &[u8]) {
    let mut codec = codec(dialect);
    let mut input = BytesMut::from(bytes);
    loop {
        let before = input.len();
        match codec.decode(&mut input) {
            Ok(Some(_)) => assert!(input.len() < before),
            Ok(None) | Err(_) => return,
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for dialect in DIALECTS {
            exhaust(dialect, &bytes);
            exhaust(dialect, &frame(dialect, &bytes));
        }
    }

    #[test]
    fn any_json_like_text_ends(text in "(\\{\"msg(id|Id|_id|Type)\":[0-9]{1,2},)?[{}\\[\\]\",:\\\\a1e.\\- \0]{0,60}\\}?") {
        for dialect in DIALECTS {
            exhaust(dialect, &frame(dialect, &text));
        }
    }
}
