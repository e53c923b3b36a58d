//! Friendships, and whether friends are online.

use super::error::Result;
use super::layer::{Layer, domain};
use super::sessions::Actor;
use async_trait::async_trait;
use chat_protocol::conversation::UserId;
use chat_protocol::message::Friend;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Befriended {
    /// The new friend, with true presence. It may be none any more by the time the answer is there.
    Done(Friend),
    NoSuchUser,
    Already,
}

domain! {
    /// Who is whose friend.
    pub trait Friends / FriendsLayer:

    /// Mutual; makes the conversation, or opens it again.
    async fn add_friend(&self, by: &Actor, friend: UserId) -> Result<Befriended>;
    /// False: they were not friends. What waits in the conversation still gets delivered.
    async fn remove_friend(&self, by: &Actor, friend: UserId) -> Result<bool>;
    /// The friends of each of the users, by id, with true presence; at most `limit` each. Each user at most once in a
    /// call.
    async fn friends(&self, users: &[UserId], limit: u32) -> Result<Vec<Vec<Friend>>>;
    /// Ids of friends that are online now; for presence events. At most `limit`.
    async fn online_friends(&self, user: UserId, limit: u32) -> Result<Vec<UserId>>;
}
