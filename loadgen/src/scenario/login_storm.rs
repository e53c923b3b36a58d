//! Everybody logs out, and in again within a moment.

use super::{Control, Scenario, Sizes};
use crate::world::World;
use std::ops::Range;
use std::time::Duration;

/// How long users stay away between logging out and in.
const PAUSE: Duration = Duration::from_millis(500);

pub struct LoginStorm;

impl Scenario for LoginStorm {
    fn lay_out(users: Range<u32>, _sizes: Sizes, _world: &mut World) -> Vec<u32> {
        users.collect()
    }

    async fn act(actors: &[u32], control: &impl Control) {
        let period = control.away().max(2 * PAUSE);
        let begun = tokio::time::Instant::now();
        for number in 1.. {
            let out = begun + period * number - PAUSE;
            let went_on = control.sleep_until(out).await;
            if went_on {
                storm(actors, control).await;
            } else {
                actors.iter().for_each(|user| control.come(*user));
            }
            if !went_on || control.is_stopping() {
                return;
            }
        }
    }
}

/// Logs `users` out, and in again after a moment; if the run stops meanwhile, at once.
pub async fn storm(users: &[u32], control: &impl Control) {
    users.iter().for_each(|user| control.leave(*user));
    control.sleep_until(tokio::time::Instant::now() + PAUSE).await;
    users.iter().for_each(|user| control.come(*user));
}
