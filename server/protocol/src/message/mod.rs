//! Typed messages: what a client can ask for and what a node can say.
//!
//! The `catalogue` has a line for each; the files beside it hold their fields, one a subject: how a node reads what
//! a client writes, and the other way round. All dialects decode into [`Request`] and encode from [`Outgoing`]; nothing
//! behind this package sees bytes.

#[macro_use]
mod fields;
#[macro_use]
mod table;

mod account;
mod catalogue;
mod chat;
mod envelope;
mod event;
mod friend;
mod group;
mod history;
mod login;
mod ping;
mod received;
mod roster;

pub use crate::mid::{MAX_MID_BYTES, MidText};
pub use crate::secret::Secret;
pub use account::{ChangePassword, NewToken, Register, Registered};
pub use catalogue::{CATALOGUE, Command, Entry, Kind, Reply, Sender, msgid};
pub(crate) use chat::Push;
pub use chat::{Chat, ChatMessage, SentAs, Stored, write_chat};
pub use envelope::{Incoming, Outgoing, Request};
pub use event::Event;
pub use fields::{Nothing, TimeMs};
pub use friend::{AddFriend, Friend, FriendRemoved, RemoveFriend, State};
pub use group::{CreateGroup, Group, GroupCreated, GroupLeft, GroupUser, JoinGroup, JoinedGroup, LeaveGroup, Role};
pub use history::{History, Page};
pub use login::{Login, LoginAck, Logout, Proof, Who};
pub use ping::{Ping, Pong, ServerTime};
pub use received::Received;
pub use roster::{AskRoster, GroupPage, Roster};
