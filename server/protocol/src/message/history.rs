//! HISTORY: a page of a conversation.

use super::chat::{ChatMessage, Push};
use super::fields::{Ask, Body};
use crate::answer::Answer;
use crate::conversation::{Log, Target};
use crate::errno::Failure;
use crate::fit::{Room, text_bytes};
use crate::reader::Reader;
use crate::spelling::Field;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::ops::RangeInclusive;

/// Messages in one HISTORY_ACK, users in one page of a group.
pub(super) const PAGE: RangeInclusive<u32> = 1..=200;
const DEFAULT_LIMIT: u32 = 50;

/// The longest that a push gets without its name and text.
const PUSH_BYTES: usize = 320;

/// The newest messages of `of` below `before`, at most `limit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    #[serde(flatten, serialize_with = "by_field")]
    pub of: Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u32,
}

impl History {
    /// As many as a node gives unless told otherwise.
    pub fn of(of: Target, before: Option<u64>, limit: Option<u32>) -> Self {
        History { of, before, limit: limit.unwrap_or(DEFAULT_LIMIT) }
    }
}

impl Ask for History {
    const FIELDS: &'static [&'static str] = &["toid", "groupid", "before", "limit"];

    fn read(reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let of = match (reader.has("toid"), reader.has("groupid")) {
            (true, true) => return Err(Failure::field("groupid", "no groupid beside toid")),
            (true, false) => Target::User(reader.user(Field::Toid)?),
            (false, true) => Target::Group(reader.group()?),
            (false, false) => return Err(Failure::field("toid", "toid or groupid")),
        };
        let before = reader.optional_position("before")?;
        Ok(History { of, before, limit: reader.integer("limit", PAGE, DEFAULT_LIMIT)? })
    }
}

fn by_field<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    match target {
        Target::User(user) => map.serialize_entry("toid", user)?,
        Target::Group(group) => map.serialize_entry("groupid", group)?,
    }
    map.end()
}

fn is_default(limit: &u32) -> bool {
    *limit == DEFAULT_LIMIT
}

/// HISTORY_ACK: messages with one's own among them, oldest first.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Page<C = Log, M = ChatMessage> {
    pub conv: C,
    pub messages: Vec<M>,
    /// There are older ones.
    #[serde(default)]
    pub more: bool,
    /// Where the log begins, if there are no older ones since they are kept no longer.
    pub first_seq: Option<u64>,
}

#[derive(Serialize)]
struct Written<'a> {
    conv: Log,
    messages: Pushes<'a>,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seq: Option<u64>,
}

impl Body for Page {
    const FIELDS: &'static [&'static str] = &["conv", "messages", "more", "first_seq"];

    fn write(&self, answer: Answer<'_>) {
        let newest = newest(&self.messages);
        let more = self.more || newest.len() < self.messages.len();
        let first_seq = self.first_seq.filter(|_| !more);
        answer.done(&Written { conv: self.conv, messages: Pushes(newest), more, first_seq });
    }
}

struct Pushes<'a>(&'a [ChatMessage]);

impl Serialize for Pushes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Push::of))
    }
}

/// The newest of `messages` that fit into one frame: the end of the slice, and at least one so that paging moves on.
fn newest(messages: &[ChatMessage]) -> &[ChatMessage] {
    let mut room = Room::in_reply();
    let fitting = messages.iter().rev().take_while(|message| room.take(push_bytes(message))).count();
    &messages[messages.len() - fitting.max(1).min(messages.len())..]
}

fn push_bytes(message: &ChatMessage) -> usize {
    PUSH_BYTES + text_bytes(&message.name) + text_bytes(&message.msg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Conversation, MAX_ID};

    const ID: u64 = MAX_ID - 1;

    fn message(text: &str) -> ChatMessage {
        ChatMessage {
            log_epoch: 0,
            conv: Conversation::Direct(ID - 1, ID),
            seq: u64::MAX,
            sender: ID,
            name: "\u{1}\"\\".repeat(16).into(),
            msg: text.into(),
            time: i64::MIN,
            mid: uuid::Uuid::nil(),
            sent_as: None,
        }
    }

    #[test]
    fn reckoned_sizes_are_never_too_small() {
        let odd = message("\u{0}\u{1f}\u{8}\n\"\\界");
        let written = serde_json::to_vec(&Push::of(&odd)).expect("a message can be written");
        assert!(written.len() <= push_bytes(&odd));
    }

    #[test]
    fn history_keeps_the_newest() {
        let long = message(&"x".repeat(600_000));
        let short = message("x");
        assert_eq!(newest(&[]).len(), 0);
        assert_eq!(newest(&[short.clone(), short.clone()]).len(), 2);
        assert_eq!(newest(&[long.clone(), short.clone(), long.clone()]).len(), 2);
        assert_eq!(newest(&[short, message(&"x".repeat(2_000_000))]).len(), 1);
    }
}
