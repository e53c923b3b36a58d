//! Keeps the node's lease, and with it its sessions.
//!
//! One round trip every two seconds renews the lease, tells which nodes live, and brings the sessions that other nodes ask
//! for. When the lease is in doubt sessions are suspended in time; when it is good again, those that were taken over
//! meanwhile are closed and the rest go on.

use crate::cluster::NodeId;
use crate::core::Core;
use crate::inbox::yield_session;
use crate::limits::{LEASE, LEASE_RENEWAL};
use crate::storage::{Error, Release, Renewal};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A renewal that takes longer is given up and sent anew.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait after a failed renewal.
const RETRY: Duration = Duration::from_millis(500);
/// Sessions compared with their rows at once.
const HELD_BATCH: usize = 512;

/// Runs until the node stops; returns early only if another node took this one's name.
pub async fn run(core: Arc<Core>) -> Result<(), Error> {
    let mut alive: HashSet<NodeId> = HashSet::new();
    loop {
        let sent = Instant::now();
        let renewal = tokio::time::timeout(RENEWAL_TIMEOUT, core.storage.renew_lease(&core.key, LEASE)).await;
        let wait = match renewal {
            Ok(Ok(renewal)) => {
                core.lease.renewed(sent);
                renewed(&core, renewal, &mut alive).await;
                LEASE_RENEWAL
            }
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
        // Whichever comes first: the next try, or the moment when the sessions must be suspended.
        let left = core.lease.left();
        if !left.is_zero() && left < wait {
            tokio::time::sleep(left).await;
        }
        core.suspend_unless_leased();
        tokio::time::sleep(wait.saturating_sub(sent.elapsed()).max(Duration::from_millis(50))).await;
    }
}

async fn renewed(core: &Arc<Core>, renewal: Renewal, alive: &mut HashSet<NodeId>) {
    if core.is_suspended()
        && let Err(error) = resume(core).await
    {
        tracing::warn!(%error, "cannot tell which sessions are still held");
        return;
    }
    for asked in renewal.asked {
        yield_session(core, asked);
    }
    let now: HashSet<NodeId> = renewal.live.into_iter().map(|peer| peer.key.id).collect();
    let peers: Vec<NodeId> = now.iter().filter(|id| **id != core.key.id).cloned().collect();
    core.bus.set_peers(&peers);
    core.set_peers(peers);
    for gone in alive.difference(&now) {
        tracing::info!(node = %gone, "node has gone");
        core.routes.forget_node(gone);
        core.sweep_all.store(true, Ordering::Release);
        core.sweep_now.notify_one();
        if let Err(error) = core.storage.tidy_states().await {
            tracing::warn!(%error, "cannot tidy the states of users");
        }
    }
    for new in now.difference(alive).filter(|id| **id != core.key.id) {
        tracing::info!(node = %new, "node is there");
    }
    *alive = now;
}

async fn resume(core: &Arc<Core>) -> Result<(), Error> {
    let local: Vec<Release> = core.registry.all().iter().map(|session| session.release()).collect();
    let mut taken_over: HashSet<Release> = local.iter().copied().collect();
    for batch in local.chunks(HELD_BATCH) {
        for held in core.storage.sessions_still_held(&core.key, batch).await? {
            taken_over.remove(&held);
        }
    }
    tracing::info!(sessions = local.len(), taken_over = taken_over.len(), "the lease is good again");
    core.resume_all(&taken_over);
    Ok(())
}
