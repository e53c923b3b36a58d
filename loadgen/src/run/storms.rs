//! Storms of logins that somebody asks for while the run is on.

use crate::scenario::storm;
use crate::user::Run;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The purpose of chance that says whom a storm takes.
const CHANCE: u64 = 6;

/// Those a storm can take: who does not come and go anyway, or, where everybody does, all.
pub(super) fn candidates(run: &Run) -> Vec<u32> {
    let actors: BTreeSet<u32> = run.casts.iter().flat_map(|cast| cast.actors.iter().copied()).collect();
    let staying: Vec<u32> = (0..run.plan.users).filter(|user| !actors.contains(user)).collect();
    if staying.is_empty() { (0..run.plan.users).collect() } else { staying }
}

/// Makes one storm after the other, of as many users as asked for, until the run stops; then all are back, or on their
/// way.
pub(super) async fn storms(run: Arc<Run>, mut users: Vec<u32>, mut asked_for: mpsc::Receiver<u32>) {
    let mut random = run.random(CHANCE);
    loop {
        let count = tokio::select! {
            count = asked_for.recv() => count,
            () = run.stopping.cancelled() => return,
        };
        let Some(count) = count else { return };
        random.shuffle(&mut users);
        let count = users.len().min(count as usize);
        storm(&users[..count], &*run).await;
    }
}
