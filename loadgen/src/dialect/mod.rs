//! What is said on the wire, apart from how: one trait, a file per dialect.
//!
//! A [`Wire`] cuts a server's bytes into frames, reads them, and writes what a client says. It holds no state of a
//! connection, so that one serves all.

mod classic;
mod framed;
mod object;
pub mod profile;

pub use classic::Classic;
pub use framed::Framed;

use crate::dialect::profile::Profile;

use chat_protocol::conversation::Target;
use std::fmt;
use uuid::Uuid;

/// A server's no, with its code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: u64,
    pub text: String,
    /// When to try again, in milliseconds; `None`: trying again changes nothing, or nobody knows.
    pub retry_ms: Option<u64>,
    /// Whether the same may succeed later.
    pub retryable: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text, self.code)
    }
}

/// What a user's login brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    pub id: u64,
    pub token: Option<String>,
    /// The name of the node, where the dialect has one.
    pub node: Option<String>,
    /// How many messages wait.
    pub waiting: u64,
    /// The server's time, as in [`Push::time`].
    pub time: i64,
    /// Groups by name, where they are listed.
    pub groups: Vec<(String, u64)>,
    /// The messages that waited, where they come with the welcome; each can be [`Wire::read`].
    pub messages: Vec<String>,
}

/// A chat message from the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Push<'a> {
    pub from: u64,
    pub target: Option<Target>,
    pub text: std::borrow::Cow<'a, str>,
    /// Empty where the dialect has no conversations.
    pub conv: std::borrow::Cow<'a, str>,
    /// 0 where the message has no place.
    pub seq: u64,
    pub time: i64,
    /// As the server wrote it.
    pub mid: Option<std::borrow::Cow<'a, str>>,
}

/// One frame of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Welcome(Box<Welcome>),
    LoginRefused(Refusal),
    Push(Push<'a>),
    /// The answer to a chat message.
    Settled {
        mid: Option<Uuid>,
        place: Option<(std::borrow::Cow<'a, str>, u64)>,
        result: Result<(), Refusal>,
    },
    /// The answer to any other request; the number is the id that it made, where it makes one.
    Answer {
        mid: Option<Uuid>,
        result: Result<u64, Refusal>,
    },
    Ping,
    Notice(Refusal),
    Other,
}

/// Who logs in, and how.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    pub id: Option<u64>,
    pub name: &'a str,
    pub password: &'a str,
    pub token: Option<&'a str>,
    pub takeover: bool,
}

/// A chat message to be written. `text` must need no escaping in JSON.
#[derive(Clone, Copy, Debug)]
pub struct Chat<'a> {
    pub from: u64,
    pub from_name: &'a str,
    pub to: Target,
    pub text: &'a str,
    pub mid: Uuid,
    pub qos: u8,
}

/// A request that is neither a login nor a chat.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    Register { name: &'a str, password: &'a str },
    AddFriend { friend: u64 },
    CreateGroup { name: &'a str },
    JoinGroup { group: u64 },
    Logout,
}

/// One dialect.
pub trait Wire: Send + Sync + fmt::Debug {
    /// Where the first frame's payload lies in `bytes`, and where the frame ends; `None`: not complete. Errors: a text.
    fn split(&self, bytes: &[u8]) -> Result<Option<(std::ops::Range<usize>, usize)>, String>;

    /// Reads one payload. Errors: a text that says what is wrong; the connection cannot be trusted then.
    fn read<'a>(&self, payload: &'a [u8]) -> Result<Incoming<'a>, String>;

    fn login(&self, login: Login<'_>, out: &mut Vec<u8>);

    fn chat(&self, chat: Chat<'_>, out: &mut Vec<u8>);

    /// `id` is the user's own.
    fn ask(&self, id: u64, ask: Ask<'_>, mid: Uuid, out: &mut Vec<u8>);

    /// Tells the server that everything of `conv` up to `seq` is here; nothing where the dialect cannot.
    fn received(&self, conv: &str, seq: u64, out: &mut Vec<u8>);

    fn pong(&self, out: &mut Vec<u8>);

    /// Whether chat messages are answered, under their `mid`.
    fn acknowledges(&self) -> bool;

    /// Whether this kind of request is answered.
    fn answers(&self, ask: &Ask<'_>) -> bool;

    /// What describes a classic server; `None`: it is one of ours.
    fn profile(&self) -> Option<&Profile> {
        None
    }
}

/// Longest part of somebody's message that is shown to a person, in bytes.
const MAX_SHOWN_BYTES: usize = 300;
/// Stands where a secret stood.
pub const HIDDEN: &str = "***";

/// A message as it goes over the wire, without its framing, for a person.
pub fn shown(wire: &dyn Wire, say: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    say(&mut out);
    match wire.split(&out) {
        Ok(Some((payload, _))) => shorten(&String::from_utf8_lossy(&out[payload])),
        _ => shorten(&String::from_utf8_lossy(&out)),
    }
}

/// The beginning of a text that may be long.
pub fn shorten(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_SHOWN_BYTES);
    if end == text.len() { text.to_owned() } else { format!("{} …", &text[..end]) }
}

/// A login as it is said, without what opens the account.
pub fn shown_login(wire: &dyn Wire, login: Login<'_>) -> String {
    let token = login.token.map(|_| HIDDEN);
    shown(wire, |out| wire.login(Login { password: HIDDEN, token, ..login }, out))
}

/// A request as it is said, without the password.
pub fn shown_ask(wire: &dyn Wire, id: u64, ask: Ask<'_>) -> String {
    let ask = match ask {
        Ask::Register { name, .. } => Ask::Register { name, password: HIDDEN },
        other => other,
    };
    shown(wire, |out| wire.ask(id, ask, Uuid::nil(), out))
}

/// The `mid` of a message: a UUID (version 8) that says which it is, so that an acknowledgement needs no look-up.
pub fn mid_of(run: u32, stream: u32, number: u64) -> Uuid {
    let (run, stream, number) = (run.to_be_bytes(), stream.to_be_bytes(), number.to_be_bytes());
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&run);
    bytes[4..6].copy_from_slice(&stream[..2]);
    // Bytes 6 and 8 hold the version and the variant.
    (bytes[7], bytes[9]) = (stream[2], stream[3]);
    bytes[10..].copy_from_slice(&number[2..]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The stream and number of a `mid` of this run.
pub fn message_of(run: u32, mid: Uuid) -> Option<(u32, u64)> {
    let bytes = mid.as_bytes();
    let ours = bytes[..4] == run.to_be_bytes() && mid.get_version_num() == 8;
    let stream = u32::from_be_bytes([bytes[4], bytes[5], bytes[7], bytes[9]]);
    let number = bytes[10..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    ours.then_some((stream, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn mid_says_which_message_it_is_of(run: u32, stream: u32, number in 0..1_u64 << 48) {
            prop_assert_eq!(message_of(run, mid_of(run, stream, number)), Some((stream, number)));
            prop_assert_eq!(message_of(run ^ 1, mid_of(run, stream, number)), None);
        }
    }
}
