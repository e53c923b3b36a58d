//! Friends write to users who stop reading for a while, again and again: what is queued must neither be lost nor hurt
//! others.

use super::offline;
use crate::run::Run;
use crate::world::World;
use std::ops::Range;
use std::time::Duration;

/// The part of a period in which nothing is read.
const PAUSED: f64 = 0.8;

pub fn lay_out(users: Range<u32>, world: &mut World) -> Vec<u32> {
    offline::lay_out(users, world)
}

pub async fn act(actors: &[u32], run: &Run) {
    let period = Duration::from_secs_f64(run.plan.away_s).max(Duration::from_millis(500));
    let begun = tokio::time::Instant::now();
    for turn in 0.. {
        actors.iter().for_each(|user| run.users[*user as usize].pause(true));
        let went_on = run.sleep_until(begun + period * turn + period.mul_f64(PAUSED)).await;
        actors.iter().for_each(|user| run.users[*user as usize].pause(false));
        if !went_on || !run.sleep_until(begun + period * (turn + 1)).await {
            return;
        }
    }
}
