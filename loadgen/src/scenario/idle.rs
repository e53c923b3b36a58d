//! Users who are only there: what a connection costs.

use super::{Scenario, Sizes};
use crate::world::World;
use std::ops::Range;

pub struct Idle;

impl Scenario for Idle {
    fn lay_out(_users: Range<u32>, _sizes: Sizes, _world: &mut World) -> Vec<u32> {
        Vec::new()
    }
}
