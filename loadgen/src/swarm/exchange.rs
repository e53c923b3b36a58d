//! The end of a run: each member hands in its result, and fetches those of all others.
//!
//! It ends with the result of each that lives, or soon after it is known that one will not come: who is not heard any
//! more, failed, or handed in nothing in time is missing, with the reason.

use super::heartbeat;
use super::keys::{KEPT, millis};
use super::lobby;
use super::parcel::{PIECE_BYTES, Parcel};
use super::pulse::DEAD_AFTER;
use super::row::{Row, Stage};
use super::state::{State, View};
use super::store::{REDIS_PATIENCE, Store, Unreachable};
use crate::measure::{FORMAT, Outcome};
use crate::plan::Shard;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

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
    // From now on, not from when it is first waited for: a Ctrl-C that nobody hears is lost.
    let mut interrupts = signal(SignalKind::interrupt()).ok();
    let text = serde_json::to_vec(&own).expect("an outcome is plain data");
    let mut collected = Collected { parts: [(state.shard.index, own)].into(), missing: BTreeMap::new(), trouble: None };
    collected.trouble = tokio::select! {
        trouble = collect(store, state, &text, &mut collected) => trouble,
        Some(()) = async { interrupts.as_mut()?.recv().await } => {
            Some("interrupted while waiting for the results of the other shards".into())
        }
        () = tokio::time::sleep(patience) => {
            let view = state.view();
            let open: Vec<String> = collected.open(state.shard.count).map(|shard| view.shown(shard)).collect();
            Some(format!("not all results were handed in within {} s: {} lacks", patience.as_secs(), open.join(", ")))
        }
    };
    collected
}

/// Takes steps until there is nothing more to wait for. Answers with what went wrong.
async fn collect(store: &mut Store, state: &State, own: &[u8], collected: &mut Collected) -> Option<String> {
    let mut moved = Instant::now();
    loop {
        match step(store, state, own, collected, &mut moved).await {
            Ok(()) if collected.is_complete(state.shard.count) => break,
            Ok(()) => moved = Instant::now(),
            Err(error) if moved.elapsed() >= REDIS_PATIENCE => return Some(error.to_string()),
            Err(_) => {}
        }
        tokio::time::sleep(POLL).await;
    }
    match Parcel::of(own.len()) {
        Parcel::TooLarge { bytes } => Some(too_large(bytes)),
        Parcel::Pieces { .. } => None,
    }
}

impl Collected {
    /// What this member measured.
    pub fn own(&self, shard: Shard) -> &Outcome {
        self.parts.get(&shard.index).expect("a member's own result is always there")
    }

    /// Shards of which nothing is known yet.
    fn open(&self, count: u32) -> impl Iterator<Item = u32> {
        (1..=count).filter(|shard| !self.parts.contains_key(shard) && !self.missing.contains_key(shard))
    }

    fn is_complete(&self, count: u32) -> bool {
        self.open(count).next().is_none()
    }
}

/// Hands in, and tries to fetch what each of the others has handed in; the error is the first. `moved` is when a piece
/// of a result came through last: a slow network has its time, a Redis that answers and moves nothing has not.
async fn step(
    store: &mut Store,
    state: &State,
    own: &[u8],
    collected: &mut Collected,
    moved: &mut Instant,
) -> Result<(), Unreachable> {
    let view = state.view();
    hand_in(store, state, own, moved).await?;
    let mut done = Ok(());
    let open: Vec<u32> = collected.open(state.shard.count).collect();
    for shard in open {
        let row = view.rows.get(&shard);
        if let Some(parcel) = row.and_then(|row| row.result.as_ref()).filter(|parcel| parcel.pieces() > 0) {
            match fetch(store, state, shard, parcel, moved).await {
                Ok(Some(text)) => match read(&text, Shard { index: shard, ..state.shard }) {
                    Ok(outcome) => drop(collected.parts.insert(shard, outcome)),
                    Err(why) => drop(collected.missing.insert(shard, why)),
                },
                Ok(None) if view.left.contains(&shard) => {
                    collected.missing.insert(shard, "it has ended, and its result is gone from redis".into());
                }
                // Not there yet, or not any more: its owner sees that as well, and hands it in again.
                Ok(None) => {}
                Err(error) => {
                    done = done.and(Err(error));
                    if moved.elapsed() >= REDIS_PATIENCE {
                        break;
                    }
                }
            }
        } else if let Some(why) = why_none(&view, shard, row) {
            collected.missing.insert(shard, why);
        }
    }
    done
}

