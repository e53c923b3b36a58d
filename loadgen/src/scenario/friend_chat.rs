//! Friends write to each other.
//!
//! Users connect to the targets in turn, so that with two targets even and odd numbers are on different nodes: of every
//! four users, the first and second make a pair across nodes, and so do the third and fourth, or, in every other four,
//! first and third, second and fourth make pairs on one node. Where that is not so (a balancer), the nodes' own names
//! tell.

use super::{Scenario, Sizes};
use crate::world::World;
use std::ops::Range;

pub struct FriendChat;

impl Scenario for FriendChat {
    fn lay_out(users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32> {
        let users: Vec<u32> = users.collect();
        for (place, four) in users.chunks(4).enumerate() {
            match *four {
                [a, b, c, d] if place % 2 == 0 => pairs(world, &[(a, c), (b, d)]),
                [a, b, c, d] => pairs(world, &[(a, b), (c, d)]),
                [a, b, c] => pairs(world, &[(a, b), (b, c)]),
                [a, b] => pairs(world, &[(a, b)]),
                [a] if users.len() > 1 => pairs(world, &[(users[0], a)]),
                _ => {}
            }
        }
        more_friends(&users, sizes.friends, world);
        Vec::new()
    }
}

fn pairs(world: &mut World, pairs: &[(u32, u32)]) {
    for &(one, other) in pairs {
        world.befriend(one, other, true);
    }
}

/// Friends beyond the first: the users five, six … places further on, since nearer ones may be friends already.
fn more_friends(users: &[u32], friends: u32, world: &mut World) {
    const FIRST_STEP: usize = 5;
    for extra in 0..friends.saturating_sub(1) as usize {
        let step = FIRST_STEP + extra;
        if 2 * step >= users.len() {
            break;
        }
        for place in 0..users.len() {
            world.befriend(users[place], users[(place + step) % users.len()], false);
        }
    }
}
