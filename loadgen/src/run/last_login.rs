//! The last login: what somebody misses when all else is over is lost only if the server does not have it either.
//!
//! So whoever misses something logs out, and in again, and takes what was stored. Recipients of a classic server do so
//! in any case: a server that delivers a message and stores it as well shows it only there. Nothing is sent any more
//! meanwhile, and no latency of it counts.

use super::progress::Progress;
use crate::user::{Run, User, Wish};
use futures_util::{StreamExt, stream};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// Users who are under way at the same time, and how many set out in a second: a server that bore the run bears these.
const AT_ONCE: usize = 64;
const A_SECOND: f64 = 500.0;
/// All of them together take no longer than this, and their time to set out. Whoever is not back then could not come
/// back.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the last of them is back, what arrives this long after anything before it still counts: longer where something
/// is missing.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_WHILE_MISSING: Duration = Duration::from_secs(2);
/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// Lets those log in once more who may have something stored; false if that was not over in the time allowed.
pub(super) async fn fetch_stored(run: &Run, progress: &dyn Progress) -> bool {
    let users = who(run);
    if users.is_empty() {
        return true;
    }
    run.close();
    progress.phase("last logins", users.len() as u64);
    let begun = Instant::now();
    let setting_out = Duration::from_secs_f64(users.len() as f64 / A_SECOND);
    let mut returned = stream::iter(users.iter().enumerate())
        .map(|(place, user)| return_once(run, user, begun + setting_out.mul_f64(place as f64 / users.len() as f64)))
        .buffer_unordered(AT_ONCE);
    let all = async {
        while returned.next().await.is_some() {
            progress.advance(1);
        }
    };
    let in_time = tokio::time::timeout(PATIENCE + setting_out, all).await.is_ok();
    in_time & is_quiet(run).await
}

/// Those who are there: others have tried to log in all the while.
fn who(run: &Run) -> Vec<&User> {
    let streams = 0..run.world.streams.len() as u32;
    let recipients = streams.flat_map(|stream| match run.wire.acknowledges() {
        true => run.ledger.missing(stream),
        false => run.world.recipients(&run.world.streams[stream as usize]),
    });
    let users: BTreeSet<u32> = recipients.collect();
    users.into_iter().map(|user| &*run.users[user as usize]).filter(|user| user.is_online()).collect()
}

async fn return_once(run: &Run, user: &User, at: Instant) {
    tokio::time::sleep_until(at).await;
    for (wish, online) in [(Wish::Away, false), (Wish::Online, true)] {
        run.wish(user, wish);
        while user.is_online() != online {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Waits until nothing arrives any more; false if something still does after all the time that the plan allows.
async fn is_quiet(run: &Run) -> bool {
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(run.plan.drain_s).max(2 * QUIET_WHILE_MISSING);
    let (mut arrivals, mut last_at) = (run.ledger.arrivals(), begun);
    while begun.elapsed() < limit {
        let missing = run.ledger.open() > 0;
        if !missing && run.wire.acknowledges() {
            return true;
        }
        if last_at.elapsed() >= if missing { QUIET_WHILE_MISSING } else { QUIET } {
            return true;
        }
        tokio::time::sleep(POLL).await;
        let now = run.ledger.arrivals();
        if now != arrivals {
            (arrivals, last_at) = (now, Instant::now());
        }
    }
    false
}
