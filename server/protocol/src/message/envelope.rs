//! What goes through a codec: what came from a client, and what a node says to it.

use super::catalogue::{Command, Kind, Reply};
use super::chat::ChatMessage;
use super::event::Event;
use crate::conversation::UserId;
use crate::errno::Failure;
use crate::message::fields::TimeMs;
use crate::mid::MidText;

/// One request of a client, its fields checked for type and range but not for permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Echoed in the reply.
    pub mid: Option<MidText>,
    /// The `id` the client claims to be, if it said one; must be the session's own (errno 7). Never set for LOGIN.
    pub claimed_id: Option<UserId>,
    pub command: Command,
}

/// What a codec makes of one complete frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    Request(Request),
    /// A well-formed object with a bad field: answered, and the connection lives on.
    Refused {
        kind: Kind,
        mid: Option<MidText>,
        failure: Failure,
    },
}

/// What a node sends, before a dialect makes bytes of it.
#[derive(Clone, Debug)]
pub enum Outgoing<'a> {
    /// `time`: when it is said, for clients that show lines of the node with their time.
    Reply {
        kind: Kind,
        mid: Option<MidText>,
        time: TimeMs,
        result: Result<Reply, Failure>,
    },
    Push(&'a ChatMessage),
    Notice(Failure),
    Ping,
    Event(&'a Event),
}
