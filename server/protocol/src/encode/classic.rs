//! What the two classic dialects have in common: chat lines as old clients print them, and lists of JSON in strings.
//!
//! Their chat carries what the sender wrote as its name and time. A request that is refused and has no classic reply
//! comes back as a chat line from nobody, which every old client can show.

use crate::conversation::{Target, UserId};
use crate::message::{ChatMessage, Friend, GroupUser, TimeMs};
use crate::spelling::{Field, Spelling};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Who speaks in a chat line that comes from the node itself.
const SERVER_NAME: &str = "server";
const SERVER_ID: UserId = 0;
const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A chat message as classic clients get it.
pub struct ChatLine<'a> {
    /// How many, by dialect, and under which name.
    number: (&'static str, u64),
    id: UserId,
    name: &'a str,
    to: Target,
    msg: &'a str,
    time: Time<'a>,
    spelling: Spelling,
}

impl<'a> ChatLine<'a> {
    /// `message` as its sender sent it, or with account name and UTC time where the sender's client says neither; with
    /// the number that `numbered` gives messages of its kind, and its name.
    pub fn of(message: &'a ChatMessage, spelling: Spelling, numbered: impl Fn(Target) -> (&'static str, u64)) -> Self {
        let to = message.conv.target_from(message.sender);
        let sent_as = message.sent_as.as_deref();
        ChatLine {
            number: numbered(to),
            id: message.sender,
            name: sent_as.and_then(|sent| sent.name.as_deref()).unwrap_or(&message.name),
            to,
            msg: &message.msg,
            spelling,
            time: match sent_as.and_then(|sent| sent.time.as_deref()) {
                Some(time) => Time::AsSent(time),
                None => Time::Stamp(message.time),
            },
        }
    }

    /// A line from the node itself. The recipient is there for clients that insist on one; the codec knows nobody's id.
    pub fn from_server(msg: &'a str, time: TimeMs, spelling: Spelling, number: (&'static str, u64)) -> Self {
        ChatLine {
            number,
            id: SERVER_ID,
            name: SERVER_NAME,
            to: Target::User(SERVER_ID),
            msg,
            time: Time::Stamp(time),
            spelling,
        }
    }
}

impl Serialize for ChatLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("ChatLine", 6)?;
        line.serialize_field(self.number.0, &self.number.1)?;
        line.serialize_field("id", &self.id)?;
        line.serialize_field("name", self.name)?;
        match self.to {
            Target::User(user) => line.serialize_field(self.spelling.name(Field::Toid), &user)?,
            Target::Group(group) => line.serialize_field(self.spelling.name(Field::Groupid), &group)?,
        }
        line.serialize_field("msg", self.msg)?;
        line.serialize_field("time", &self.time)?;
        line.end()
    }
}

/// When a message was sent, in the words of its sender or ours.
enum Time<'a> {
    AsSent(&'a str),
    Stamp(TimeMs),
}

impl Serialize for Time<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Time::AsSent(text) => serializer.serialize_str(text),
            Time::Stamp(time) => {
                let stamp = jiff::Timestamp::from_millisecond(*time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
                serializer.collect_str(&stamp.strftime(TIME_FORMAT))
            }
        }
    }
}

/// A value as a string that holds its JSON.
pub struct InString<T>(pub T);

impl<T: Serialize> Serialize for InString<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&json)
    }
}

pub fn strings<T: Serialize>(values: impl IntoIterator<Item = T>) -> Vec<InString<T>> {
    values.into_iter().map(InString).collect()
}

pub type Friends<'a> = Vec<InString<&'a Friend>>;
pub type Users<'a> = Vec<InString<&'a GroupUser>>;
