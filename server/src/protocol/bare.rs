//! The bare dialect: JSON objects one after the other, with NUL bytes or white space between them, or nothing.
//!
//! Where an object ends is told by matching braces outside strings. How far that has come is kept between calls, so a
//! stream that drips in byte by byte is still looked at once. Only `msgid`s 1 to 10 exist; what the node says ends with
//! a NUL, which C strings and old parsers take for the end.

use super::classic::{ChatLine, Friends, InString, Users, strings};
use super::codec::Cut;
use super::conversation::{GroupId, UserId};
use super::errno::{Errno, Failure};
use super::message::{ChatMessage, Group, Kind, LoginAck, Outgoing, Reply, msgid};
use bytes::{Buf, BufMut, BytesMut};
use serde::Serialize;

/// How far an object that is not complete yet has been looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    /// Bytes from the front of the input that need not be looked at again.
    seen: usize,
    /// Braces still open.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Drops separators and finds the object at the front of `input`; `Ok(None)` if it is not complete yet.
    pub fn cut(&mut self, input: &mut BytesMut, max_frame_bytes: usize) -> Result<Option<Cut>, Failure> {
        if self.seen == 0 {
            let separators = input.iter().take_while(|&&byte| is_separator(byte)).count();
            input.advance(separators);
            if input.first().is_some_and(|&first| first != b'{') {
                return Err(Failure::new(Errno::Malformed, "no object where one should begin"));
            }
        }
        let end = self.end_of_object(&input[..input.len().min(max_frame_bytes)]);
        if let Some(end) = end {
            *self = Scan::default();
            return Ok(Some(Cut { payload: 0..end, end }));
        }
        if input.len() > max_frame_bytes {
            return Err(Failure::new(Errno::TooLarge, format!("object longer than {max_frame_bytes} bytes")));
        }
        Ok(None)
    }

    fn end_of_object(&mut self, input: &[u8]) -> Option<usize> {
        for &byte in &input[self.seen..] {
            self.seen += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(self.seen);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

fn is_separator(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

pub(super) fn encode(message: &Outgoing<'_>, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => object(&line(message), out),
        Outgoing::Reply { kind, result, .. } => match result {
            Ok(Reply::Login(ack)) => object(&LoginDone::of(ack), out),
            Ok(Reply::Register { id }) => {
                object(&RegisterDone { msgid: msgid::REGISTER_ACK, errno: Errno::Done.code(), id: *id }, out);
            }
            Ok(_) => {}
            Err(failure) => encode_failure(*kind, failure, out),
        },
        Outgoing::Notice(_) | Outgoing::Ping | Outgoing::Event(_) => {}
    }
}

fn encode_failure(kind: Kind, failure: &Failure, out: &mut BytesMut) {
    let msgid = match kind {
        Kind::Login => msgid::LOGIN_ACK,
        Kind::Register => msgid::REGISTER_ACK,
        _ => return object(&ChatLine::from_server(&failure.text).with_msgid(msgid::ONE_CHAT), out),
    };
    object(&Failed { msgid, errno: failure.errno.code(), errmsg: &failure.text }, out);
}

fn line(message: &ChatMessage) -> ChatLine<'_> {
    let line = ChatLine::of(message);
    let msgid = if line.is_for_group() { msgid::GROUP_CHAT } else { msgid::ONE_CHAT };
    line.with_msgid(msgid)
}

fn object<T: Serialize>(object: &T, out: &mut BytesMut) {
    serde_json::to_writer((&mut *out).writer(), object).expect("messages have string keys and a buffer takes all");
    out.put_u8(0);
}

#[derive(Serialize)]
struct Failed<'a> {
    msgid: u64,
    errno: u8,
    errmsg: &'a str,
}

#[derive(Serialize)]
struct RegisterDone {
    msgid: u64,
    errno: u8,
    id: UserId,
}

#[derive(Serialize)]
struct LoginDone<'a> {
    msgid: u64,
    errno: u8,
    id: UserId,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offlinemsg: Vec<InString<ChatLine<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    friends: Friends<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<InString<GroupEntry<'a>>>,
}

impl<'a> LoginDone<'a> {
    fn of(ack: &'a LoginAck) -> Self {
        LoginDone {
            msgid: msgid::LOGIN_ACK,
            errno: Errno::Done.code(),
            id: ack.id,
            name: &ack.name,
            offlinemsg: strings(ack.waiting.iter().map(line)),
            friends: strings(&ack.roster.friends),
            groups: strings(ack.roster.groups.iter().map(GroupEntry::of)),
        }
    }
}

#[derive(Serialize)]
struct GroupEntry<'a> {
    id: GroupId,
    groupname: &'a str,
    groupdesc: &'a str,
    users: Users<'a>,
}

impl<'a> GroupEntry<'a> {
    fn of(group: &'a Group) -> Self {
        GroupEntry {
            id: group.id,
            groupname: &group.groupname,
            groupdesc: &group.groupdesc,
            users: strings(&group.users),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_object_is_looked_at_once() {
        let mut scan = Scan::default();
        let mut input = BytesMut::from(&b" \0\n"[..]);
        let object = br#"{"a":"}\"}{","b":{"c":"\\"}}"#;
        for (place, &byte) in object.iter().enumerate() {
            assert_eq!(scan.seen, place);
            input.put_u8(byte);
            let cut = scan.cut(&mut input, 100).expect("a lawful object");
            assert_eq!(cut.is_some(), place + 1 == object.len(), "{place}");
        }
        assert_eq!(scan.seen, 0);
    }

    #[test]
    fn separators_alone_are_not_kept() {
        let mut input = BytesMut::from(&b"\0\0 \r\n\t"[..]);
        assert_eq!(Scan::default().cut(&mut input, 100), Ok(None));
        assert!(input.is_empty());
    }
}
