//! Groups in which some members write and all read.

use crate::plan::Plan;
use crate::world::World;
use std::ops::Range;

pub fn lay_out(users: Range<u32>, plan: &Plan, world: &mut World) -> Vec<u32> {
    let mut begun = users.start;
    while users.end - begun >= 2 {
        let left = users.end - begun;
        // A single user left over joins the last group.
        let size = if left <= plan.group_size + 1 { left } else { plan.group_size };
        world.group(begun..begun + size, plan.group_senders.min(size));
        begun += size;
    }
    Vec::new()
}
