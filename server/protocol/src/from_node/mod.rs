//! What a node says in the framed dialect, as a client reads it.
//!
//! Parsing is bounded by the frame's length, fails with a text and never panics; unknown fields and msgids are ignored.

mod flat;

pub use flat::Flat;

use crate::conversation::{Target, UserId};
use crate::errno::{Errno, Failure};
use crate::message::{self, Event, Stored, TimeMs, msgid};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::time::Duration;
use uuid::Uuid;

/// The body of a reply to a request that was done.
pub type Reply = message::Reply<Box<str>, Push<'static>>;
/// HISTORY's answer.
pub type Page = message::Page<Box<str>, Push<'static>>;

/// One frame of a node.
#[derive(Debug, PartialEq)]
pub enum FromNode<'a> {
    Push(Push<'a>),
    Reply {
        mid: Option<Uuid>,
        result: Result<Reply, Failure>,
    },
    Ping,
    Notice(Failure),
    Event(Event),
    /// A msgid that this client does not know, to be ignored.
    Unknown(u64),
}

/// A chat message as pushed, and as listed by HISTORY_ACK.
#[derive(Clone, Debug, PartialEq)]
pub struct Push<'a> {
    /// Empty for a relayed message that has no place in a conversation.
    pub conv: Cow<'a, str>,
    /// 0 for a relayed message.
    pub seq: u64,
    pub id: UserId,
    pub name: String,
    pub target: Target,
    pub msg: String,
    pub time: TimeMs,
    pub mid: Option<Uuid>,
}

/// Reads one frame (without its length). Errors: a text that says what is wrong; the connection cannot be trusted then.
pub fn parse(frame: &[u8]) -> Result<FromNode<'_>, String> {
    let mut flat = Flat::default();
    flat.read(frame)?;
    match flat.kind() {
        Spoken::Push => flat.push().map(FromNode::Push),
        Spoken::Ping => Ok(FromNode::Ping),
        Spoken::Notice => Ok(FromNode::Notice(flat.failure())),
        // News are best effort: a kind that this client does not know is ignored like an unknown msgid.
        Spoken::Event => Ok(serde_json::from_slice(frame).map_or(FromNode::Unknown(flat.msgid), FromNode::Event)),
        Spoken::LoginAck | Spoken::ChatAck | Spoken::Other => flat.reply(frame),
    }
}

/// What a frame is, as far as clients treat them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Push,
    LoginAck,
    ChatAck,
    Ping,
    Notice,
    Event,
    /// The reply to any other request, or a msgid that this client does not know.
    Other,
}

impl<'a> Flat<'a> {
    #[inline]
    pub fn kind(&self) -> Spoken {
        match self.msgid {
            msgid::ONE_CHAT | msgid::GROUP_CHAT => Spoken::Push,
            msgid::LOGIN_ACK => Spoken::LoginAck,
            msgid::CHAT_ACK => Spoken::ChatAck,
            msgid::PING => Spoken::Ping,
            msgid::NOTICE => Spoken::Notice,
            msgid::EVENT => Spoken::Event,
            _ => Spoken::Other,
        }
    }

    #[inline]
    pub fn mid(&self) -> Option<Uuid> {
        self.mid.as_ref().and_then(|text| Uuid::try_parse(&text.0).ok())
    }

    /// Whom a chat message is for; `None` where it says neither or both.
    #[inline]
    pub fn target(&self) -> Option<Target> {
        match (self.toid, self.groupid) {
            (Some(user), None) => Some(Target::User(user)),
            (None, Some(group)) => Some(Target::Group(group)),
            _ => None,
        }
    }

    /// The refusal that `errno` stands for. A code this client does not know keeps its words and counts as final.
    fn failure(&self) -> Failure {
        let known = Errno::from_code(self.errno);
        let text = match (&self.errmsg, known) {
            (Some(text), Some(_)) if !text.0.is_empty() => text.0.clone().into_owned(),
            (_, Some(errno)) => errno.text().to_owned(),
            (text, None) => format!("errno {}: {}", self.errno, text.as_ref().map_or("", |text| &text.0)),
        };
        let failure = Failure::new(known.unwrap_or(Errno::NotAllowed), text);
        match self.retry_ms {
            Some(wait) => failure.retry_after(Duration::from_millis(wait)),
            None => failure,
        }
    }

    fn push(self) -> Result<Push<'a>, String> {
        Ok(Push {
            mid: self.mid(),
            target: self.target().ok_or("a chat message needs either toid or groupid")?,
            conv: self.conv.map_or(Cow::Borrowed(""), |text| text.0),
            seq: self.seq.unwrap_or(0),
            id: self.id.ok_or("a chat message without id")?,
            name: self.name.map(|text| text.0.into_owned()).unwrap_or_default(),
            msg: self.msg.ok_or("a chat message without msg")?.0.into_owned(),
            time: self.time.unwrap_or(0),
        })
    }

    fn reply(self, frame: &'a [u8]) -> Result<FromNode<'a>, String> {
        let mid = self.mid();
        if self.errno != 0 || self.msgid == msgid::ERROR {
            return Ok(FromNode::Reply { mid, result: Err(self.failure()) });
        }
        if self.msgid == msgid::CHAT_ACK {
            let time = self.time.unwrap_or(0);
            let place = self.conv.zip(self.seq).map(|(conv, seq)| Stored { log: conv.0.into(), seq, time });
            return Ok(FromNode::Reply { mid, result: Ok(Reply::Chat(place)) });
        }
        match Reply::read(self.msgid, frame) {
            None => Ok(FromNode::Unknown(self.msgid)),
            Some(reply) => Ok(FromNode::Reply { mid, result: Ok(reply.map_err(|error| error.to_string())?) }),
        }
    }
}

impl<'de> Deserialize<'de> for Push<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let push = Flat::deserialize(deserializer)?.push().map_err(serde::de::Error::custom)?;
        Ok(Push { conv: Cow::Owned(push.conv.into_owned()), ..push })
    }
}

#[cfg(test)]
mod tests;
