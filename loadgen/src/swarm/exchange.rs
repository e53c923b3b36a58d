//! The end of a run: each member hands in its result, and fetches those of all others.
//!
//! It ends with the result of each that lives, or soon after it is known that one will not come: who is not heard any
//! more, failed, or handed in nothing in time is missing, with the reason.

use super::keys::{KEPT, millis};
use super::lobby;
use super::parcel::{PIECE_BYTES, Parcel};
use super::pulse::DEAD_AFTER;
use super::row::{Row, Stage};
use super::state::{State, View};
use super::store::{REDIS_PATIENCE, Store, Unreachable};
use crate::measure::Outcome;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Between two looks at who has handed in.
const POLL: Duration = Duration::from_millis(200);

/// What the swarm came to.
#[derive(Debug)]
pub struct Collected {
    /// By shard; this member's own is always there.
    pub parts: BTreeMap<u32, Outcome>,
    /// Shards whose result will not come, with the reason.
    pub missing: BTreeMap<u32, String>,
    /// Why results could not be exchanged, although there may be some: they have to be added by hand.
    pub trouble: Option<String>,
}

/// Hands in `own`, and fetches the others' for no longer than `patience`, or until somebody presses Ctrl-C.
pub async fn exchange(store: &mut Store, state: &State, own: Outcome, patience: Duration) -> Collected {
    let text = serde_json::to_vec(&own).expect("an outcome is plain data");
    let mut collected = Collected { parts: [(state.shard.index, own)].into(), missing: BTreeMap::new(), trouble: None };
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let begun = Instant::now();
    let mut away_since: Option<Instant> = None;
    loop {
        let view = state.view();
        match step(store, state, &view, &text, &mut collected).await {
            Ok(()) => away_since = None,
            Err(error) if away_since.get_or_insert_with(Instant::now).elapsed() >= REDIS_PATIENCE => {
                collected.trouble = Some(error.to_string());
                return collected;
            }
            Err(_) => {}
        }
        if collected.is_complete(state.shard.count) {
            if let Parcel::TooLarge { bytes } = Parcel::of(text.len()) {
                collected.trouble = Some(too_large(bytes));
            }
            return collected;
        }
        if begun.elapsed() >= patience {
            collected.trouble = Some(format!(
                "not all results were handed in within {} s: {} lacks",
                patience.as_secs(),
                collected.open(state.shard.count).map(|shard| view.shown(shard)).collect::<Vec<_>>().join(", ")
            ));
            return collected;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = &mut interrupted => {
                collected.trouble = Some("interrupted while waiting for the results of the other shards".into());
                return collected;
            }
        }
    }
}

impl Collected {
    /// Shards of which nothing is known yet.
    fn open(&self, count: u32) -> impl Iterator<Item = u32> {
        (1..=count).filter(|shard| !self.parts.contains_key(shard) && !self.missing.contains_key(shard))
    }

    fn is_complete(&self, count: u32) -> bool {
        self.open(count).next().is_none()
    }
}

async fn step(
    store: &mut Store,
    state: &State,
    view: &View,
    own: &[u8],
    collected: &mut Collected,
) -> Result<(), Unreachable> {
    hand_in(store, state, own).await?;
    let open: Vec<u32> = collected.open(state.shard.count).collect();
    for shard in open {
        let row = view.rows.get(&shard);
        if let Some(parcel) = row.and_then(|row| row.result.as_ref()).filter(|parcel| parcel.pieces() > 0) {
            // Not there yet, or not any more: its owner sees that as well, and hands it in again.
            let Some(text) = fetch(store, state, shard, parcel).await? else { continue };
            match serde_json::from_slice(&text) {
                Ok(outcome) => drop(collected.parts.insert(shard, outcome)),
                Err(error) => drop(collected.missing.insert(shard, format!("its result cannot be read: {error}"))),
            }
        } else if let Some(why) = why_none(view, shard, row) {
            collected.missing.insert(shard, why);
        }
    }
    Ok(())
}

/// Why there will be no result of a shard; `None` while there may be one.
fn why_none(view: &View, shard: u32, row: Option<&Row>) -> Option<String> {
    if let Some(Parcel::TooLarge { bytes }) = row.and_then(|row| row.result.as_ref()) {
        return Some(too_large(*bytes));
    }
    if let Some(row) = row.filter(|row| row.stage == Stage::Failed) {
        return Some(row.why.clone());
    }
    view.dead.contains(&shard).then(|| format!("it died: it told nothing for {} s", DEAD_AFTER.as_secs()))
}

fn too_large(bytes: usize) -> String {
    format!("a result of {} MB is too large to hand in", bytes / 1_000_000)
}

/// Hands in, or keeps alive what was handed in; does so again where it is gone.
async fn hand_in(store: &mut Store, state: &State, own: &[u8]) -> Result<(), Unreachable> {
    let parcel = Parcel::of(own.len());
    let shard = state.shard.index;
    let mut renewing = redis::pipe();
    renewing.cmd("PING");
    for piece in 0..parcel.pieces() {
        renewing.cmd("PEXPIRE").arg(state.keys.piece(shard, piece)).arg(millis(KEPT));
    }
    let renewed: Vec<String> = store.ask(&renewing).await?;
    if renewed.iter().skip(1).any(|there| there == "0") {
        for (piece, bytes) in own.chunks(PIECE_BYTES).enumerate() {
            let mut commands = redis::pipe();
            commands.cmd("SET").arg(state.keys.piece(shard, piece)).arg(bytes).arg("PX").arg(millis(KEPT)).ignore();
            store.ask::<()>(&commands).await?;
        }
    }
    if state.stage() < Stage::Ended {
        state.tell(|row| (row.stage, row.result) = (Stage::Ended, Some(parcel)));
        let mut commands = redis::pipe();
        lobby::remove(&mut commands, &state.keys);
        store.ask::<()>(&commands).await?;
    }
    Ok(())
}

async fn fetch(store: &mut Store, state: &State, shard: u32, parcel: &Parcel) -> Result<Option<Vec<u8>>, Unreachable> {
    let mut pieces = Vec::with_capacity(parcel.pieces());
    for piece in 0..parcel.pieces() {
        let mut commands = redis::pipe();
        // No more than a piece may have, whoever wrote it.
        commands.cmd("GETRANGE").arg(state.keys.piece(shard, piece)).arg(0).arg(PIECE_BYTES - 1);
        let (bytes,): (Vec<u8>,) = store.ask(&commands).await?;
        pieces.push(Some(bytes).filter(|bytes| !bytes.is_empty()));
    }
    Ok(parcel.join(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_why_a_result_will_not_come() {
        let row = |stage, result| Row { stage, result, why: "no memory left".into(), ..Row::default() };
        let view = View { dead: [2].into(), ..View::default() };
        let check = |shard, row: Row, why: Option<&str>| {
            assert_eq!(why_none(&view, shard, Some(&row)).as_deref(), why);
        };
        check(1, row(Stage::Ready, None), None);
        check(2, row(Stage::Ready, None), Some("it died: it told nothing for 10 s"));
        check(1, row(Stage::Failed, None), Some("no memory left"));
        let large = Parcel::TooLarge { bytes: 300_000_000 };
        check(1, row(Stage::Ended, Some(large)), Some("a result of 300 MB is too large to hand in"));
    }
}
