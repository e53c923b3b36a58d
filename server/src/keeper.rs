//! Keeps the node's lease, and with it its sessions.
//!
//! One round trip every two seconds renews the lease, tells which nodes live, and brings the sessions that other nodes ask
//! for. When the lease is in doubt sessions are suspended in time; when it is good again, those that were taken over
//! meanwhile are closed and the rest go on.

use crate::cluster::{NodeId, NodeKey};
use crate::core::Core;
use crate::inbox::yield_session;
use crate::limits::{LEASE, LEASE_RENEWAL};
use crate::storage::{Error, Release, Renewal};
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A renewal that takes longer is given up and sent anew.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait after a failed renewal.
const RETRY: Duration = Duration::from_millis(500);
/// Between two renewals, however late the last one was.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// Sessions compared with their rows at once.
const HELD_BATCH: usize = 512;

/// Runs until the node stops; returns early only if another node took this one's name.
pub async fn run(core: Arc<Core>) -> Result<(), Error> {
    let mut alive: HashSet<NodeId> = HashSet::new();
    loop {
        let sent = Instant::now();
        let renewal = tokio::time::timeout(RENEWAL_TIMEOUT, core.storage.renew_lease(&core.key, LEASE));
        let renewal = suspending_in_time(&core, renewal).await;
        core.database_answers.store(matches!(renewal, Ok(Ok(_))), Ordering::Release);
        let wait = match renewal {
            Ok(Ok(renewal)) => match renewed(&core, sent, renewal, &mut alive).await {
                Ok(()) => LEASE_RENEWAL,
                Err(error) => {
                    tracing::warn!(%error, "cannot tell which sessions are still held");
                    RETRY
                }
            },
            Ok(Err(error @ Error::NodeReplaced(_))) => {
                core.lease.give_up();
                core.suspend_unless_leased();
                return Err(error);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, left = ?core.lease.left(), "cannot renew the lease");
                RETRY
            }
            Err(_) => {
                tracing::warn!(left = ?core.lease.left(), "renewing the lease takes too long");
                Duration::ZERO
            }
        };
        let wait = wait.saturating_sub(sent.elapsed()).max(SHORTEST_WAIT);
        suspending_in_time(&core, tokio::time::sleep(wait)).await;
    }
}

/// Waits for `work`; if the lease ends meanwhile, the sessions are suspended at that moment.
async fn suspending_in_time<T>(core: &Core, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(core.lease.left(), &mut work).await {
        return done;
    }
    core.suspend_unless_leased();
    work.await
}

/// A renewal sent at `sent` succeeded.
async fn renewed(core: &Arc<Core>, sent: Instant, renewal: Renewal, alive: &mut HashSet<NodeId>) -> Result<(), Error> {
    // Also after this process was stopped for a while, or where the answer took long: where the lease had run out by now,
    // sessions may have been taken over before it was good again.
    core.suspend_unless_leased();
    if core.is_suspended() {
        resume(core, sent).await?;
    } else {
        core.lease.renewed(sent);
    }
    for asked in renewal.asked {
        yield_session(core, asked);
    }
    let runs: Vec<NodeKey> = renewal.live.into_iter().map(|peer| peer.key).collect();
    core.bus.set_peers(&runs);
    let now: HashSet<NodeId> = runs.into_iter().map(|run| run.id).collect();
    let peers: Vec<NodeId> = now.iter().filter(|id| **id != core.key.id).cloned().collect();
    core.set_peers(peers);
    for gone in alive.difference(&now) {
        tracing::info!(node = %gone, "node has gone");
        core.routes.forget_node(gone);
        core.sweep_all.store(true, Ordering::Release);
        core.sweep_now.notify_one();
        tokio::spawn(tidy_states(core.clone()));
    }
    for new in now.difference(alive).filter(|id| **id != core.key.id) {
        tracing::info!(node = %new, "node is there");
    }
    *alive = now;
    Ok(())
}

/// Beside the renewals: a dead node can leave many users behind, and locks that have to be waited for.
async fn tidy_states(core: Arc<Core>) {
    if let Err(error) = core.storage.tidy_states().await {
        tracing::warn!(%error, "cannot tidy the states of users");
    }
}

/// Nothing is committed or pushed before it is known which sessions are still this node's.
async fn resume(core: &Arc<Core>, sent: Instant) -> Result<(), Error> {
    let local: Vec<Release> = core.registry.all().iter().map(|session| session.release()).collect();
    let mut taken_over: HashSet<Release> = local.iter().copied().collect();
    for batch in local.chunks(HELD_BATCH) {
        for held in core.storage.sessions_still_held(&core.key, batch).await? {
            taken_over.remove(&held);
        }
    }
    core.close_all(&taken_over);
    core.lease.renewed(sent);
    if core.lease.is_held() {
        tracing::info!(sessions = local.len(), taken_over = taken_over.len(), "the lease is good again");
        core.resume_all();
    }
    Ok(())
}
