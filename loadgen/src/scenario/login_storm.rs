//! Everybody logs out, and in again within a moment.

use crate::run::Run;
use crate::user::Wish;
use std::ops::Range;
use std::time::Duration;

/// How long users stay away between logging out and in.
const PAUSE: Duration = Duration::from_millis(500);

pub fn lay_out(users: Range<u32>) -> Vec<u32> {
    users.collect()
}

pub async fn act(actors: &[u32], run: &Run) {
    let period = Duration::from_secs_f64(run.plan.away_s).max(2 * PAUSE);
    let begun = tokio::time::Instant::now();
    for storm in 1.. {
        let out = begun + period * storm - PAUSE;
        let went_on = run.sleep_until(out).await;
        if went_on {
            actors.iter().for_each(|user| run.users[*user as usize].wish(Wish::Away, run));
            run.sleep_until(out + PAUSE).await;
        }
        actors.iter().for_each(|user| run.users[*user as usize].wish(Wish::Online, run));
        if !went_on || run.is_stopping() {
            return;
        }
    }
}
