//! Everything at once for the same users: friends, a group, and some who come and go.
//!
//! Those who come and go are written to and write nothing, so that a due message always has a sender.

use super::friend_chat::FriendChat;
use super::group_chat::GroupChat;
use super::offline::Offline;
use super::{Control, Scenario, Sizes};
use crate::world::World;
use std::ops::Range;

pub struct Mixed;

impl Scenario for Mixed {
    fn lay_out(users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32> {
        let quarter = (users.end - users.start) / 4;
        if quarter < 2 {
            return FriendChat::lay_out(users, sizes, world);
        }
        let staying = users.start..users.end - quarter;
        FriendChat::lay_out(staying.clone(), sizes, world);
        GroupChat::lay_out(staying, sizes, world);
        Offline::lay_out(users.end - quarter..users.end, sizes, world)
    }

    async fn act(actors: &[u32], control: &impl Control) {
        Offline::act(actors, control).await;
    }
}
