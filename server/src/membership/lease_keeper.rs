//! Keeps the node's lease, and with it its sessions.
//!
//! One round trip every second renews the lease, tells which nodes live, and brings the sessions that other nodes ask
//! for. When the lease is in doubt sessions are suspended in time. When sessions were taken from this node while it was
//! called gone, the renewal says so; then all stand still until they have been compared with their rows, those that are
//! lost are closed, and the rest go on. New logins are looked for once, after a later renewal: a failover that loses
//! them and no renewal would not show otherwise.

use super::lease::LEASE_RENEWAL;
use super::lease::Lease;
use super::standing::{Counted, Standing};
use super::watch::Watch;
use crate::bus::Bus;
use crate::cluster::{NodeId, NodeKey};
use crate::storage::{Change, EndAsked, Error, Peer, Release, Renewal, Storage};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A renewal that takes longer is given up and sent anew.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait after a failed renewal.
const RETRY: Duration = Duration::from_millis(500);
/// Between two renewals, however late the last one was.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);

/// New logins looked for after one renewal, few enough not to hold up the lease. The rest wait for later renewals.
const LOGINS_AT_ONCE: usize = 4_096;
/// Conversations compared in one call.
const KNOWN_AT_ONCE: usize = 4_096;

/// What hangs on the lease, in the layers above: this node's sessions, and what it believes of the other nodes.
pub trait Tenants: Send + Sync {
    /// The sessions that are here.
    fn sessions(&self) -> Vec<Release>;
    /// Those of them that have begun since the last time.
    fn new_sessions(&self) -> Vec<Release>;
    /// Whether this session is here, and not about to end.
    fn is_here(&self, session: Release) -> bool;
    /// Nothing is pushed from here on, until [`Tenants::resume`].
    fn suspend(&self);
    fn is_suspended(&self) -> bool;
    fn resume(&self);
    /// These sessions are no longer this node's.
    fn lose(&self, sessions: &[Release]);
    /// Another node, or an operator, asks for the end of this session. `as_of`: so it was then, or later.
    fn give_up(&self, asked: EndAsked, as_of: Instant);
    /// These other nodes live.
    fn set_peers(&self, live: Vec<NodeId>);
    fn node_has_gone(&self, node: &NodeId);
    /// The database has lost commits: what was read of members before may be wrong.
    fn commits_were_lost(&self);
    /// How far conversations had got.
    fn known(&self) -> Vec<Change>;
    /// A conversation had not got as far; how it stands now.
    fn was_lost(&self, now: Change);
}

/// What the keeper works with.
pub struct Parts {
    pub key: NodeKey,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,
    pub lease: Arc<Lease>,
    pub watch: Arc<Watch>,
    /// Whether the latest renewal got an answer.
    pub database_answers: Arc<AtomicBool>,
    pub tenants: Arc<dyn Tenants>,
}

/// Runs until the node stops; returns early only if another node took this one's name. A node that has just started has
/// no sessions to compare: `takeovers` is what its first renewal said.
pub async fn run(parts: Parts, takeovers: u64) -> Result<(), Error> {
    let alive = BTreeSet::new();
    let standing = Standing::new(takeovers);
    let mut keeper = Keeper { parts, alive, suspects: false, standing, new_logins: Vec::new() };
    loop {
        let sent = Instant::now();
        let wait = keeper.renew(sent).await?;
        let wait = wait.saturating_sub(sent.elapsed()).max(SHORTEST_WAIT);
        let due = keeper.parts.watch.next_due().map_or(wait, |due| due.saturating_duration_since(Instant::now()));
        keeper.parts.suspending_in_time(tokio::time::sleep(wait.min(due.max(SHORTEST_WAIT)))).await;
    }
}

struct Keeper {
    parts: Parts,
    alive: BTreeSet<NodeId>,
    /// The database has lost commits, or may have, and it is not known yet in which conversations.
    suspects: bool,
    standing: Standing,
    /// Sessions whose rows have not been looked for since they began.
    new_logins: Vec<Release>,
}

