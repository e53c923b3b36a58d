//! Where members wait for each other once they are logged in, and learn the moment at which all begin.
//!
//! It says that this member is ready, and otherwise only looks at what the heartbeat saw: the heartbeat of whoever sees
//! all of them ready writes the start. A start that is known stands, whatever happens to Redis later; until then a
//! member that failed or died, or a Redis that stays away, ends the run of all before it has measured anything.

use super::clock;
use super::pulse::DEAD_AFTER;
use super::row::Stage;
use super::state::{State, View};
use super::store::{REDIS_PATIENCE, Store};
use crate::measure::ClockOffset;
use crate::run;
use futures_util::future::{BoxFuture, FutureExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest wait for the others to be ready: more than it takes to make any number of accounts.
const READY_WITHIN: Duration = Duration::from_secs(3_600);
/// Between two tries to reach Redis, and between two looks at how long it has been away.
const POLL: Duration = Duration::from_millis(500);

/// A member's way in.
pub struct Gate {
    pub store: Store,
    pub state: Arc<State>,
}

impl run::Gate for Gate {
    fn pass(&self) -> BoxFuture<'_, Result<i64, String>> {
        self.wait().boxed()
    }
}

impl Gate {
    async fn wait(&self) -> Result<i64, String> {
        let clock = self.compare_clocks().await?;
        self.state.set_clock(clock.clone());
        self.state.tell(|row| row.stage = Stage::Ready);
        let start = tokio::time::timeout(READY_WITHIN, self.start()).await;
        let start_ms = start.map_err(|_| late(&self.state.view(), self.state.shard.count))??;
        Ok(clock.here_ms(start_ms))
    }

    async fn compare_clocks(&self) -> Result<ClockOffset, String> {
        let mut store = self.store.clone();
        let begun = Instant::now();
        loop {
            match clock::compare(&mut store, self.state.shard.index).await {
                Ok(clock) => return Ok(clock),
                Err(error) if begun.elapsed() >= REDIS_PATIENCE => return Err(error.to_string()),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn start(&self) -> Result<i64, String> {
        let mut views = self.state.watch();
        loop {
            let seen = decide(&views.borrow_and_update(), Instant::now());
            if let Some(decided) = seen {
                return decided;
            }
            // The state holds the sender, so a change that never comes is only waited for.
            let _ = tokio::time::timeout(POLL, views.changed()).await;
        }
    }
}

/// The start, by Redis' clock, or why there will be none; `None` while it is open.
fn decide(view: &View, now: Instant) -> Option<Result<i64, String>> {
    if let Some(start_ms) = view.start_ms {
        return Some(Ok(start_ms));
    }
    if let Some((shard, row)) = view.rows.iter().find(|(_, row)| row.stage == Stage::Failed) {
        return Some(Err(format!("{} will not measure: {}", view.shown(*shard), row.why)));
    }
    if let Some(shard) = view.dead.first() {
        let (shown, seconds) = (view.shown(*shard), DEAD_AFTER.as_secs());
        return Some(Err(format!("{shown} died before measuring began: it told nothing for {seconds} s")));
    }
    let (since, why) = view.away.as_ref()?;
    (now.duration_since(*since) >= REDIS_PATIENCE).then(|| Err(why.clone()))
}

fn late(view: &View, count: u32) -> String {
    let is_ready = |shard: &u32| view.rows.get(shard).is_some_and(|row| row.stage == Stage::Ready);
    let late: Vec<String> = (1..=count).filter(|shard| !is_ready(shard)).map(|shard| view.shown(shard)).collect();
    format!("not ready within {} s: {}", READY_WITHIN.as_secs(), late.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::*;

    fn view(stages: &[Stage]) -> View {
        let row = |stage| Row { stage, member: "there:7".into(), why: "nobody could log in".into(), ..Row::default() };
        View { rows: (1..).zip(stages.iter().copied().map(row)).collect(), ..View::default() }
    }

    #[test]
    fn the_gate_opens_or_says_who_keeps_it_shut() {
        let now = Instant::now();
        let ready = view(&[Stage::Ready, Stage::Ready]);
        assert_eq!(decide(&ready, now), None);
        assert_eq!(decide(&View { start_ms: Some(7), ..ready.clone() }, now), Some(Ok(7)));
        let failed = "shard 2 (there:7) will not measure: nobody could log in";
        assert_eq!(decide(&view(&[Stage::Ready, Stage::Failed]), now), Some(Err(failed.into())));
        let dead = "shard 2 (there:7) died before measuring began: it told nothing for 10 s";
        assert_eq!(decide(&View { dead: [2].into(), ..ready.clone() }, now), Some(Err(dead.into())));
        let away = View { away: Some((now, "redis is gone".into())), ..ready };
        assert_eq!(decide(&away, now + REDIS_PATIENCE / 2), None);
        assert_eq!(decide(&away, now + REDIS_PATIENCE), Some(Err("redis is gone".into())));
    }

    #[test]
    fn who_is_not_ready_in_time_is_named() {
        let view = view(&[Stage::Ready, Stage::Preparing]);
        assert_eq!(late(&view, 3), "not ready within 3600 s: shard 2 (there:7), shard 3");
    }
}
