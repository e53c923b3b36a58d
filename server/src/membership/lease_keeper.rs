//! Keeps the node's lease, and with it its sessions.
//!
//! One round trip every second renews the lease, tells which nodes live, and brings the sessions that other nodes ask
//! for. When the lease is in doubt sessions are suspended in time. When sessions were taken from this node while it was
//! called gone, the renewal says so; then all stand still until they have been compared with their rows, those that are
//! lost are closed, and the rest go on.

use crate::cluster::{NodeId, NodeKey};
use crate::config::limits::LEASE_RENEWAL;
use crate::context::Core;
use crate::delivery::bus_receiver::yield_session;
use crate::failpoint::{self, Failpoint};
use crate::session::Session;
use crate::storage::{Error, Peer, Release, Renewal};
use futures_util::future::join_all;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A renewal that takes longer is given up and sent anew.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait after a failed renewal.
const RETRY: Duration = Duration::from_millis(500);
/// Between two renewals, however late the last one was.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);

/// Logs compared in one call.
const ENDS_AT_ONCE: usize = 4_096;

/// Runs until the node stops; returns early only if another node took this one's name. A node that has just started has
/// no sessions to compare: `takeovers` is what its first renewal said.
pub async fn run(core: Arc<Core>, takeovers: u64) -> Result<(), Error> {
    let alive = HashSet::new();
    let mut keeper = Keeper { core: core.clone(), alive, renewals: 0, suspects: false, takeovers, compares: false };
    loop {
        let sent = Instant::now();
        let wait = keeper.renew(sent).await?;
        let wait = wait.saturating_sub(sent.elapsed()).max(SHORTEST_WAIT);
        let due = core.watch.next_due().map_or(wait, |due| due.saturating_duration_since(Instant::now()));
        suspending_in_time(&core, tokio::time::sleep(wait.min(due.max(SHORTEST_WAIT)))).await;
    }
}

struct Keeper {
    core: Arc<Core>,
    alive: HashSet<NodeId>,
    /// The count of the latest renewal.
    renewals: u64,
    /// The database has lost commits, or may have, and it is not known yet which logs have become shorter.
    suspects: bool,
    /// How often sessions had been taken over when they were last compared.
    takeovers: u64,
    /// The next renewal compares.
    compares: bool,
}

