//! ONE_CHAT and GROUP_CHAT in both directions, and CHAT_ACK.
//!
//! What nodes and load generators do most; so it is spelt out where deriving would cost more.

use super::catalogue::msgid;
use super::fields::{Body, TimeMs};
use crate::answer::{Answer, frame};
use crate::conversation::{Conversation, GroupId, Log, LogEpoch, Target, UserId};
use crate::errno::{Errno, Failure};
use crate::framing::length::{Order, enclose};
use crate::json::Value;
use crate::mid::MidText;
use crate::reader::Reader;
use crate::scan::plain_length;
use crate::spelling::Field;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Room made for a message beyond its text; most then fit without growing the buffer step by step.
const USUAL_BYTES: usize = 256;

/// A chat message as its sender asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub to: Target,
    pub msg: String,
    pub stored: bool,
    /// The identity of the message among the sender's; `None` in classic dialects, which know none.
    pub mid: Option<Uuid>,
    pub sent_as: Option<Box<SentAs>>,
}

/// What a classic client wrote into its own chat message; other classic clients get to see it as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentAs {
    pub name: Option<String>,
    pub time: Option<String>,
}

impl SentAs {
    /// Of text.
    pub fn bytes(&self) -> usize {
        [&self.name, &self.time].into_iter().flatten().map(String::len).sum()
    }
}

impl Chat {
    pub(super) const TO_USER: &[&str] = &["toid", "msg", "qos"];
    pub(super) const TO_GROUP: &[&str] = &["groupid", "msg", "qos"];

    pub(super) fn read_to_user(reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let to = Target::User(reader.user(Field::Toid)?);
        Chat::read(to, "groupid", reader)
    }

    pub(super) fn read_to_group(reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let to = Target::Group(reader.group()?);
        Chat::read(to, "toid", reader)
    }

    /// Classic dialects know no `mid` and no `qos`, and say what time it is and what the sender is called.
    /// `other`: what would name another recipient beside `to`.
    fn read(to: Target, other: &str, reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let msg = reader.text("msg")?;
        if !reader.is_framed() {
            let (name, time) = (reader.optional_text("name"), reader.optional_text("time"));
            let sent_as = (name.is_some() || time.is_some()).then(|| Box::new(SentAs { name, time }));
            return Ok(Chat { to, msg, stored: true, mid: None, sent_as });
        }
        if reader.has(other) {
            return Err(Failure::field(other, "no second recipient"));
        }
        let mid = match reader.fields.get("mid") {
            Some(Value::Str(text)) => Uuid::try_parse(text).ok(),
            _ => None,
        };
        let mid = Some(mid.ok_or_else(|| Failure::field("mid", "a UUID"))?);
        let stored = reader.integer("qos", 0..=1, 1)? == 1;
        Ok(Chat { to, msg, stored, mid, sent_as: None })
    }
}

/// Appends ONE_CHAT or GROUP_CHAT as a client says it, length included. Without loops, so that each piece is copied by
/// its known length: a load generator does little else.
pub fn write_chat(mid: Uuid, to: Target, msg: &str, qos: u8, out: &mut Vec<u8>) {
    out.reserve(USUAL_BYTES + msg.len());
    enclose(out, Order::Big, |out| {
        let (number, field, id) = match to {
            Target::User(id) => (msgid::ONE_CHAT, r#"","toid":"#, id),
            Target::Group(id) => (msgid::GROUP_CHAT, r#"","groupid":"#, id),
        };
        put(out, r#"{"msgid":"#);
        put(out, itoa::Buffer::new().format(number));
        put(out, r#","mid":""#);
        out.extend_from_slice(mid.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]).as_bytes());
        put(out, field);
        put(out, itoa::Buffer::new().format(id));
        put(out, r#","msg":"#);
        write_text(msg, out);
        put(out, r#","qos":"#);
        put(out, itoa::Buffer::new().format(qos));
        put(out, "}");
    });
}

#[inline(always)]
fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[inline(always)]
fn write_text(text: &str, out: &mut Vec<u8>) {
    if plain_length(text.as_bytes()) < text.len() {
        serde_json::to_writer(out, text).expect("a text can be written, and memory takes all");
        return;
    }
    put(out, "\"");
    put(out, text);
    put(out, "\"");
}

/// Where in its conversation a message stands, which a node knows as a [`Log`], a client by an opaque name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<C = Log> {
    pub log: C,
    pub seq: u64,
    pub time: TimeMs,
}

#[derive(Serialize)]
struct ChatAck<'a> {
    msgid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<&'a str>,
    errno: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    conv: Option<Log>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<TimeMs>,
}

impl Body for Option<Stored> {
    const FIELDS: &'static [&'static str] = &["conv", "seq", "time"];

    /// The one reply that every message has: spelt out, since putting a body beside `errno` costs twice as much.
    fn write(&self, answer: Answer<'_>) {
        answer.out.reserve(USUAL_BYTES);
        let ack = ChatAck {
            msgid: answer.msgid,
            mid: answer.mid.map(MidText::as_str),
            errno: Errno::Done.code(),
            conv: self.map(|stored| stored.log),
            seq: self.map(|stored| stored.seq),
            time: self.map(|stored| stored.time),
        };
        frame(&ack, answer.out);
    }
}

/// A chat message on its way to recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub conv: Conversation,
    pub log_epoch: LogEpoch,
    /// Its place in the conversation, from 1; 0 for a relayed one (`qos` 0), which has none.
    pub seq: u64,
    pub sender: UserId,
    /// The sender's account name.
    pub name: Arc<str>,
    pub msg: Arc<str>,
    pub time: TimeMs,
    pub mid: Uuid,
    pub sent_as: Option<Box<SentAs>>,
}

impl ChatMessage {
    /// The stretch of the conversation's log that it is part of.
    pub fn log(&self) -> Log {
        Log { conv: self.conv, epoch: self.log_epoch }
    }

    /// Of all the text that its sender wrote.
    pub fn text_bytes(&self) -> usize {
        self.msg.len() + self.sent_as.as_deref().map_or(0, SentAs::bytes)
    }
}

/// A chat message as recipients get it, live and in HISTORY_ACK.
#[derive(Serialize)]
pub(crate) struct Push<'a> {
    msgid: u64,
    conv: Log,
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
    pub(super) const TO_USER: &'static [&'static str] =
        &["conv", "seq", "id", "name", "toid", "msg", "time", "mid", "qos"];
    pub(super) const TO_GROUP: &'static [&'static str] =
        &["conv", "seq", "id", "name", "groupid", "msg", "time", "mid", "qos"];

    pub fn of(message: &'a ChatMessage) -> Self {
        let (msgid, toid, groupid) = match message.conv.target_from(message.sender) {
            Target::User(user) => (msgid::ONE_CHAT, Some(user), None),
            Target::Group(group) => (msgid::GROUP_CHAT, None, Some(group)),
        };
        let relayed = message.seq == 0;
        Push {
            msgid,
            conv: message.log(),
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

    pub fn write(&self, out: &mut bytes::BytesMut) {
        out.reserve(USUAL_BYTES + self.msg.len());
        frame(self, out);
    }
}
