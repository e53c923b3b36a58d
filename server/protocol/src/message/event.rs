//! EVENT: best-effort news.

use super::friend::State;
use crate::conversation::{GroupId, UserId};
use serde::{Deserialize, Serialize};

/// What happened; only for clients with the cap `events`.
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

impl Event {
    /// All that any kind of it may have.
    pub(super) const FIELDS: &[&str] = &["kind", "groupid", "id", "name", "state", "conv", "first", "last"];
}
