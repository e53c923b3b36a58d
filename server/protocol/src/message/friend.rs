//! ADD_FRIEND and REMOVE_FRIEND.

use crate::conversation::UserId;
use crate::spelling::Field;
use serde::{Deserialize, Serialize};

ask! {
    /// Makes two users friends, both ways and at once.
    AddFriend { friendid: UserId = user(Field::Friendid) }
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
