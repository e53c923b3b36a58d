//! Tells the others how this member does, and hears how they do: once a second, and more often while all wait for each
//! other.
//!
//! It alone writes what this member saw of the swarm ([`View`]), and the start, once it sees that all are ready. Redis
//! may be away for any time: nobody dies of that, and what was heard before stays known. Its last beat is the one after
//! it was told to end.

use super::keys::{KEPT, millis};
use super::lobby;
use super::pulse::{DEAD_AFTER, Pulse};
use super::row::{Row, Stage};
use super::state::{State, View};
use super::store::{Store, Unreachable};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two beats while a run prepares and measures.
const BEAT: Duration = Duration::from_secs(1);
/// The same while all wait for each other.
const QUICK_BEAT: Duration = Duration::from_millis(200);
/// From when the last is ready until measuring begins: time for each to learn of it, several times over.
const LEAD: Duration = Duration::from_secs(2);

/// Beats until it is over, and once more then, so that the others learn what was told last.
pub async fn beat(mut store: Store, state: Arc<State>) {
    let mut pulse = Pulse::new(state.shard.count, Instant::now());
    loop {
        let is_last = state.over.is_cancelled();
        one(&mut store, &state, &mut pulse).await;
        if is_last {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(state.stage(), &state.view())) => {}
            () = state.news.notified() => {}
            () = state.over.cancelled() => {}
        }
    }
}

fn pause(stage: Stage, view: &View) -> Duration {
    match stage {
        Stage::Ready if view.start_ms.is_none() => QUICK_BEAT,
        Stage::Ended => QUICK_BEAT,
        _ => BEAT,
    }
}

async fn one(store: &mut Store, state: &State, pulse: &mut Pulse) {
    let before = state.view();
    let heard = tell_and_hear(store, state, &before).await;
    let now = Instant::now();
    let after = match heard {
        Ok(heard) => learn(before.clone(), heard, pulse, now),
        Err(error) => {
            pulse.pause(now);
            let away = before.away.clone().unwrap_or((now, error.to_string()));
            View { away: Some(away), ..before.clone() }
        }
    };
    if after.rows.values().any(|row| row.interrupted) && !state.interrupt.is_cancelled() {
        state.interrupt.cancel();
    }
    note(&before, &after);
    state.see(|view| *view = after);
}

/// Each shard's row as it is written.
type Rows = BTreeMap<String, Vec<u8>>;

/// What Redis has.
struct Answer {
    rows: BTreeMap<u32, Row>,
    start_ms: Option<i64>,
}

async fn tell_and_hear(store: &mut Store, state: &State, before: &View) -> Result<Answer, Unreachable> {
    let keys = &state.keys;
    let mut commands = redis::pipe();
    tell(&mut commands, state);
    if state.stage() < Stage::Ended {
        lobby::keep(&mut commands, keys);
    }
    // Should Redis come back empty, those who do not know the start yet learn the same.
    if let Some(start_ms) = before.start_ms {
        set_start(&mut commands, state, start_ms);
    }
    commands.cmd("HGETALL").arg(keys.rows());
    commands.cmd("GET").arg(keys.start());
    commands.cmd("TIME");
    let (rows, start_ms, (seconds, micros)): (Rows, Option<i64>, (i64, i64)) = store.ask(&commands).await?;
    let rows = read_rows(&rows, state.shard.count);
    let everybody = (1..=state.shard.count).all(|shard| rows.get(&shard).is_some_and(|row| row.stage == Stage::Ready));
    if start_ms.is_none() && before.start_ms.is_none() && everybody {
        let now_ms = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        let mut commands = redis::pipe();
        set_start(&mut commands, state, now_ms.saturating_add_unsigned(millis(LEAD)));
        store.ask::<()>(&commands).await?;
        state.news.notify_one();
    }
    Ok(Answer { rows, start_ms })
}

/// Adds to a batch how this member does.
pub fn tell(commands: &mut redis::Pipeline, state: &State) {
    let own = serde_json::to_vec(&state.next_row()).expect("a row is plain data");
    let rows = state.keys.rows();
    commands.cmd("HSET").arg(&rows).arg(state.shard.index).arg(own).ignore();
    commands.cmd("PEXPIRE").arg(&rows).arg(millis(KEPT)).ignore();
}

