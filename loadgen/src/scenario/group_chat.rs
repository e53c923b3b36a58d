//! Groups in which some members write and all read.

use super::{Scenario, Sizes};
use crate::world::World;
use std::ops::Range;

pub struct GroupChat;

impl Scenario for GroupChat {
    fn lay_out(users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32> {
        let mut begun = users.start;
        while users.end - begun >= 2 {
            let left = users.end - begun;
            // A single user left over joins the last group.
            let size = if left <= sizes.group + 1 { left } else { sizes.group };
            world.group(begun..begun + size, sizes.group_senders.min(size));
            begun += size;
        }
        Vec::new()
    }
}
