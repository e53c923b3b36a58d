//! LOGIN and LOGOUT.

use super::chat::ChatMessage;
use super::fields::{Ask, Body, TimeMs};
use super::roster::Roster;
use crate::answer::Answer;
use crate::conversation::UserId;
use crate::errno::{Errno, Failure};
use crate::reader::{Reader, Whole};
use crate::secret::Secret;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// The protocol's version, as clients say it.
const VERSION: u32 = 1;
/// The cap that asks for EVENT.
const EVENTS: &str = "events";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub who: Who,
    pub proof: Proof,
    /// Close a session that the user has elsewhere.
    pub takeover: bool,
    /// The client lists the cap `events`.
    pub events: bool,
    /// The client can send RECEIVED. Classic dialects cannot: their waiting messages travel inside LOGIN_ACK and count
    /// as received once the kernel has handed them over.
    pub acknowledges: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Id(UserId),
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Password(Secret),
    Token(Secret),
}

impl Ask for Login {
    const FIELDS: &'static [&'static str] = &["id", "name", "password", "token", "takeover", "v", "caps"];

    fn read(reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let framed = reader.is_framed();
        let who = match (reader.has("id"), reader.has("name")) {
            (true, true) if framed => return Err(Failure::field("name", "no name beside id")),
            (false, true) => Who::Name(reader.name("name")?),
            (true, _) => Who::Id(reader.id("id", Errno::WrongCredentials)?),
            (false, false) => return Err(Failure::field("id", "id or name")),
        };
        let proof = match (reader.has("password"), reader.has("token")) {
            (true, true) if framed => return Err(Failure::field("token", "no token beside password")),
            (false, true) => Proof::Token(Secret(reader.text("token")?)),
            (true, _) => Proof::Password(reader.password("password")?),
            (false, false) => return Err(Proof::missing()),
        };
        // Any version is welcome: LOGIN_ACK says which one the node speaks.
        let version = reader.fields.get("v").map(|value| value.whole());
        if framed && !matches!(version, None | Some(Some(Whole::Small(1..) | Whole::Large))) {
            return Err(Failure::field("v", "a positive integer"));
        }
        let takeover = reader.flag("takeover")?;
        let events = framed && reader.lists("caps", EVENTS)?;
        Ok(Login { who, proof, takeover, events, acknowledges: framed })
    }
}

impl Proof {
    /// What is said of a login that proves nothing.
    pub fn missing() -> Failure {
        Failure::field("password", "password or token")
    }
}

impl Serialize for Login {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Login", 5)?;
        match &self.who {
            Who::Id(id) => object.serialize_field("id", id)?,
            Who::Name(name) => object.serialize_field("name", name)?,
        }
        match &self.proof {
            Proof::Password(password) => object.serialize_field("password", password)?,
            Proof::Token(token) => object.serialize_field("token", token)?,
        }
        object.serialize_field("takeover", &self.takeover)?;
        object.serialize_field("v", &VERSION)?;
        object.serialize_field("caps", if self.events { &[EVENTS][..] } else { &[] })?;
        object.end()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoginAck {
    pub id: UserId,
    pub name: String,
    pub token: String,
    pub node: String,
    pub version: u32,
    pub server: String,
    pub time: TimeMs,
    pub heartbeat_s: u64,
    #[serde(flatten)]
    pub roster: Roster,
    /// How many messages wait; exact up to 10,000.
    pub offline: u64,
    pub caps: Vec<String>,
    pub max_frame_bytes: usize,
    /// The waiting messages themselves, for clients that cannot acknowledge; never part of the framed dialect.
    #[serde(skip)]
    pub waiting: Vec<ChatMessage>,
}

impl Body for Box<LoginAck> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "name",
        "token",
        "node",
        "version",
        "server",
        "time",
        "heartbeat_s",
        "friends",
        "groups",
        "more",
        "offline",
        "caps",
        "max_frame_bytes",
    ];

    fn write(&self, answer: Answer<'_>) {
        match self.roster.fitting() {
            Cow::Borrowed(_) => answer.done(self),
            Cow::Owned(roster) => answer.done(&LoginAck { roster, waiting: Vec::new(), ..(**self).clone() }),
        }
    }
}

ask! {
    /// Ends the session; the connection stays.
    Logout {
        /// End all of the user's tokens; else they stay valid.
        revoke: bool = flag("revoke"),
    }
}