/// What a shard handed in, if it is a result of that shard.
fn read(text: &[u8], shard: Shard) -> Result<Outcome, String> {
    let outcome: Outcome =
        serde_json::from_slice(text).map_err(|error| format!("its result cannot be read: {error}"))?;
    if outcome.format != FORMAT {
        return Err(format!("its result has format {}, this reads {FORMAT}", outcome.format));
    }
    match outcome.plan.shard {
        Some(known) if known == shard => Ok(outcome),
        Some(other) => Err(format!("its result is of shard {other}")),
        None => Err("its result is of no shard".into()),
    }
}

/// Why there will be no result of a shard that has nothing to fetch; `None` while there may be one.
fn why_none(view: &View, shard: u32, row: Option<&Row>) -> Option<String> {
    match row.and_then(|row| row.result.as_ref()) {
        Some(Parcel::TooLarge { bytes }) => return Some(too_large(*bytes)),
        Some(Parcel::Pieces { count, bytes }) => {
            return Some(format!("it says that its result has {bytes} bytes in {count} pieces, which cannot be"));
        }
        None => {}
    }
    if let Some(row) = row.filter(|row| row.stage == Stage::Failed) {
        return Some(row.why.clone());
    }
    view.dead.contains(&shard).then(|| format!("it died: it told nothing for {} s", DEAD_AFTER.as_secs()))
}

fn too_large(bytes: usize) -> String {
    format!("a result of {} MB is too large to hand in", bytes / 1_000_000)
}

/// Hands in and says so, or keeps alive what was handed in; does so again where it is gone. Whoever is last leaves at
/// once, so what it says must have been heard.
async fn hand_in(store: &mut Store, state: &State, own: &[u8], moved: &mut Instant) -> Result<(), Unreachable> {
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
            *moved = Instant::now();
        }
    }
    if state.stage() < Stage::Ended {
        state.tell(|row| (row.stage, row.result) = (Stage::Ended, Some(parcel)));
    }
    let mut saying = redis::pipe();
    heartbeat::tell(&mut saying, state);
    lobby::remove(&mut saying, &state.keys);
    store.ask(&saying).await
}

