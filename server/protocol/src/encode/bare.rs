//! The bare dialect: JSON objects one after the other, with NUL bytes or white space between them, or nothing.
//!
//! Where an object ends is told by matching braces outside strings. How far that has come is kept between calls, so a
//! stream that drips in byte by byte is still looked at once. Only `msgid`s 1 to 10 exist; what the node says ends with
//! a NUL, which C strings and old parsers take for the end.

use super::classic::{ChatLine, strings};
use crate::codec::Cut;
use crate::conversation::{Target, UserId};
use crate::errno::{Errno, Failure};
use crate::message::{ChatMessage, Group, Kind, LoginAck, Outgoing, Reply, msgid};
use crate::spelling::{Field, Spelling};
use bytes::{Buf, BufMut, BytesMut};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// How far an object that is not complete yet has been looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
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

pub(crate) fn encode(message: &Outgoing<'_>, spelling: Spelling, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => object(&line(message, spelling), out),
        Outgoing::Reply { kind, result, .. } => match result {
            Ok(Reply::Login(ack)) => object(&LoginDone { ack, spelling }, out),
            Ok(Reply::Register { id }) => object(&RegisterDone { id: *id, spelling }, out),
            Ok(_) => {}
            Err(failure) => encode_failure(*kind, failure, spelling, out),
        },
        Outgoing::Notice(_) | Outgoing::Ping | Outgoing::Event(_) => {}
    }
}

fn encode_failure(kind: Kind, failure: &Failure, spelling: Spelling, out: &mut BytesMut) {
    let msgid = match kind {
        Kind::Login => msgid::LOGIN_ACK,
        Kind::Register => msgid::REGISTER_ACK,
        _ => {
            let number = (spelling.name(Field::Msgid), msgid::ONE_CHAT);
            return object(&ChatLine::from_server(&failure.text, spelling, number), out);
        }
    };
    object(&Failed { msgid, failure, spelling }, out);
}

fn line(message: &ChatMessage, spelling: Spelling) -> ChatLine<'_> {
    let name = spelling.name(Field::Msgid);
    ChatLine::of(message, spelling, |to| match to {
        Target::User(_) => (name, msgid::ONE_CHAT),
        Target::Group(_) => (name, msgid::GROUP_CHAT),
    })
}

fn object<T: Serialize>(object: &T, out: &mut BytesMut) {
    serde_json::to_writer((&mut *out).writer(), object).expect("messages have string keys and a buffer takes all");
    out.put_u8(0);
}

// Written by hand, since the client decides what the fields are called.

struct Failed<'a> {
    msgid: u64,
    failure: &'a Failure,
    spelling: Spelling,
}

impl Serialize for Failed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Failed", 3)?;
        object.serialize_field(self.spelling.name(Field::Msgid), &self.msgid)?;
        object.serialize_field("errno", &self.failure.errno.code())?;
        object.serialize_field("errmsg", &self.failure.text)?;
        object.end()
    }
}

struct RegisterDone {
    id: UserId,
    spelling: Spelling,
}

impl Serialize for RegisterDone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("RegisterDone", 3)?;
        object.serialize_field(self.spelling.name(Field::Msgid), &msgid::REGISTER_ACK)?;
        object.serialize_field("errno", &Errno::Done.code())?;
        object.serialize_field("id", &self.id)?;
        object.end()
    }
}

struct LoginDone<'a> {
    ack: &'a LoginAck,
    spelling: Spelling,
}

impl Serialize for LoginDone<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LoginDone { ack, spelling } = *self;
        let mut object = serializer.serialize_struct("LoginDone", 7)?;
        object.serialize_field(spelling.name(Field::Msgid), &msgid::LOGIN_ACK)?;
        object.serialize_field("errno", &Errno::Done.code())?;
        object.serialize_field("id", &ack.id)?;
        object.serialize_field("name", &ack.name)?;
        if !ack.waiting.is_empty() {
            let lines = ack.waiting.iter().map(|message| line(message, spelling));
            object.serialize_field("offlinemsg", &strings(lines))?;
        }
        if !ack.roster.friends.is_empty() {
            object.serialize_field("friends", &strings(&ack.roster.friends))?;
        }
        if !ack.roster.groups.is_empty() {
            let groups = ack.roster.groups.iter().map(|group| GroupEntry { group, spelling });
            object.serialize_field("groups", &strings(groups))?;
        }
        object.end()
    }
}

struct GroupEntry<'a> {
    group: &'a Group,
    spelling: Spelling,
}

impl Serialize for GroupEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("GroupEntry", 4)?;
        object.serialize_field("id", &self.group.id)?;
        object.serialize_field(self.spelling.name(Field::Groupname), &self.group.groupname)?;
        object.serialize_field(self.spelling.name(Field::Groupdesc), &self.group.groupdesc)?;
        object.serialize_field("users", &strings(&self.group.users))?;
        object.end()
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
