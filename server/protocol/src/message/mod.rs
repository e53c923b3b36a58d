//! Typed messages: what a client can ask for and what a node can say.
//!
//! All three dialects decode into [`Request`] and encode from [`Outgoing`]; nothing behind `protocol/` sees bytes.
//! The payload structs double as the client library's view of the framed dialect, hence both serde directions.

use crate::conversation::{Conversation, GroupId, Log, LogEpoch, Target, UserId};
use crate::errno::Failure;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Milliseconds since the Unix epoch.
pub type TimeMs = i64;

/// The numbers of the framed and bare dialects.
pub mod msgid {
    pub const ERROR: u64 = 0;
    pub const LOGIN: u64 = 1;
    pub const LOGIN_ACK: u64 = 2;
    pub const LOGOUT: u64 = 3;
    pub const REGISTER: u64 = 4;
    pub const REGISTER_ACK: u64 = 5;
    pub const ONE_CHAT: u64 = 6;
    pub const ADD_FRIEND: u64 = 7;
    pub const CREATE_GROUP: u64 = 8;
    pub const ADD_GROUP: u64 = 9;
    pub const GROUP_CHAT: u64 = 10;
    pub const LOGOUT_ACK: u64 = 11;
    pub const CHAT_ACK: u64 = 12;
    pub const ADD_FRIEND_ACK: u64 = 13;
    pub const CREATE_GROUP_ACK: u64 = 14;
    pub const ADD_GROUP_ACK: u64 = 15;
    pub const RECEIVED: u64 = 16;
    pub const HISTORY: u64 = 17;
    pub const HISTORY_ACK: u64 = 18;
    pub const PING: u64 = 19;
    pub const PONG: u64 = 20;
    pub const NOTICE: u64 = 21;
    pub const REMOVE_FRIEND: u64 = 22;
    pub const REMOVE_FRIEND_ACK: u64 = 23;
    pub const LEAVE_GROUP: u64 = 24;
    pub const LEAVE_GROUP_ACK: u64 = 25;
    pub const ROSTER: u64 = 26;
    pub const ROSTER_ACK: u64 = 27;
    pub const CHANGE_PASSWORD: u64 = 28;
    pub const CHANGE_PASSWORD_ACK: u64 = 29;
    pub const EVENT: u64 = 31;
}

/// The longest `mid` that is echoed, in bytes; a longer one is errno 4.
pub const MAX_MID_BYTES: usize = 64;

/// A `mid` exactly as the client wrote it, to be echoed in the reply. Inline, so that carrying it costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MidText {
    len: u8,
    bytes: [u8; MAX_MID_BYTES],
}

impl MidText {
    /// `None` if `text` is longer than [`MAX_MID_BYTES`].
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; MAX_MID_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(MidText { len: text.len() as u8, bytes })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("made from a str")
    }
}

impl std::fmt::Debug for MidText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Text that must not reach a log: passwords and tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// One request of a client, its fields checked for type and range but not for permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Echoed in the reply.
    pub mid: Option<MidText>,
    /// The `id` the client claims to be, if it said one; must be the session's own (errno 7). Never set for LOGIN.
    pub claimed_id: Option<UserId>,
    pub command: Command,
}

/// What a request asks for. Names are already in Unicode NFC and of lawful length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Login(Login),
    Logout {
        revoke: bool,
    },
    Register {
        name: String,
        password: Secret,
    },
    Chat(Chat),
    AddFriend {
        friend: UserId,
    },
    CreateGroup {
        name: String,
        description: String,
    },
    JoinGroup {
        group: GroupId,
    },
    /// `log` is `None` for text that names no conversation: ignored, as the contract says of another's conversation.
    Received {
        log: Option<Log>,
        seq: u64,
    },
    History {
        of: Target,
        before: Option<u64>,
        limit: u32,
    },
    Ping,
    Pong,
    RemoveFriend {
        friend: UserId,
    },
    LeaveGroup {
        group: GroupId,
    },
    Roster {
        page: Option<GroupPage>,
    },
    ChangePassword {
        old: Secret,
        new: Secret,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub who: Who,
    pub proof: Proof,
    pub takeover: bool,
    /// The client listed the cap `events`.
    pub events: bool,
    /// The client can send RECEIVED. Classic dialects cannot: their waiting messages travel inside LOGIN_ACK and count
    /// as received once the kernel has handed them over.
    pub acknowledges: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Id(UserId),
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Password(Secret),
    Token(Secret),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub to: Target,
    pub msg: String,
    pub stored: bool,
    /// The identity of the message among the sender's. Made by the node for classic dialects.
    pub mid: Uuid,
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

/// One page of one group's users: those with an id above `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPage {
    pub group: GroupId,
    pub after: UserId,
    pub limit: u32,
}

