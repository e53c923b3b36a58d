//! What a message is addressed to, and the conversation it becomes part of.
//!
//! A conversation's name (`d3-17`, `g5`) is opaque to clients; nodes and the database agree on it without a lookup.

use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

/// A user's number: positive and below [`MAX_ID`].
pub type UserId = u64;
/// A group's number: positive and below [`MAX_ID`].
pub type GroupId = u64;

/// Ids stay below 2^53, the largest range that every JSON reader keeps exact.
pub const MAX_ID: u64 = 1 << 53;

/// Whom a chat message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    User(UserId),
    Group(GroupId),
}

impl Target {
    /// The conversation that a message from `sender` to this target belongs to.
    pub fn conversation(self, sender: UserId) -> Conversation {
        match self {
            Target::User(other) => Conversation::direct(sender, other),
            Target::Group(group) => Conversation::Group(group),
        }
    }
}

/// The identity of a conversation: two friends (smaller id first), or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Conversation {
    Direct(UserId, UserId),
    Group(GroupId),
}

impl Conversation {
    /// The conversation of two users, the same from either side.
    pub fn direct(one: UserId, other: UserId) -> Self {
        Conversation::Direct(one.min(other), one.max(other))
    }

    /// What a message from `sender` in this conversation is addressed to.
    pub fn target_from(self, sender: UserId) -> Target {
        match self {
            Conversation::Direct(low, high) => Target::User(if sender == low { high } else { low }),
            Conversation::Group(group) => Target::Group(group),
        }
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conversation::Direct(low, high) => write!(f, "d{low}-{high}"),
            Conversation::Group(group) => write!(f, "g{group}"),
        }
    }
}

/// A stretch of a conversation's log, as clients know it by name: a conversation, and how often the end of its log was
/// lost and written anew. `d3-17` at first, `d3-17.1` after the first loss, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    pub conv: Conversation,
    pub epoch: LogEpoch,
}

/// Counts how often the end of a conversation's log was lost.
pub type LogEpoch = u32;

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.conv.fmt(f)?;
        if self.epoch > 0 { write!(f, ".{}", self.epoch) } else { Ok(()) }
    }
}

/// The longest name of a log: a letter, two numbers of up to 20 digits, one of up to 10, and what stands between them.
const LOG_NAME_BYTES: usize = 53;

/// By its name.
impl Serialize for Log {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Put together first: serde_json looks for escapes in every piece of a text that comes in pieces.
        let mut bytes = [0; LOG_NAME_BYTES];
        let mut rest = &mut bytes[..];
        write!(rest, "{self}").map_err(S::Error::custom)?;
        let length = LOG_NAME_BYTES - rest.len();
        serializer.serialize_str(std::str::from_utf8(&bytes[..length]).map_err(S::Error::custom)?)
    }
}

impl FromStr for Log {
    type Err = NotAConversation;

    fn from_str(text: &str) -> Result<Self, NotAConversation> {
        let Some((conv, epoch)) = text.split_once('.') else { return Ok(Log { conv: text.parse()?, epoch: 0 }) };
        if epoch.starts_with(['0', '+']) {
            return Err(NotAConversation);
        }
        Ok(Log { conv: conv.parse()?, epoch: epoch.parse().map_err(|_| NotAConversation)? })
    }
}

/// The text is not the name of any conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a conversation")]
pub struct NotAConversation;

impl FromStr for Conversation {
    type Err = NotAConversation;

    fn from_str(text: &str) -> Result<Self, NotAConversation> {
        let id = |digits: &str| -> Result<u64, NotAConversation> {
            let canonical = !digits.starts_with(['0', '+']);
            let id = digits.parse::<u64>().map_err(|_| NotAConversation)?;
            (canonical && id < MAX_ID).then_some(id).ok_or(NotAConversation)
        };
        if let Some(group) = text.strip_prefix('g') {
            return Ok(Conversation::Group(id(group)?));
        }
        let (low, high) = text.strip_prefix('d').and_then(|pair| pair.split_once('-')).ok_or(NotAConversation)?;
        let (low, high) = (id(low)?, id(high)?);
        if low < high { Ok(Conversation::Direct(low, high)) } else { Err(NotAConversation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn name_parses_back(a in 1..MAX_ID, b in 1..MAX_ID) {
            let group = Conversation::Group(a);
            prop_assert_eq!(group.to_string().parse(), Ok(group));
            if a != b {
                let direct = Conversation::direct(a, b);
                prop_assert_eq!(direct.to_string().parse(), Ok(direct));
                prop_assert_eq!(direct.target_from(a), Target::User(b));
            }
        }
    }

    #[test]
    fn names_have_one_spelling() {
        for bad in
            ["", "d", "g", "g0", "g01", "g-1", "d2-1", "d1-1", "d1-2-3", "g9007199254740992", "x1", "g+1", "d+1-2"]
        {
            assert_eq!(bad.parse::<Conversation>(), Err(NotAConversation), "{bad}");
        }
    }
}
