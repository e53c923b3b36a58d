//! Groups and their users.

use super::error::Result;
use super::layer::{Layer, domain};
use super::position::End;
use super::sessions::Actor;
use async_trait::async_trait;
use chat_protocol::conversation::{GroupId, UserId};
use chat_protocol::message::{Group, GroupPage, GroupUser};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The joiner gets what comes after `end`. The conversation's members are at `version` with it.
    Done {
        name: String,
        description: String,
        end: End,
        version: u64,
    },
    NoSuchGroup,
    Already,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The conversation's members are at `version` without the user.
    Done {
        version: u64,
    },
    NoSuchGroup,
    NotMember,
}

/// A group without its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedGroup {
    pub id: GroupId,
    pub groupname: String,
    pub groupdesc: String,
}

domain! {
    /// Who is in which group.
    pub trait Groups / GroupsLayer:

    /// `None`: the name is taken.
    async fn create_group(&self, by: &Actor, name: &str, description: &str) -> Result<Option<GroupId>>;
    /// The joiner's cursor starts at the conversation's end. `max_members` as in [`Joined::Full`].
    async fn join_group(&self, by: &Actor, group: GroupId, max_members: u32) -> Result<Joined>;
    /// A leaving creator hands the role to the longest-standing member; the next to join an empty group becomes
    /// creator.
    async fn leave_group(&self, by: &Actor, group: GroupId) -> Result<Left>;
    /// The groups of each of the users, by id, at most `limit` each. Each user at most once in a call.
    async fn groups(&self, users: &[UserId], limit: u32) -> Result<Vec<Vec<NamedGroup>>>;
    /// The users of each of the groups, by id, with true presence; at most `limit` each. Each group at most once in a
    /// call.
    async fn group_users(&self, groups: &[GroupId], limit: u32) -> Result<Vec<Vec<GroupUser>>>;
    /// One group with one page of its users. `None`: no such group, or `user` is not in it.
    async fn group_page(&self, user: UserId, page: GroupPage) -> Result<Option<Group>>;
}
