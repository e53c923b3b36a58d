//! What a cluster must not lose: accounts, friends, groups, conversations, cursors, sessions and leases.
//!
//! A small trait per domain, in a file with the types that it speaks; [`Storage`] is their sum. `sql` implements them
//! for every SQL database, over the few operations of an [`engine`]. A conversation is an append-only log with a cursor
//! per member, so "offline" is a comparison (`seq > received_seq`) and nothing is ever read-then-deleted. `sqlx` stays
//! in here.
//!
//! Lock order in every transaction: conversation ascending, then member ascending, then session, node, user.

mod accounts;
mod conversations;
mod cursors;
mod friends;
mod groups;
mod log;
mod nodes;
mod orders;
mod overview;
mod repair;
mod retention;
mod sessions;

mod error;
pub mod gathered;
mod layer;
mod position;
mod servers;

pub mod age;
pub mod engine;
pub mod migrate;
mod open;
mod sql;
pub mod verify;

pub use accounts::{Account, Accounts, AccountsLayer};
pub use age::{AgeMs, Ages, AgesLayer, Moment};
pub use conversations::{Audience, Conversations, ConversationsLayer, Settled};
pub use cursors::{Cursors, CursorsLayer, Mark, Waiting};
pub use error::{Error, Result};
pub use friends::{Befriended, Friends, FriendsLayer};
pub use groups::{Groups, GroupsLayer, Joined, Left, NamedGroup};
pub use layer::Layer;
pub use log::{Append, Appended, AppendedBatch, CertainPage, Fence, Log, LogLayer, Page};
pub use nodes::{NodeStart, Nodes, NodesLayer, Peer, Renewal};
pub use open::{open, open_engine, open_existing, open_on, open_with};
pub use orders::{Holder, Order, Ordered, Orders, OrdersLayer};
pub use overview::{LogSize, NodeSessions, Online, Overview, OverviewLayer};
pub use position::{End, Position};
pub use repair::{Change, Changes, Repair, RepairLayer, Seen};
pub use retention::{KeepRule, LogsPage, Retention, RetentionLayer, Shortened};
pub use servers::ServerState;
pub use sessions::{Actor, Claim, Claimant, Claimed, EndAsked, Release, SessionKey, Sessions, SessionsLayer};

use async_trait::async_trait;
use verify::Verify;

/// The database as the rest of the node sees it. Every call is bounded by the configured database timeout.
#[async_trait]
pub trait Storage:
    Accounts
    + Friends
    + Groups
    + Conversations
    + Log
    + Cursors
    + Nodes
    + Sessions
    + Repair
    + Ages
    + Retention
    + Orders
    + Overview
    + Verify
{
    /// For the log: product and version, and where (no password).
    fn describe(&self) -> String;

    /// How many tasks should commit messages, where the settings ask for `configured`.
    fn writers(&self, configured: usize) -> usize;

    /// The servers that the database may be at; none where it is not at a server.
    fn servers(&self) -> Vec<ServerState> {
        Vec::new()
    }

    /// How often another of them was used than before.
    fn server_changes(&self) -> u64 {
        0
    }

    /// The last call of a node that stops: leaves a database of one file in that file alone.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
