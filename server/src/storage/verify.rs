//! Whether the database is as it must be: what was checked, and what was found wrong.
//!
//! Tables are gone through in pages, each in one transaction, so it can be done beside running nodes and needs little
//! memory. Nothing is changed unless that is asked for, and then only what cannot make things worse.

use super::Storage;
use super::error::Result;
use super::layer::{Layer, domain};
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;

/// What is checked by itself, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Each log has every message from where it begins to its end, and no other.
    Logs,
    /// Cursors lie within their logs, and are somebody's.
    Members,
    /// Those whom a group lists are those who get its messages.
    GroupUsers,
    /// Friendship is mutual, and has a conversation.
    Friends,
    /// Sessions are somebody's, and users are shown online exactly while they have one.
    Sessions,
}

impl Part {
    pub const ALL: [Part; 5] = [Part::Logs, Part::Members, Part::GroupUsers, Part::Friends, Part::Sessions];
}

/// Something that is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// A row of `conversation` that names none.
    ConversationName,
    /// A log ends before it begins, or has an epoch that begins beyond its end.
    LogBounds,
    /// Messages that should be in the log. Members are told when they come to it.
    MessagesMissing,
    /// Messages from before the log begins. Repaired by removing them.
    MessagesRemoved,
    /// Messages past the end of the log: the next one finds its place taken. Repaired by moving the end.
    MessagesPastEnd,
    /// Messages of a conversation that is not there.
    MessagesOfNoConversation,
    MemberOfNoConversation,
    /// A cursor past the end of its log: messages up to there would be taken for received. Repaired by moving it back.
    CursorPastEnd,
    /// Somebody who gets a group's messages, and whom it does not list.
    MemberNotInGroup,
    /// Somebody whom a group lists, and who gets none of its messages.
    GroupUserNoMember,
    FriendOneSided,
    FriendWithoutConversation,
    /// A row that names a user who is not there. Harmless.
    UserGone,
    /// Somebody is shown online who is not, or the other way round. Harmless; nodes put it right.
    StateStale,
    /// A node that is called gone for a renewal that it never made.
    NodeCount,
}

impl Wrong {
    /// Whether a promise may be broken; else it is only untidy.
    pub fn is_damage(self) -> bool {
        !matches!(self, Wrong::UserGone | Wrong::StateStale)
    }
}

/// One thing that is wrong in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub wrong: Wrong,
    /// Where, and what.
    pub what: String,
    pub is_repaired: bool,
}

/// Where to go on in a part: after the row with this key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub conv: Arc<str>,
    pub id: u64,
    pub other: u64,
}

/// What came of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub rows: u64,
    pub findings: Vec<Finding>,
    /// `None`: that was the last.
    pub next: Option<Place>,
}

domain! {
    /// Checking the database.
    pub trait Verify / VerifyLayer:

    /// Checks a page of a part. With `repair`, what can only get better is repaired.
    async fn verify(&self, part: Part, after: &Place, repair: bool) -> Result<Verified>;
}

/// Checks everything; `told` hears of each finding. Returns how many rows of each part there are: of the logs, how many
/// conversations.
///
/// # Errors
/// A page that cannot be read; what was found until then has been told.
pub async fn verify_all(
    storage: &dyn Storage,
    repair: bool,
    mut told: impl FnMut(Finding),
) -> Result<Vec<(Part, u64)>> {
    let mut checked = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        let (mut rows, mut place) = (0, Some(Place::default()));
        while let Some(after) = place {
            let page = storage.verify(part, &after, repair).await?;
            rows += page.rows;
            page.findings.into_iter().for_each(&mut told);
            place = page.next;
        }
        checked.push((part, rows));
    }
    Ok(checked)
}
