//! The framed dialect: a 4-byte big-endian length, then that many bytes of JSON.
//!
//! A length that is zero or past the limit is refused from the header alone, before any of the body arrives. What a
//! node says is written straight into the connection's buffer, behind a placeholder for its length.

use crate::codec::Cut;
use crate::conversation::{GroupId, Log, Target, UserId};
use crate::errno::{Errno, Failure};
use crate::fit;
use crate::message::{ChatMessage, Event, Kind, LoginAck, MidText, Outgoing, Reply, Roster, Stored, TimeMs, msgid};
use bytes::{BufMut, BytesMut};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::io::Write as _;
use uuid::Uuid;

const HEADER_BYTES: usize = 4;
/// Room made for a message beyond its text; most then fit without growing the buffer step by step.
const USUAL_BYTES: usize = 256;
/// The longest name of a log: a letter, two numbers of up to 20 digits, one of up to 10, and what stands between them.
const CONVERSATION_BYTES: usize = 53;

/// Finds the frame at the front of `input`; `Ok(None)` if it is not complete yet.
pub(crate) fn cut(input: &[u8], max_frame_bytes: usize) -> Result<Option<Cut>, Failure> {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*header) as usize;
    if length == 0 {
        return Err(Failure::new(Errno::Malformed, "empty frame"));
    }
    if length > max_frame_bytes {
        return Err(Failure::new(
            Errno::TooLarge,
            format!("frame of {length} bytes, at most {max_frame_bytes} allowed"),
        ));
    }
    let end = HEADER_BYTES + length;
    Ok((input.len() >= end).then_some(Cut { payload: HEADER_BYTES..end, end }))
}

pub(crate) fn encode(message: &Outgoing<'_>, out: &mut BytesMut) {
    match message {
        Outgoing::Push(message) => {
            out.reserve(USUAL_BYTES + message.msg.len());
            frame(&Push::of(message), out);
        }
        Outgoing::Reply { kind, mid, result } => {
            if let Some(msgid) = reply_msgid(*kind) {
                encode_reply(msgid, mid.as_ref(), result, out);
            }
        }
        Outgoing::Notice(failure) => encode_failure(msgid::NOTICE, None, failure, out),
        Outgoing::Ping => frame(&Numbered { msgid: msgid::PING, body: Nothing {} }, out),
        Outgoing::Event(event) => frame::<Numbered<&Event>>(&Numbered { msgid: msgid::EVENT, body: event }, out),
    }
}

/// The `msgid` of the reply to a request of this kind; `None`: it has no reply.
fn reply_msgid(kind: Kind) -> Option<u64> {
    Some(match kind {
        Kind::Unknown => msgid::ERROR,
        Kind::Login => msgid::LOGIN_ACK,
        Kind::Logout => msgid::LOGOUT_ACK,
        Kind::Register => msgid::REGISTER_ACK,
        Kind::OneChat | Kind::GroupChat => msgid::CHAT_ACK,
        Kind::AddFriend => msgid::ADD_FRIEND_ACK,
        Kind::CreateGroup => msgid::CREATE_GROUP_ACK,
        Kind::JoinGroup => msgid::ADD_GROUP_ACK,
        Kind::History => msgid::HISTORY_ACK,
        Kind::Ping => msgid::PONG,
        Kind::RemoveFriend => msgid::REMOVE_FRIEND_ACK,
        Kind::LeaveGroup => msgid::LEAVE_GROUP_ACK,
        Kind::Roster => msgid::ROSTER_ACK,
        Kind::ChangePassword => msgid::CHANGE_PASSWORD_ACK,
        Kind::Received | Kind::Pong => return None,
    })
}

fn encode_reply(msgid: u64, mid: Option<&MidText>, result: &Result<Reply, Failure>, out: &mut BytesMut) {
    let reply = match result {
        Ok(reply) => reply,
        Err(failure) => return encode_failure(msgid, mid, failure, out),
    };
    let mut done = Done { msgid, mid, out };
    match reply {
        Reply::Login(ack) => done.write(&*fit_login(ack)),
        Reply::Logout => done.write(&Nothing {}),
        Reply::Register { id } => done.write(&Id { id: *id }),
        Reply::Chat(stored) => done.write_chat_ack(stored.as_ref()),
        Reply::AddFriend(friend) => done.write(friend),
        Reply::CreateGroup { groupid } | Reply::LeaveGroup { groupid } => {
            done.write(&GroupNumber { groupid: *groupid })
        }
        Reply::JoinGroup { groupid, groupname, groupdesc } => {
            done.write(&Joined { groupid: *groupid, groupname, groupdesc });
        }
        Reply::History { log, messages, more } => {
            let newest = fit::newest(messages);
            let more = *more || newest.len() < messages.len();
            done.write(&Page { conv: AsName(*log), messages: Messages(newest), more });
        }
        Reply::Pong { time } => done.write(&Time { time: *time }),
        Reply::RemoveFriend { friendid } => done.write(&FriendNumber { friendid: *friendid }),
        Reply::Roster(roster) => done.write::<Roster>(&fit::roster(roster)),
        Reply::ChangePassword { token } => done.write(&Token { token }),
    }
}

