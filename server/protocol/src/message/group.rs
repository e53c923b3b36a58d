//! CREATE_GROUP, ADD_GROUP (join) and LEAVE_GROUP, and what is known of a group.

use super::friend::State;
use crate::conversation::{GroupId, UserId};
use crate::errno::Failure;
use crate::reader::Reader;
use crate::spelling::Field;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const DESCRIPTION_CHARACTERS: RangeInclusive<usize> = 0..=200;

ask! {
    /// Makes a group, its creator in it.
    CreateGroup {
        groupname: String = new_group_name(),
        groupdesc: String = group_description(),
    }
}

answer! {
    /// CREATE_GROUP_ACK.
    GroupCreated { groupid: GroupId }
}

ask! {
    /// ADD_GROUP.
    JoinGroup { groupid: GroupId = group() }
}

answer! {
    /// ADD_GROUP_ACK.
    JoinedGroup {
        groupid: GroupId,
        groupname: String,
        #[serde(default)]
        groupdesc: String,
    }
}

ask! {
    /// The creator leaving hands the role to the longest-standing member.
    LeaveGroup { groupid: GroupId = group() }
}

answer! {
    /// LEAVE_GROUP_ACK.
    GroupLeft {
        #[serde(default)]
        groupid: GroupId,
    }
}

/// A group in a list.
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupUser {
    pub id: UserId,
    pub name: String,
    pub state: State,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Creator,
    Normal,
}

impl Reader<'_, '_> {
    /// Classic clients may leave it out.
    fn group_description(&mut self) -> Result<String, Failure> {
        let name = self.spelled(Field::Groupdesc);
        if !self.is_framed() && !self.has(name) {
            return Ok(String::new());
        }
        self.text_within(name, DESCRIPTION_CHARACTERS)
    }
}