/// Whoever is first sets it; for all others it stands.
fn set_start(commands: &mut redis::Pipeline, state: &State, start_ms: i64) {
    let start = state.keys.start();
    commands.cmd("SET").arg(&start).arg(start_ms).arg("NX").arg("PX").arg(millis(KEPT)).ignore();
    commands.cmd("PEXPIRE").arg(&start).arg(millis(KEPT)).ignore();
}

/// What others wrote; a row that cannot be read is not there.
fn read_rows(rows: &Rows, count: u32) -> BTreeMap<u32, Row> {
    let read = rows.iter().filter_map(|(shard, row)| Some((shard.parse().ok()?, serde_json::from_slice(row).ok()?)));
    read.filter(|(shard, _)| (1..=count).contains(shard)).collect()
}

fn learn(before: View, heard: Answer, pulse: &mut Pulse, now: Instant) -> View {
    let beats = heard.rows.iter().map(|(shard, row)| (*shard, row.beat)).collect();
    let silent = pulse.hear(&beats, now);
    // What was heard before stays known, should Redis come back empty.
    let mut rows = before.rows;
    rows.extend(heard.rows);
    let has_ended = |shard: &u32| rows.get(shard).is_some_and(|row| row.stage >= Stage::Ended);
    let (left, dead) = silent.into_iter().partition(has_ended);
    View { rows, dead, left, start_ms: before.start_ms.or(heard.start_ms), away: None }
}

/// Says on standard error what somebody who watches should know.
fn note(before: &View, after: &View) {
    for shard in after.dead.difference(&before.dead) {
        let seconds = DEAD_AFTER.as_secs();
        eprintln!("loadgen: {} is not heard any more: it told nothing for {seconds} s", after.shown(*shard));
    }
    match (&before.away, &after.away) {
        (None, Some((_, why))) => {
            let next = if after.start_ms.is_some() { "the load goes on without it" } else { "trying again" };
            eprintln!("loadgen: {why}; {next}");
        }
        (Some(_), None) => eprintln!("loadgen: redis answers again"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(rows: &[(u32, u64, Stage)]) -> Answer {
        let row = |beat, stage| Row { beat, stage, member: "there".into(), ..Row::default() };
        Answer { rows: rows.iter().map(|(shard, beat, stage)| (*shard, row(*beat, *stage))).collect(), start_ms: None }
    }

    #[test]
    fn who_has_ended_is_not_dead() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(3, begun);
        let rows = [(1, 1, Stage::Ready), (2, 1, Stage::Ended), (3, 1, Stage::Failed)];
        let view = learn(View::default(), heard(&rows), &mut pulse, begun);
        let view = learn(view, heard(&rows), &mut pulse, begun + DEAD_AFTER);
        assert_eq!(view.dead.iter().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(view.left.iter().copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(view.shown(1), "shard 1 (there)");
        let again = [(1, 2, Stage::Ready)];
        assert!(learn(view, heard(&again), &mut pulse, begun + DEAD_AFTER).dead.is_empty());
    }

    #[test]
    fn what_is_known_outlives_a_redis_that_comes_back_empty() {
        let begun = Instant::now();
        let mut pulse = Pulse::new(2, begun);
        let first = Answer { start_ms: Some(7), ..heard(&[(1, 1, Stage::Ready), (2, 1, Stage::Ready)]) };
        let view = learn(View::default(), first, &mut pulse, begun);
        let view = learn(view, heard(&[]), &mut pulse, begun);
        assert_eq!((view.rows.len(), view.start_ms), (2, Some(7)));
    }

    #[test]
    fn rows_that_cannot_be_read_are_not_there() {
        let rows = [("1", "{}"), ("2", "["), ("3", "{}"), ("x", "{}"), ("0", "{}")];
        let rows = rows.map(|(shard, row)| (shard.to_owned(), row.as_bytes().to_vec())).into();
        assert_eq!(read_rows(&rows, 2).into_keys().collect::<Vec<_>>(), [1]);
    }
}