async fn fetch(
    store: &mut Store,
    state: &State,
    shard: u32,
    parcel: &Parcel,
    moved: &mut Instant,
) -> Result<Option<Vec<u8>>, Unreachable> {
    let mut pieces = Vec::with_capacity(parcel.pieces());
    for piece in 0..parcel.pieces() {
        let mut commands = redis::pipe();
        // No more than a piece may have, whoever wrote it.
        commands.cmd("GETRANGE").arg(state.keys.piece(shard, piece)).arg(0).arg(PIECE_BYTES - 1);
        let (bytes,): (Vec<u8>,) = store.ask(&commands).await?;
        let piece = Some(bytes).filter(|bytes| !bytes.is_empty());
        if piece.is_some() {
            *moved = Instant::now();
        }
        pieces.push(piece);
    }
    Ok(parcel.join(pieces))
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use crate::plan::Plan;
    use services::redis::Redis;
    use tokio_util::sync::CancellationToken;

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
        for (count, bytes) in [(0, 7), (9_999, 7)] {
            let why = format!("it says that its result has 7 bytes in {count} pieces, which cannot be");
            check(1, row(Stage::Ended, Some(Parcel::Pieces { count, bytes })), Some(&why));
        }
    }

    const OWN: Shard = Shard { index: 1, count: 2 };
    const OTHER: Shard = Shard { index: 2, count: 2 };

    fn measured(shard: Shard) -> Outcome {
        Outcome { measured_s: 1.0, ..Outcome::failed(Plan::default().part(shard), String::new()) }
    }

    /// The first of two members as it ends, in a Redis of its own.
    async fn ending() -> (Redis, Store, State) {
        let redis = Redis::start().await.expect("a Redis");
        let store = Store::open(&redis.url()).expect("a good URL");
        let state = State::new(OWN, Keys::new("night", "7"), "here:1".into(), CancellationToken::new());
        (redis, store, state)
    }

    /// What the heartbeat saw of the other: it has handed in a result of this length.
    fn see_the_other(state: &State, bytes: usize) {
        let row = Row { stage: Stage::Ended, result: Some(Parcel::of(bytes)), ..Row::default() };
        state.see(|view| drop(view.rows.insert(OTHER.index, row)));
    }

    /// Collects when the other has handed this in.
    async fn collected(text: &[u8]) -> Collected {
        let (redis, mut store, state) = ending().await;
        see_the_other(&state, text.len());
        let key = state.keys.piece(OTHER.index, 0);
        redis.command(&[b"SET", key.as_bytes(), text]).await.expect("handed in");
        exchange(&mut store, &state, measured(OWN), PATIENCE).await
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn only_a_result_of_that_shard_is_taken() {
        let text = |outcome: &Outcome| serde_json::to_vec(outcome).expect("plain data");
        let good = collected(&text(&measured(OTHER))).await;
        assert_eq!((good.parts.len(), good.missing.len(), good.trouble), (2, 0, None));

        let wrong = [
            (measured(OWN), "its result is of shard 1/2"),
            (measured(Shard { count: 3, ..OTHER }), "its result is of shard 2/3"),
            (Outcome::failed(Plan::default(), String::new()), "its result is of no shard"),
            (Outcome { format: 9, ..measured(OTHER) }, "its result has format 9, this reads 1"),
        ];
        for (outcome, why) in wrong {
            let collected = collected(&text(&outcome)).await;
            assert_eq!(collected.missing, [(2, why.to_owned())].into());
            assert_eq!(collected.parts.len(), 1);
        }
    }

    #[tokio::test]
    async fn a_result_that_nobody_will_hand_in_again_is_missing() {
        let (_redis, mut store, state) = ending().await;
        see_the_other(&state, 100);
        state.see(|view| view.left = [OTHER.index].into());
        let collected = exchange(&mut store, &state, measured(OWN), PATIENCE).await;
        assert_eq!(collected.missing, [(2, "it has ended, and its result is gone from redis".to_owned())].into());
        assert_eq!(collected.trouble, None);
    }

    #[tokio::test]
    async fn one_result_that_cannot_be_had_keeps_nobody_from_the_others_and_moves_nothing() {
        let (redis, mut store, State { keys, interrupt, .. }) = ending().await;
        let state = State::new(Shard { count: 3, ..OWN }, keys, "here:1".into(), interrupt);
        let third = Shard { index: 3, count: 3 };
        let text = serde_json::to_vec(&measured(third)).expect("plain data");
        let row = Row { stage: Stage::Ended, result: Some(Parcel::of(text.len())), ..Row::default() };
        state.see(|view| view.rows = [(2, row.clone()), (3, row)].into());
        let key = |shard| state.keys.piece(shard, 0);
        redis.command(&[b"RPUSH", key(2).as_bytes(), b"no text"]).await.expect("it is there");
        redis.command(&[b"SET", key(3).as_bytes(), &text]).await.expect("handed in");

        let mut collected = Collected { parts: BTreeMap::new(), missing: BTreeMap::new(), trouble: None };
        let mut moved = Instant::now();
        step(&mut store, &state, b"its own", &mut collected, &mut moved).await.expect_err("one cannot be had");
        assert_eq!(collected.parts.keys().copied().collect::<Vec<_>>(), [3]);
        let before = moved;
        step(&mut store, &state, b"its own", &mut collected, &mut moved).await.expect_err("it still cannot");
        assert_eq!(moved, before, "redis answered, and that is all");
    }

    #[tokio::test]
    async fn patience_ends_in_the_middle_of_a_step() {
        let (redis, mut store, state) = ending().await;
        redis.pause().expect("it runs");
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let patience = Duration::from_secs(1);
        let collected = exchange(&mut store, &state, measured(OWN), patience).await;
        assert_eq!(collected.trouble.as_deref(), Some("not all results were handed in within 1 s: shard 2 lacks"));
        assert!(begun.elapsed() < 2 * patience, "it waited for an answer: {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn the_last_has_said_that_it_handed_in_before_it_leaves() {
        let (redis, mut store, state) = ending().await;
        see_the_other(&state, 1);
        state.see(|view| view.left = [OTHER.index].into());
        exchange(&mut store, &state, measured(OWN), PATIENCE).await;
        // No heartbeat was there to say so.
        let row = own_row(&redis, &state).await;
        assert_eq!((row.stage, row.interrupted), (Stage::Ended, false));
        assert_eq!(row.result.map(|parcel| parcel.pieces()), Some(1));
    }

    #[tokio::test]
    async fn who_is_stopped_and_ends_at_once_stops_the_others() {
        let (redis, mut store, state) = ending().await;
        see_the_other(&state, 1);
        state.see(|view| view.left = [OTHER.index].into());
        state.interrupt.cancel();
        exchange(&mut store, &state, measured(OWN), PATIENCE).await;
        assert!(own_row(&redis, &state).await.interrupted);
    }

    async fn own_row(redis: &Redis, state: &State) -> Row {
        let row = redis.command(&[b"HGET", state.keys.rows().as_bytes(), b"1"]).await.expect("its row");
        serde_json::from_str(&row).expect("a row")
    }
}
