//! What a node says in the checked dialect.
//!
//! Its kinds of messages have numbers of their own (`msgType`), and its replies say `code`, where 200 is done.

use super::classic::{ChatLine, Friends, InString, Users, strings};
use crate::conversation::{GroupId, Target, UserId};
use crate::decode::CHECKED_NUMBER as NUMBER;
use crate::errno::Failure;
use crate::framing::checked::enclose;
use crate::message::{ChatMessage, Group, Kind, LoginAck, Outgoing, Registered, Reply, TimeMs};
use crate::spelling::Spelling;
use bytes::{BufMut, BytesMut};
use serde::Serialize;

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

pub fn encode(message: &Outgoing<'_>, spelling: Spelling, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => frame(&line(message, spelling), out),
        Outgoing::Reply { kind, time, result, .. } => match result {
            Ok(reply) => encode_done(*kind, reply, spelling, out),
            Err(failure) => encode_failure(*kind, (failure, *time), spelling, out),
        },
        Outgoing::Notice(_) | Outgoing::Ping | Outgoing::Event(_) => {}
    }
}

fn encode_done(kind: Kind, reply: &Reply, spelling: Spelling, out: &mut BytesMut) {
    match reply {
        Reply::Login(ack) => frame(&LoginDone::of(ack, spelling), out),
        Reply::Register(Registered { id }) => {
            let msg = "registered";
            frame(&RegisterDone { msg_type: msg_type::REGISTER_ACK, code: DONE, id: *id, msg }, out);
        }
        Reply::Chat(_) if kind == Kind::OneChat => {
            frame(&Said { msg_type: msg_type::ONE_CHAT_ACK, code: DONE, msg: "sent" }, out);
        }
        _ => {}
    }
}

fn encode_failure(kind: Kind, (failure, time): (&Failure, TimeMs), spelling: Spelling, out: &mut BytesMut) {
    let (errno, text) = (u16::from(failure.errno.code()), &*failure.text);
    match kind {
        Kind::Login => frame(&LoginFailed { msg_type: msg_type::LOGIN_ACK, code: errno, errmsg: text }, out),
        Kind::Register => frame(&Said { msg_type: msg_type::REGISTER_ACK, code: NOT_FOUND, msg: text }, out),
        Kind::OneChat => frame(&Said { msg_type: msg_type::ONE_CHAT_ACK, code: errno, msg: text }, out),
        Kind::Unknown => frame(&Said { msg_type: msg_type::UNKNOWN, code: NOT_FOUND, msg: text }, out),
        _ => frame(&ChatLine::from_server(text, time, spelling, (NUMBER, msg_type::ONE_CHAT)), out),
    }
}

fn line(message: &ChatMessage, spelling: Spelling) -> ChatLine<'_> {
    ChatLine::of(message, spelling, |to| match to {
        Target::User(_) => (NUMBER, msg_type::ONE_CHAT),
        Target::Group(_) => (NUMBER, msg_type::GROUP_CHAT),
    })
}

fn frame<T: Serialize>(object: &T, out: &mut BytesMut) {
    enclose(out, |out| {
        serde_json::to_writer(out.writer(), object).expect("messages have string keys and a buffer takes all");
    });
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
