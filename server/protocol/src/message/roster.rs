//! ROSTER: friends and groups with true presence, or a page of one group's users.

use super::fields::{Ask, Body};
use super::friend::Friend;
use super::group::{Group, GroupUser};
use super::history::PAGE;
use crate::answer::Answer;
use crate::conversation::{GroupId, UserId};
use crate::errno::{Errno, Failure};
use crate::fit::{Room, text_bytes};
use crate::reader::Reader;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// As many as LOGIN_ACK lists of one group.
const DEFAULT_LIMIT: u32 = 100;
/// The longest that a friend or a group's user gets without the name, and a group without texts and users.
const ENTRY_BYTES: usize = 100;

/// Asks for all, or for a page of one group's users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskRoster {
    #[serde(flatten)]
    pub page: Option<GroupPage>,
}

/// One page of one group's users: those with an id above `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPage {
    #[serde(rename = "groupid")]
    pub group: GroupId,
    pub after: UserId,
    pub limit: u32,
}

impl Ask for AskRoster {
    const FIELDS: &'static [&'static str] = &["groupid", "after", "limit"];

    fn read(reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let Some(group) = reader.optional_id("groupid", Errno::NoSuchGroup)? else {
            return Ok(AskRoster { page: None });
        };
        let after = reader.optional_position("after")?.unwrap_or(0);
        let limit = reader.integer("limit", PAGE, DEFAULT_LIMIT)?;
        Ok(AskRoster { page: Some(GroupPage { group, after, limit }) })
    }
}

/// Friends and groups, as of now.
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

impl Body for Box<Roster> {
    const FIELDS: &'static [&'static str] = &["friends", "groups", "more"];

    fn write(&self, answer: Answer<'_>) {
        answer.done::<Roster>(&self.fitting());
    }
}

impl Roster {
    /// As far as it fits into one frame: friends first, then groups, the last of them perhaps with fewer users.
    pub(super) fn fitting(&self) -> Cow<'_, Roster> {
        let mut room = Room::in_reply();
        if room.take(self.bytes()) {
            return Cow::Borrowed(self);
        }
        let friends = self.friends.iter().take_while(|friend| room.take(entry_bytes(&friend.name)));
        let mut short = Roster { friends: friends.cloned().collect(), groups: Vec::new(), more: true };
        for group in &self.groups {
            if !room.take(group_bytes(group)) {
                break;
            }
            let users: Vec<_> = group.users.iter().take_while(|user| room.take(user_bytes(user))).cloned().collect();
            let more = group.more || users.len() < group.users.len();
            let (groupname, groupdesc) = (group.groupname.clone(), group.groupdesc.clone());
            short.groups.push(Group { id: group.id, groupname, groupdesc, users, more });
        }
        Cow::Owned(short)
    }

    fn bytes(&self) -> usize {
        let friends: usize = self.friends.iter().map(|friend| entry_bytes(&friend.name)).sum();
        let whole = |group: &Group| group_bytes(group) + group.users.iter().map(user_bytes).sum::<usize>();
        friends + self.groups.iter().map(whole).sum::<usize>()
    }
}

fn group_bytes(group: &Group) -> usize {
    entry_bytes(&group.groupname) + text_bytes(&group.groupdesc)
}

fn user_bytes(user: &GroupUser) -> usize {
    entry_bytes(&user.name)
}

fn entry_bytes(name: &str) -> usize {
    ENTRY_BYTES + text_bytes(name)
}

#[cfg(test)]
mod tests {
    use super::super::friend::State;
    use super::super::group::Role;
    use super::*;
    use crate::conversation::MAX_ID;
    use crate::fit::{MAX_NODE_FRAME_BYTES, REPLY_BYTES};

    const ID: u64 = MAX_ID - 1;

    fn user(name: &str) -> GroupUser {
        GroupUser { id: ID, name: name.into(), state: State::Offline, role: Role::Creator }
    }

    fn json<T: Serialize>(value: &T) -> usize {
        serde_json::to_vec(value).expect("test values can be written").len()
    }

    #[test]
    fn reckoned_sizes_are_never_too_small() {
        assert!(json(&user("\"x\\")) <= user_bytes(&user("\"x\\")));
        let friend = Friend { id: ID, name: "é\\".into(), state: State::Offline };
        assert!(json(&friend) <= entry_bytes(&friend.name));
        let group = Group { id: ID, groupname: "g".into(), groupdesc: "\t".into(), users: vec![], more: true };
        assert!(json(&group) <= group_bytes(&group));
    }

    #[test]
    fn roster_is_cut_only_where_it_must_be() {
        let name = "界".repeat(50);
        let group = Group {
            id: ID,
            groupname: name.clone(),
            groupdesc: name.repeat(4),
            users: vec![user(&name); 100],
            more: false,
        };
        let small = Roster { groups: vec![group.clone()], ..Roster::default() };
        assert!(matches!(small.fitting(), Cow::Borrowed(_)));

        let friends = vec![Friend { id: ID, name, state: State::Online }; 200];
        let large = Roster { friends, groups: vec![group; 200], more: false };
        let cut = large.fitting();
        assert!(json(&*cut) < MAX_NODE_FRAME_BYTES - REPLY_BYTES);
        assert_eq!((cut.friends.len(), cut.more), (200, true));
        assert!(cut.groups.len() > 20 && cut.groups.last().is_some_and(|last| last.more));
    }
}