/// Which request a reply answers; it decides the reply's `msgid` and, in classic dialects, whether there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request whose `msgid` is unknown or only a node's: answered with ERROR.
    Unknown,
    Login,
    Logout,
    Register,
    OneChat,
    GroupChat,
    AddFriend,
    CreateGroup,
    JoinGroup,
    Received,
    History,
    Ping,
    Pong,
    RemoveFriend,
    LeaveGroup,
    Roster,
    ChangePassword,
}

impl Command {
    pub fn kind(&self) -> Kind {
        match self {
            Command::Login(_) => Kind::Login,
            Command::Logout { .. } => Kind::Logout,
            Command::Register { .. } => Kind::Register,
            Command::Chat(Chat { to: Target::User(_), .. }) => Kind::OneChat,
            Command::Chat(Chat { to: Target::Group(_), .. }) => Kind::GroupChat,
            Command::AddFriend { .. } => Kind::AddFriend,
            Command::CreateGroup { .. } => Kind::CreateGroup,
            Command::JoinGroup { .. } => Kind::JoinGroup,
            Command::Received { .. } => Kind::Received,
            Command::History { .. } => Kind::History,
            Command::Ping => Kind::Ping,
            Command::Pong => Kind::Pong,
            Command::RemoveFriend { .. } => Kind::RemoveFriend,
            Command::LeaveGroup { .. } => Kind::LeaveGroup,
            Command::Roster { .. } => Kind::Roster,
            Command::ChangePassword { .. } => Kind::ChangePassword,
        }
    }
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
    Reply { kind: Kind, mid: Option<MidText>, result: Result<Reply, Failure> },
    Push(&'a ChatMessage),
    Notice(Failure),
    Ping,
    Event(&'a Event),
}

/// The body of a reply to a request that was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Login(Box<LoginAck>),
    Logout,
    Register {
        id: UserId,
    },
    /// `None`: relayed (`qos` 0), not stored.
    Chat(Option<Stored>),
    AddFriend(Friend),
    CreateGroup {
        groupid: GroupId,
    },
    JoinGroup {
        groupid: GroupId,
        groupname: String,
        groupdesc: String,
    },
    History {
        log: Log,
        messages: Vec<ChatMessage>,
        more: bool,
    },
    Pong {
        time: TimeMs,
    },
    RemoveFriend {
        friendid: UserId,
    },
    LeaveGroup {
        groupid: GroupId,
    },
    Roster(Box<Roster>),
    ChangePassword {
        token: String,
    },
}

/// Where in its conversation a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub log: Log,
    pub seq: u64,
    pub time: TimeMs,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Online,
    Offline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Creator,
    Normal,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Friend {
    pub id: UserId,
    pub name: String,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupUser {
    pub id: UserId,
    pub name: String,
    pub state: State,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: GroupId,
    pub groupname: String,
    pub groupdesc: String,
    pub users: Vec<GroupUser>,
    /// Not all of its users are listed: page on with ROSTER.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
}

/// Friends and groups with true presence, as of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    #[serde(default)]
    pub friends: Vec<Friend>,
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Something was left out.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
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

/// Best-effort news, only for clients with the cap `events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    FriendAdded {
        id: UserId,
        name: String,
    },
    FriendRemoved {
        id: UserId,
        name: String,
    },
    Joined {
        groupid: GroupId,
        id: UserId,
        name: String,
    },
    Left {
        groupid: GroupId,
        id: UserId,
        name: String,
    },
    Presence {
        id: UserId,
        name: String,
        state: State,
    },
    /// Messages `first` to `last` of the conversation are gone from the database: they will not come.
    Gap {
        conv: String,
        first: u64,
        last: u64,
    },
}
