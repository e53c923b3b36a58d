//! Everybody's connection breaks at once, while they write to each other; what was not acknowledged is sent again.

use super::friend_chat;
use crate::plan::Plan;
use crate::run::Run;
use crate::world::World;
use std::ops::Range;
use std::time::Duration;

pub fn lay_out(users: Range<u32>, plan: &Plan, world: &mut World) -> Vec<u32> {
    friend_chat::lay_out(users.clone(), plan, world);
    users.collect()
}

pub async fn act(actors: &[u32], run: &Run) {
    let period = Duration::from_secs_f64(run.plan.away_s).max(Duration::from_millis(500));
    let begun = tokio::time::Instant::now();
    for storm in 1.. {
        if !run.sleep_until(begun + period * storm).await {
            return;
        }
        actors.iter().for_each(|user| run.users[*user as usize].break_off());
    }
}
