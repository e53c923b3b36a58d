//! Everything at once for the same users: friends, a group, and some who come and go.
//!
//! Those who come and go are written to and write nothing, so that a due message always has a sender.

use super::{friend_chat, group_chat, offline};
use crate::plan::Plan;
use crate::world::World;
use std::ops::Range;

pub fn lay_out(users: Range<u32>, plan: &Plan, world: &mut World) -> Vec<u32> {
    let quarter = (users.end - users.start) / 4;
    if quarter < 2 {
        return friend_chat::lay_out(users, plan, world);
    }
    let staying = users.start..users.end - quarter;
    friend_chat::lay_out(staying.clone(), plan, world);
    group_chat::lay_out(staying, plan, world);
    offline::lay_out(users.end - quarter..users.end, world)
}