impl Keeper {
    /// Returns how long after `sent` to renew again.
    async fn renew(&mut self, sent: Instant) -> Result<Duration, Error> {
        let core = self.core.clone();
        // Before the rows are read: whoever is here has a row by now, if it is not lost.
        let local = self.compares.then(|| core.registry.all());
        let renewal = tokio::time::timeout(RENEWAL_TIMEOUT, core.storage.renew_lease(&core.key, self.compares));
        let renewal = suspending_in_time(&core, renewal).await;
        core.database_answers.store(matches!(renewal, Ok(Ok(_))), Ordering::Release);
        match renewal {
            Ok(Ok(renewal)) => Ok(self.renewed(sent, renewal, local).await),
            Ok(Err(error @ Error::NodeReplaced(_))) => {
                core.lease.give_up();
                core.suspend_unless_leased();
                Err(error)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, left = ?core.lease.left(), "cannot renew the lease");
                // Perhaps it is about to fail over.
                self.suspects = true;
                Ok(RETRY)
            }
            Err(_) => {
                tracing::warn!(left = ?core.lease.left(), "renewing the lease takes too long");
                self.suspects = true;
                Ok(Duration::ZERO)
            }
        }
    }

    /// A renewal sent at `sent` succeeded; `local` are the sessions here before it, if it compares.
    async fn renewed(&mut self, sent: Instant, renewal: Renewal, local: Option<Vec<Arc<Session>>>) -> Duration {
        let core = self.core.clone();
        // Also after this process was stopped for a while, or where the answer took long.
        core.suspend_unless_leased();
        let went_back = self.went_back(&renewal);
        match local {
            Some(local) => {
                close_lost(&core, &local, &renewal.held);
                self.takeovers = renewal.takeovers;
                self.compares = false;
            }
            None if went_back || self.takeovers != renewal.takeovers => {
                tracing::warn!("sessions of this node may be gone: comparing them with the database");
                core.suspend();
                self.compares = true;
                return Duration::ZERO;
            }
            None => {}
        }
        if let Err(error) = suspending_in_time(&core, self.look_for_losses()).await {
            tracing::warn!(%error, "cannot tell what the database has lost, trying again");
            return RETRY;
        }
        core.lease.renewed(sent);
        if core.is_suspended() && core.lease.is_held() {
            tracing::info!("the lease is good again");
            core.resume_all();
        }
        for asked in renewal.asked {
            yield_session(&core, asked);
        }
        suspending_in_time(&core, self.look_at_peers(sent, renewal.live)).await;
        LEASE_RENEWAL
    }

    /// A count that has gone back, like a row that is missing, means that the database has lost commits: in a failover
    /// to a copy without the newest, or since an older one was put in its place. Sessions may be among them, and ends
    /// of logs.
    fn went_back(&mut self, renewal: &Renewal) -> bool {
        let own = renewal.live.iter().find(|peer| peer.key == self.core.key).map_or(0, |peer| peer.renewals);
        let went_back = renewal.made_anew || own <= self.renewals;
        if went_back {
            tracing::error!("the database has lost commits: this node's renewals have gone back");
            self.suspects = true;
            self.core.audiences.pulse.broken(Instant::now());
        }
        self.renewals = own;
        went_back
    }

    /// Before the node goes on after a failover, or what may have been one.
    async fn look_for_losses(&mut self) -> Result<(), Error> {
        if !self.suspects {
            return Ok(());
        }
        let core = &self.core;
        for ends in core.ends.all().chunks(ENDS_AT_ONCE) {
            for conv in core.storage.find_losses(&core.key, ends).await? {
                core.metrics.log_lost(conv);
                core.sweep_everything();
            }
        }
        self.suspects = false;
        Ok(())
    }

    async fn look_at_peers(&mut self, sent: Instant, live: Vec<Peer>) {
        let core = &self.core;
        let runs: Vec<NodeKey> = live.iter().map(|peer| peer.key.clone()).collect();
        core.bus.set_peers(&runs);
        let peers: Vec<Peer> = live.into_iter().filter(|peer| peer.key.id != core.key.id).collect();
        let gone = core.watch.look(peers.iter().cloned(), sent, Instant::now());
        join_all(gone.iter().map(|peer| call_gone(core, peer))).await;
        let now: HashSet<NodeId> = peers.into_iter().map(|peer| peer.key.id).collect();
        core.set_peers(now.iter().cloned().collect());
        for gone in self.alive.difference(&now) {
            tracing::info!(node = %gone, "node has gone");
            core.routes.forget_node(gone);
            core.sweep_everything();
            core.tidier.ask(gone.clone());
        }
        for new in now.difference(&self.alive) {
            tracing::info!(node = %new, "node is there");
        }
        self.alive = now;
    }
}

async fn call_gone(core: &Core, peer: &Peer) {
    match core.storage.call_gone(peer).await {
        Ok(true) => tracing::warn!(node = %peer.key.id, "node does not renew its lease: its sessions are free"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, node = %peer.key.id, "cannot call a node gone, trying again"),
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

/// Closes those sessions that are no longer this node's.
fn close_lost(core: &Core, local: &[Arc<Session>], held: &[Release]) {
    if failpoint::hits(Failpoint::LeaseStale) {
        return;
    }
    let held: HashSet<&Release> = held.iter().collect();
    let lost: Vec<_> = local.iter().filter(|session| !held.contains(&session.release())).collect();
    lost.iter().for_each(|session| session.lose());
    if !lost.is_empty() {
        core.metrics.sessions_lost_total.inc_by(lost.len() as u64);
        tracing::warn!(sessions = local.len(), lost = lost.len(), "sessions were taken over");
    }
}