fn fit_login(ack: &LoginAck) -> Cow<'_, LoginAck> {
    match fit::roster(&ack.roster) {
        Cow::Borrowed(_) => Cow::Borrowed(ack),
        Cow::Owned(roster) => Cow::Owned(LoginAck { roster, waiting: Vec::new(), ..ack.clone() }),
    }
}

fn encode_failure(msgid: u64, mid: Option<&MidText>, failure: &Failure, out: &mut BytesMut) {
    let body = Failed { errmsg: &failure.text, retry_ms: failure.retry_ms() };
    frame(&Answer { msgid, mid: mid.map(MidText::as_str), errno: failure.errno.code(), body }, out);
}

/// Where the reply to a request that was done goes, whatever its body.
struct Done<'a> {
    msgid: u64,
    mid: Option<&'a MidText>,
    out: &'a mut BytesMut,
}

impl Done<'_> {
    fn write<B: Serialize>(&mut self, body: &B) {
        let mid = self.mid.map(MidText::as_str);
        frame(&Answer { msgid: self.msgid, mid, errno: Errno::Done.code(), body }, self.out);
    }

    /// The one reply that every message has: spelt out, since flattening a body into it costs twice as much.
    fn write_chat_ack(&mut self, stored: Option<&Stored>) {
        self.out.reserve(USUAL_BYTES);
        let ack = ChatAck {
            msgid: self.msgid,
            mid: self.mid.map(MidText::as_str),
            errno: Errno::Done.code(),
            conv: stored.map(|stored| AsName(stored.log)),
            seq: stored.map(|stored| stored.seq),
            time: stored.map(|stored| stored.time),
        };
        frame(&ack, self.out);
    }
}

fn frame<T: Serialize>(object: &T, out: &mut BytesMut) {
    let start = out.len();
    out.put_u32(0);
    serde_json::to_writer((&mut *out).writer(), object).expect("messages have string keys and a buffer takes all");
    let length = (out.len() - start - HEADER_BYTES) as u32;
    out[start..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
}

#[derive(Serialize)]
struct Answer<'a, B> {
    msgid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<&'a str>,
    errno: u8,
    #[serde(flatten)]
    body: B,
}

#[derive(Serialize)]
struct Numbered<B> {
    msgid: u64,
    #[serde(flatten)]
    body: B,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Failed<'a> {
    errmsg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

#[derive(Serialize)]
struct Id {
    id: UserId,
}

#[derive(Serialize)]
struct ChatAck<'a> {
    msgid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<&'a str>,
    errno: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    conv: Option<AsName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<TimeMs>,
}

#[derive(Serialize)]
struct GroupNumber {
    groupid: GroupId,
}

#[derive(Serialize)]
struct Joined<'a> {
    groupid: GroupId,
    groupname: &'a str,
    groupdesc: &'a str,
}

#[derive(Serialize)]
struct Page<'a> {
    conv: AsName,
    messages: Messages<'a>,
    more: bool,
}

#[derive(Serialize)]
struct Time {
    time: TimeMs,
}

#[derive(Serialize)]
struct FriendNumber {
    friendid: UserId,
}

#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
}

/// A chat message as recipients get it, live and in HISTORY_ACK.
#[derive(Serialize)]
pub(crate) struct Push<'a> {
    msgid: u64,
    conv: AsName,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    id: UserId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    toid: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groupid: Option<GroupId>,
    msg: &'a str,
    time: TimeMs,
    mid: Uuid,
    /// Only on what was relayed: such a message has no place in the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    qos: Option<u8>,
}

impl<'a> Push<'a> {
    pub fn of(message: &'a ChatMessage) -> Self {
        let (msgid, toid, groupid) = match message.conv.target_from(message.sender) {
            Target::User(user) => (msgid::ONE_CHAT, Some(user), None),
            Target::Group(group) => (msgid::GROUP_CHAT, None, Some(group)),
        };
        let relayed = message.seq == 0;
        Push {
            msgid,
            conv: AsName(message.log()),
            seq: (!relayed).then_some(message.seq),
            id: message.sender,
            name: &message.name,
            toid,
            groupid,
            msg: &message.msg,
            time: message.time,
            mid: message.mid,
            qos: relayed.then_some(0),
        }
    }
}

struct Messages<'a>(&'a [ChatMessage]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Push::of))
    }
}

/// A conversation by its name, as clients know it.
struct AsName(Log);

impl Serialize for AsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Put together first: serde_json looks for escapes in every piece of a text that comes in pieces.
        let mut bytes = [0; CONVERSATION_BYTES];
        let mut rest = &mut bytes[..];
        write!(rest, "{}", self.0).map_err(S::Error::custom)?;
        let length = CONVERSATION_BYTES - rest.len();
        serializer.serialize_str(std::str::from_utf8(&bytes[..length]).map_err(S::Error::custom)?)
    }
}
