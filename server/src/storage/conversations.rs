//! Who is in a conversation, and may post in it.

use super::error::Result;
use super::layer::{Layer, domain};
use super::position::Position;
use async_trait::async_trait;
use chat_protocol::conversation::{Conversation, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who gets what is said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// `members_version` of the conversation that this was read under.
    pub version: u64,
    /// Everyone with a cursor, ascending. Of a direct conversation both users, also after unfriending.
    pub members: Arc<[UserId]>,
    /// False for a direct conversation whose users are no longer friends: nobody may post.
    pub open: bool,
}

impl Audience {
    pub fn may_post(&self, sender: UserId) -> bool {
        self.open && self.members.binary_search(&sender).is_ok()
    }
}

/// A conversation as it is once nobody is writing to it: nothing that was begun before can change it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub audience: Audience,
    /// The asker's cursor; `None`: no member.
    pub position: Option<Position>,
}

domain! {
    /// The members of conversations.
    pub trait Conversations / ConversationsLayer:

    /// Of those conversations that exist.
    async fn audiences(&self, convs: &[Conversation]) -> Result<BTreeMap<Conversation, Audience>>;
    /// Whether the user has a cursor in the conversation: of a direct one both users, also after unfriending.
    async fn is_member(&self, conv: Conversation, user: UserId) -> Result<bool>;
    /// Waits until no transaction holds the conversation, then reads it as it is now. A join, leave, befriending or
    /// unfriending that failed before this call has taken effect by then, or never will. `None`: no such conversation.
    async fn settled(&self, conv: Conversation, user: UserId) -> Result<Option<Settled>>;
}
