//! The checked dialect: `FE FF`, a 4-byte big-endian signed length, JSON, and a 4-byte big-endian checksum of it.
//!
//! Its kinds of messages have numbers of their own (`msgType`), and its replies say `code`, where 200 is done. A wrong
//! marker, length or checksum ends the connection, the length as soon as the header is there.

use super::classic::{ChatLine, Friends, InString, Users, strings};
use crate::codec::Cut;
use crate::conversation::{GroupId, Target, UserId};
use crate::errno::{Errno, Failure};
use crate::message::{ChatMessage, Group, Kind, LoginAck, Outgoing, Reply};
use crate::murmur::checksum;
use crate::spelling::Spelling;
use bytes::{BufMut, BytesMut};
use serde::Serialize;

const MARKER: [u8; 2] = [0xFE, 0xFF];
const HEADER_BYTES: usize = MARKER.len() + 4;
const CHECKSUM_BYTES: usize = 4;

/// The field that holds a message's number, which all clients of this dialect spell alike.
pub(crate) const NUMBER: &str = "msgType";
/// `code` of what was done.
const DONE: u16 = 200;
/// `code` of what is not known, and of a registration that failed.
const NOT_FOUND: u16 = 404;

/// The numbers of what a node says.
mod msg_type {
    /// What answers a `msgType` that nobody knows.
    pub const UNKNOWN: u64 = 0;
    pub const LOGIN_ACK: u64 = 2;
    pub const REGISTER_ACK: u64 = 5;
    pub const ONE_CHAT: u64 = 6;
    pub const ONE_CHAT_ACK: u64 = 7;
    pub const GROUP_CHAT: u64 = 8;
}

/// Finds the frame at the front of `input`; `Ok(None)` if it is not complete yet.
pub(crate) fn cut(input: &[u8], max_frame_bytes: usize) -> Result<Option<Cut>, Failure> {
    if input.iter().zip(MARKER).any(|(&byte, expected)| byte != expected) {
        return Err(Failure::new(Errno::Malformed, "no frame marker"));
    }
    let Some(&[_, _, length @ ..]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = i32::from_be_bytes(length);
    let Ok(payload_bytes) = usize::try_from(length) else {
        return Err(Failure::new(Errno::Malformed, format!("negative length {length}")));
    };
    if payload_bytes > max_frame_bytes {
        let text = format!("frame of {payload_bytes} bytes, at most {max_frame_bytes} allowed");
        return Err(Failure::new(Errno::TooLarge, text));
    }
    let payload = HEADER_BYTES..HEADER_BYTES + payload_bytes;
    let Some(sum) = input.get(payload.end..).and_then(|rest| rest.first_chunk::<CHECKSUM_BYTES>()) else {
        return Ok(None);
    };
    if u32::from_be_bytes(*sum) != checksum(&input[payload.clone()]) {
        return Err(Failure::new(Errno::Malformed, "wrong checksum"));
    }
    Ok(Some(Cut { end: payload.end + CHECKSUM_BYTES, payload }))
}

pub(crate) fn encode(message: &Outgoing<'_>, spelling: Spelling, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => frame(&line(message, spelling), out),
        Outgoing::Reply { kind, result, .. } => match result {
            Ok(reply) => encode_done(*kind, reply, spelling, out),
            Err(failure) => encode_failure(*kind, failure, spelling, out),
        },
        Outgoing::Notice(_) | Outgoing::Ping | Outgoing::Event(_) => {}
    }
}

fn encode_done(kind: Kind, reply: &Reply, spelling: Spelling, out: &mut BytesMut) {
    match reply {
        Reply::Login(ack) => frame(&LoginDone::of(ack, spelling), out),
        Reply::Register { id } => {
            let msg = "registered";
            frame(&RegisterDone { msg_type: msg_type::REGISTER_ACK, code: DONE, id: *id, msg }, out);
        }
        Reply::Chat(_) if kind == Kind::OneChat => {
            frame(&Said { msg_type: msg_type::ONE_CHAT_ACK, code: DONE, msg: "sent" }, out);
        }
        _ => {}
    }
}

fn encode_failure(kind: Kind, failure: &Failure, spelling: Spelling, out: &mut BytesMut) {
    let (errno, text) = (u16::from(failure.errno.code()), &*failure.text);
    match kind {
        Kind::Login => frame(&LoginFailed { msg_type: msg_type::LOGIN_ACK, code: errno, errmsg: text }, out),
        Kind::Register => frame(&Said { msg_type: msg_type::REGISTER_ACK, code: NOT_FOUND, msg: text }, out),
        Kind::OneChat => frame(&Said { msg_type: msg_type::ONE_CHAT_ACK, code: errno, msg: text }, out),
        Kind::Unknown => frame(&Said { msg_type: msg_type::UNKNOWN, code: NOT_FOUND, msg: text }, out),
        _ => frame(&ChatLine::from_server(text, spelling, (NUMBER, msg_type::ONE_CHAT)), out),
    }
}

fn line(message: &ChatMessage, spelling: Spelling) -> ChatLine<'_> {
    ChatLine::of(message, spelling, |to| match to {
        Target::User(_) => (NUMBER, msg_type::ONE_CHAT),
        Target::Group(_) => (NUMBER, msg_type::GROUP_CHAT),
    })
}

fn frame<T: Serialize>(object: &T, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(&MARKER);
    out.put_u32(0);
    serde_json::to_writer((&mut *out).writer(), object).expect("messages have string keys and a buffer takes all");
    let payload = start + HEADER_BYTES..out.len();
    let length = payload.len() as u32;
    out[start + MARKER.len()..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(&out[payload]);
    out.put_u32(sum);
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(rename = "msgType")]
    msg_type: u64,
    code: u16,
    msg: &'a str,
}

#[derive(Serialize)]
struct LoginFailed<'a> {
    #[serde(rename = "msgType")]
    msg_type: u64,
    code: u16,
    errmsg: &'a str,
}

#[derive(Serialize)]
struct RegisterDone<'a> {
    #[serde(rename = "msgType")]
    msg_type: u64,
    code: u16,
    id: UserId,
    msg: &'a str,
}

#[derive(Serialize)]
struct LoginDone<'a> {
    #[serde(rename = "msgType")]
    msg_type: u64,
    code: u16,
    id: UserId,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offlinemessage: Vec<InString<ChatLine<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    friends: Friends<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<InString<GroupEntry<'a>>>,
}

impl<'a> LoginDone<'a> {
    fn of(ack: &'a LoginAck, spelling: Spelling) -> Self {
        LoginDone {
            msg_type: msg_type::LOGIN_ACK,
            code: DONE,
            id: ack.id,
            name: &ack.name,
            offlinemessage: strings(ack.waiting.iter().map(|message| line(message, spelling))),
            friends: strings(&ack.roster.friends),
            groups: strings(ack.roster.groups.iter().map(GroupEntry::of)),
        }
    }
}

#[derive(Serialize)]
struct GroupEntry<'a> {
    id: GroupId,
    name: &'a str,
    desc: &'a str,
    users: Users<'a>,
}

impl<'a> GroupEntry<'a> {
    fn of(group: &'a Group) -> Self {
        GroupEntry { id: group.id, name: &group.groupname, desc: &group.groupdesc, users: strings(&group.users) }
    }
}
