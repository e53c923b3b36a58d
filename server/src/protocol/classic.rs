//! What the two classic dialects have in common: chat lines as old clients print them, and lists of JSON in strings.
//!
//! Their chat carries what the sender wrote as its name and time. A request that is refused and has no classic reply
//! comes back as a chat line from nobody, which every old client can show.

use super::conversation::{GroupId, Target, UserId};
use super::message::{ChatMessage, Friend, GroupUser, TimeMs};
use serde::{Serialize, Serializer};

/// Who speaks in a chat line that comes from the node itself.
const SERVER_NAME: &str = "server";
const SERVER_ID: UserId = 0;
const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A chat message as classic clients get it; one of the two number fields is set, by dialect.
#[derive(Serialize)]
pub struct ChatLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    msgid: Option<u64>,
    #[serde(rename = "msgType", skip_serializing_if = "Option::is_none")]
    msg_type: Option<u64>,
    id: UserId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    toid: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groupid: Option<GroupId>,
    msg: &'a str,
    time: Time<'a>,
}

impl<'a> ChatLine<'a> {
    /// `message` as its sender sent it, or with account name and UTC time where the sender's client says neither.
    pub fn of(message: &'a ChatMessage) -> Self {
        let (toid, groupid) = match message.conv.target_from(message.sender) {
            Target::User(user) => (Some(user), None),
            Target::Group(group) => (None, Some(group)),
        };
        let sent_as = message.sent_as.as_deref();
        ChatLine {
            msgid: None,
            msg_type: None,
            id: message.sender,
            name: sent_as.and_then(|sent| sent.name.as_deref()).unwrap_or(&message.name),
            toid,
            groupid,
            msg: &message.msg,
            time: match sent_as.and_then(|sent| sent.time.as_deref()) {
                Some(time) => Time::AsSent(time),
                None => Time::Stamp(message.time),
            },
        }
    }

    /// A line from the node itself. `toid` is there for clients that insist on one; the codec knows nobody's id.
    pub fn from_server(msg: &'a str) -> Self {
        ChatLine {
            msgid: None,
            msg_type: None,
            id: SERVER_ID,
            name: SERVER_NAME,
            toid: Some(SERVER_ID),
            groupid: None,
            msg,
            time: Time::Stamp(jiff::Timestamp::now().as_millisecond()),
        }
    }

    /// The line as one of the bare dialect.
    pub fn with_msgid(self, msgid: u64) -> Self {
        ChatLine { msgid: Some(msgid), ..self }
    }

    /// The line as one of the checked dialect.
    pub fn with_msg_type(self, msg_type: u64) -> Self {
        ChatLine { msg_type: Some(msg_type), ..self }
    }

    pub fn is_for_group(&self) -> bool {
        self.groupid.is_some()
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
