//! ADD_FRIEND and REMOVE_FRIEND.

use super::fields::Ask;
use super::login::Who;
use crate::conversation::UserId;
use crate::errno::Failure;
use crate::reader::Reader;
use crate::spelling::Field;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

/// Makes two users friends, both ways and at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddFriend {
    pub friend: Who,
}

impl Ask for AddFriend {
    const FIELDS: &'static [&'static str] = &["friendid", "name"];

    /// `friendid` counts where both are there: clients may send a `name` that means nothing, as to every request.
    fn read(reader: &mut Reader<'_, '_>) -> Result<Self, Failure> {
        let by_name = reader.is_framed() && reader.has("name") && !reader.has("friendid");
        let friend = if by_name { Who::Name(reader.name("name")?) } else { Who::Id(reader.user(Field::Friendid)?) };
        Ok(AddFriend { friend })
    }
}

impl Serialize for AddFriend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("AddFriend", 1)?;
        match &self.friend {
            Who::Id(id) => object.serialize_field("friendid", id)?,
            Who::Name(name) => object.serialize_field("name", name)?,
        }
        object.end()
    }
}

answer! {
    /// ADD_FRIEND_ACK, and a friend in a list.
    Friend { id: UserId, name: String, state: State }
}

ask! {
    /// Ends a friendship.
    RemoveFriend { friendid: UserId = user(Field::Friendid) }
}

answer! {
    /// REMOVE_FRIEND_ACK.
    FriendRemoved {
        #[serde(default)]
        friendid: UserId,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Online,
    Offline,
}
