//! Friends write to users who stop reading for a while, again and again: what is queued must neither be lost nor hurt
//! others.

use super::offline::Offline;
use super::{Control, Scenario, Sizes};
use crate::world::World;
use std::ops::Range;
use std::time::Duration;

/// The part of a period in which nothing is read.
const PAUSED: f64 = 0.8;

pub struct SlowReader;

impl Scenario for SlowReader {
    fn lay_out(users: Range<u32>, sizes: Sizes, world: &mut World) -> Vec<u32> {
        Offline::lay_out(users, sizes, world)
    }

    async fn act(actors: &[u32], control: &impl Control) {
        let period = control.away().max(Duration::from_millis(500));
        let begun = tokio::time::Instant::now();
        for turn in 0.. {
            actors.iter().for_each(|user| control.pause(*user, true));
            let went_on = control.sleep_until(begun + period * turn + period.mul_f64(PAUSED)).await;
            actors.iter().for_each(|user| control.pause(*user, false));
            if !went_on || !control.sleep_until(begun + period * (turn + 1)).await {
                return;
            }
        }
    }
}