impl Keeper {
    /// Returns how long after `sent` to renew again.
    async fn renew(&mut self, sent: Instant) -> Result<Duration, Error> {
        let Parts { key, storage, lease, tenants, .. } = &self.parts;
        // Before the rows are read: whoever is here has a row by now, if it is not lost.
        self.new_logins.extend(tenants.new_sessions());
        self.new_logins.retain(|login| tenants.is_here(*login));
        let local = self.standing.must_compare().then(|| tenants.sessions());
        let renewal = tokio::time::timeout(RENEWAL_TIMEOUT, storage.renew_lease(key, local.is_some()));
        let renewal = self.parts.suspending_in_time(renewal).await;
        self.parts.database_answers.store(matches!(renewal, Ok(Ok(_))), Ordering::Release);
        match renewal {
            Ok(Ok(renewal)) => Ok(self.renewed(sent, renewal, local).await),
            Ok(Err(error @ Error::NodeReplaced(_))) => {
                lease.give_up();
                self.parts.suspend_unless_leased();
                Err(error)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, left = ?lease.left(), "cannot renew the lease");
                self.failed();
                Ok(RETRY)
            }
            Err(_) => {
                tracing::warn!(left = ?lease.left(), "renewing the lease takes too long");
                self.failed();
                Ok(Duration::ZERO)
            }
        }
    }

    /// A renewal sent at `sent` succeeded; `local` are the sessions here before it, if it compares.
    async fn renewed(&mut self, sent: Instant, renewal: Renewal, local: Option<Vec<Release>>) -> Duration {
        // Also after this process was stopped for a while, or where the answer took long.
        self.parts.suspend_unless_leased();
        if self.standing.answered(&self.parts.key, &renewal, local.is_some()) == Counted::WentBack {
            tracing::error!("the database has lost commits: this node's renewals have gone back");
            self.suspects = true;
            self.parts.watch.begin_anew();
            self.parts.tenants.commits_were_lost();
        }
        if self.standing.must_compare() {
            tracing::warn!("sessions of this node may be gone: comparing them with the database");
            self.parts.tenants.suspend();
            return Duration::ZERO;
        }
        if let Some(local) = local {
            self.close_lost(local, &renewal.held);
            self.new_logins.clear();
        }
        match self.look_for_new_logins().await {
            Ok(false) => {}
            Ok(true) => {
                tracing::error!("the database has lost commits: a login that was answered is not there");
                self.failed();
                self.parts.tenants.commits_were_lost();
                self.parts.tenants.suspend();
                return Duration::ZERO;
            }
            Err(error) => tracing::warn!(%error, "cannot tell whether the newest logins are there, trying again"),
        }
        if let Err(error) = self.look_for_losses().await {
            tracing::warn!(%error, "cannot tell what the database has lost, trying again");
            return RETRY;
        }
        let Parts { lease, tenants, .. } = &self.parts;
        lease.renewed(sent);
        if tenants.is_suspended() && lease.is_held() {
            tracing::info!("the lease is good again");
            tenants.resume();
        }
        renewal.asked.into_iter().for_each(|asked| tenants.give_up(asked, sent));
        self.look_at_peers(sent, renewal.live).await;
        LEASE_RENEWAL
    }

    /// Perhaps the database fails over.
    fn failed(&mut self) {
        self.suspects = true;
        self.parts.watch.begin_anew();
        self.standing.failed();
    }

    /// Closes those of the sessions here that are no longer this node's.
    fn close_lost(&self, mut local: Vec<Release>, held: &[Release]) {
        let held: BTreeSet<&Release> = held.iter().collect();
        let sessions = local.len();
        local.retain(|session| !held.contains(session));
        if !local.is_empty() {
            tracing::warn!(sessions, lost = local.len(), "sessions were taken over");
            self.parts.tenants.lose(&local);
        }
    }

    /// Looks for some of the newest logins, which are not looked for again; true if one is missing. Those that are
    /// there now cannot be lost without the renewal, whose count would tell; those from before could, where nothing but
    /// them came between two renewals.
    async fn look_for_new_logins(&mut self) -> Result<bool, Error> {
        let Parts { key, storage, tenants, .. } = &self.parts;
        let some = self.new_logins.len().min(LOGINS_AT_ONCE);
        if some == 0 {
            return Ok(false);
        }
        let asking = tokio::time::timeout(RENEWAL_TIMEOUT, storage.held_of(key, &self.new_logins[..some]));
        let late = |_| Error::Unavailable(format!("not within {RENEWAL_TIMEOUT:?}"));
        let held = self.parts.suspending_in_time(asking).await.map_err(late)??;
        let held: BTreeSet<Release> = held.into_iter().collect();
        // One that has ended meanwhile is not missed.
        let is_lost = |login: &Release| !held.contains(login) && tenants.is_here(*login);
        let found = self.new_logins[..some].iter().any(is_lost);
        self.new_logins.drain(..some);
        Ok(found)
    }

    /// Before the node goes on after a failover, or what may have been one.
    async fn look_for_losses(&mut self) -> Result<(), Error> {
        if !self.suspects {
            return Ok(());
        }
        let Parts { key, storage, tenants, .. } = &self.parts;
        let looking = async {
            for known in tenants.known().chunks(KNOWN_AT_ONCE) {
                let lost = storage.find_losses(key, known).await?;
                lost.into_iter().for_each(|now| tenants.was_lost(now));
            }
            Ok::<(), Error>(())
        };
        self.parts.suspending_in_time(looking).await?;
        self.suspects = false;
        Ok(())
    }

    async fn look_at_peers(&mut self, sent: Instant, live: Vec<Peer>) {
        let Parts { key, bus, watch, tenants, .. } = &self.parts;
        let runs: Vec<NodeKey> = live.iter().map(|peer| peer.key.clone()).collect();
        bus.set_peers(&runs);
        let peers: Vec<Peer> = live.into_iter().filter(|peer| peer.key.id != key.id).collect();
        let gone = watch.look(peers.iter().cloned(), sent, Instant::now());
        self.parts.suspending_in_time(join_all(gone.iter().map(|peer| self.parts.call_gone(peer)))).await;
        let now: BTreeSet<NodeId> = peers.into_iter().map(|peer| peer.key.id).collect();
        tenants.set_peers(now.iter().cloned().collect());
        for gone in self.alive.difference(&now) {
            tracing::info!(node = %gone, "node has gone");
            tenants.node_has_gone(gone);
        }
        for new in now.difference(&self.alive) {
            tracing::info!(node = %new, "node is there");
        }
        self.alive = now;
    }
}

impl Parts {
    /// Waits for `work`; if the lease ends meanwhile, the sessions are suspended at that moment.
    async fn suspending_in_time<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(self.lease.left(), &mut work).await {
            return done;
        }
        self.suspend_unless_leased();
        work.await
    }

    fn suspend_unless_leased(&self) {
        if !self.lease.is_held() {
            self.tenants.suspend();
        }
    }

    async fn call_gone(&self, peer: &Peer) {
        match self.storage.call_gone(peer).await {
            Ok(true) => tracing::warn!(node = %peer.key.id, "node does not renew its lease: its sessions are free"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, node = %peer.key.id, "cannot call a node gone, trying again"),
        }
    }
}

#[cfg(test)]
mod tests;
