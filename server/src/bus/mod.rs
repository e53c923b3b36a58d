//! How nodes tell each other what just happened.
//!
//! The bus is a hint and never the truth: all it carries can be lost without a message being lost, since every node can
//! read what it missed from the log. A receiver is told where something may have been lost ([`Arrival::Lost`]), and
//! looks there. `redis` stays in here.
//!
//! [`local::LocalHub`] joins nodes of one process; [`redis::connect`] joins processes; [`carried::connect`] goes over
//! whatever carries bytes. The latter two share one `exchange`, over as many media as there are. All keep the order in
//! which one node sent to another, deliver an item at most once, and say [`Arrival::Lost`] before whatever follows a
//! gap.

pub mod carried;
pub mod envelope;
pub mod local;
pub mod numbering;
pub mod redis;
pub mod signature;

mod backoff;
mod exchange;
mod inbox;
mod medium;
mod outbox;
mod reception;
mod routing;
mod silence;
mod stats;

pub use stats::BusStats;

use crate::cluster::{EndReason, NodeId, NodeKey};
use crate::tls;
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::ChatMessage;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Time between two heartbeats: how soon a receiver notices that the newest envelope was lost.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What is not heard for this long is not relied on: a node, or a Redis through which the own heartbeats do not come
/// back. Two heartbeats may be lost or late; with a look every half second it is noticed within three.
const UNHEARD_AFTER: Duration = Duration::from_millis(2_500);

/// Members up to which an envelope lists its recipients; beyond it each node filters by its own members.
pub const LISTED_RECIPIENTS: usize = 64;
/// Items waiting for one node on the bus; beyond it they are dropped and the receiver looks into the log.
pub const QUEUE_ITEMS: usize = 65_536;
/// Bytes waiting for one node on the bus; beyond it items are dropped and the receiver looks into the log.
pub const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes after which an envelope takes no further item (one item may be longer than this); the rest goes into the next.
pub const ENVELOPE_BYTES: usize = 1024 * 1024;
/// Arrivals from the bus that wait to be handled; beyond it they are dropped and count as lost.
pub const ARRIVALS: usize = 4_096;

/// One thing a node tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A committed message for sessions of the receiving node. `version` is the conversation's `members_version`.
    Deliver { message: ChatMessage, version: u64, recipients: Recipients },
    /// A message with `qos` 0: to who is online, not stored.
    Relay { message: ChatMessage, recipients: Recipients },
    /// These users are not on the sending node: forget the route.
    NotHere { users: Vec<UserId> },
    /// These users have just logged in on the sending node.
    Online { users: Vec<UserId> },
    /// Give up the session won with `epoch`, if its row still says so: its user logs in on the sending node.
    Yield { user: UserId, epoch: u64 },
    /// The session asked for with [`Item::Yield`] is free now.
    Yielded { user: UserId },
    /// The conversation has other members, or is open or closed, since `version`. Where that is known it says how they
    /// differ from those of the version before.
    Changed { conv: Conversation, version: u64, moved: Option<Moved> },
    /// An EVENT (its JSON object) for those of the users that want events.
    Event { event: String, users: Vec<UserId> },
    /// Answer with [`Item::Pong`]. `asked_at` means something to the sender alone.
    Ping { asked_at: u64 },
    /// The answer, from this run of the sending node: all that it sent before the ping arrived has been sent before
    /// this.
    Pong { asked_at: u64, boot: i64 },
    /// An operator wants the session to end that was won with `epoch`.
    End { user: UserId, epoch: u64, reason: EndReason },
    /// A login was refused for the session won with `epoch`: free its row if no session is behind it.
    InTheWay { user: UserId, epoch: u64 },
}

/// Who on the receiving node gets a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recipients {
    Users(Vec<UserId>),
    /// Every member of the conversation but the sender that has a session on the receiving node.
    Members,
}

/// One step from a version of a conversation's members to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moved {
    Joined(UserId),
    Left(UserId),
}

impl Moved {
    /// The members after the step; both ascending.
    pub fn after(self, members: &[UserId]) -> Arc<[UserId]> {
        let mut members = members.to_vec();
        match (self, members.binary_search(&self.user())) {
            (Moved::Joined(user), Err(place)) => members.insert(place, user),
            (Moved::Left(_), Ok(place)) => drop(members.remove(place)),
            _ => {}
        }
        members.into()
    }

    fn user(self) -> UserId {
        match self {
            Moved::Joined(user) | Moved::Left(user) => user,
        }
    }
}

/// What a node's subscription yields.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// In the order the sender queued them.
    Items { from: NodeId, items: Vec<Item> },
    /// Something from `from` was lost: look into the log at once.
    Lost { from: NodeId },
    /// The subscription was broken and is back; anything may have been lost meanwhile.
    Resubscribed,
}

/// How one Redis of the list does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kind and address, no password.
    pub name: String,
    /// The own heartbeats come back through it.
    pub works: bool,
    /// Nodes that are reached through it, the own one included.
    pub channels: usize,
}

/// Why there is no bus. Redis being out of reach is none of these: the node starts, and the bus keeps trying.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting has to be corrected; trying again changes nothing. The URL may hold a password, so it is not
    /// repeated.
    #[error("entry {place} of bus.url is not a usable Redis URL: {reason}")]
    BadUrl { place: usize, reason: String },
    #[error("bus.url is empty")]
    NoUrl,
    #[error("bus.ca: {0}")]
    Authority(#[from] tls::Error),
}

/// One node's end of the bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// For the log: kind and address (no password).
    fn describe(&self) -> String;
    /// Queues an item for a node and returns at once. Past the queue's limit the item is dropped in such a way that the
    /// receiver gets [`Arrival::Lost`].
    fn send(&self, to: &NodeId, item: Item);
    /// The runs of nodes that are alive now, told by each renewal of the lease; heartbeats go to these, and what comes
    /// from an earlier run of theirs is not listened to.
    fn set_peers(&self, peers: &[NodeKey]);
    /// Whether a subscription is up: part of readiness.
    fn is_connected(&self) -> bool;
    /// How each Redis does, for readiness and metrics; empty where there is none.
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }
    /// What this end of the bus has done since it was made.
    fn stats(&self) -> &BusStats;
    /// Sends what is queued, within a bounded time, and ends the bus's tasks.
    async fn close(&self);
}

/// What an [`Item`] takes at most on the wire beside its text and lists, and about what it takes in memory.
const ITEM_OVERHEAD_BYTES: usize = 256;
/// A user's number takes at most this on the wire.
const USER_BYTES: usize = 10;

impl Item {
    /// No less than the bytes that this item takes in an envelope; cheap, for it is asked of every item.
    fn weight_bytes(&self) -> usize {
        ITEM_OVERHEAD_BYTES
            + match self {
                Item::Deliver { message, recipients, .. } | Item::Relay { message, recipients } => {
                    message.name.len() + message.text_bytes() + recipients.weight_bytes()
                }
                Item::NotHere { users } | Item::Online { users } => users.len() * USER_BYTES,
                Item::Event { event, users } => event.len() + users.len() * USER_BYTES,
                Item::Yield { .. }
                | Item::Yielded { .. }
                | Item::Changed { .. }
                | Item::Ping { .. }
                | Item::Pong { .. }
                | Item::End { .. }
                | Item::InTheWay { .. } => 0,
            }
    }
}

impl Recipients {
    fn weight_bytes(&self) -> usize {
        match self {
            Recipients::Users(users) => users.len() * USER_BYTES,
            Recipients::Members => 0,
        }
    }
}
