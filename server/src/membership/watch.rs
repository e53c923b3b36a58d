//! Which other nodes live, as seen from here: whose renewals have stood still, and for how long by this machine's own
//! clock.
//!
//! A node acts for [`LEASE_HOLD`](crate::config::limits::LEASE_HOLD) from the moment it *sent* a renewal; another calls
//! it gone after seeing that renewal's count stand still for [`LEASE_WATCH`], from the moment it first *saw* it, which
//! is later. So neither needs the other's clock, nor the database's: only that seconds are about as long everywhere.

use crate::cluster::NodeKey;
use crate::config::limits::{LEASE_RENEWAL, LEASE_WATCH};
use crate::storage::Peer;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Without a look for longer than this, watching begins anew: the database was perhaps out of everybody's reach.
const LONGEST_GAP: Duration = Duration::from_millis(3 * LEASE_RENEWAL.as_millis() as u64);

#[derive(Default)]
pub struct Watch {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: HashMap<NodeKey, Seen>,
    looked_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Seen {
    renewals: u64,
    since: Instant,
}

impl Watch {
    /// The other nodes as just read, by a look that was sent at `sent` and answered `now`. Returns those that have
    /// stood still for too long.
    pub fn look(&self, peers: impl Iterator<Item = Peer>, sent: Instant, now: Instant) -> Vec<Peer> {
        let mut state = self.state.lock();
        let gap =
            state.looked_at.replace(sent).is_some_and(|before| sent.saturating_duration_since(before) > LONGEST_GAP);
        let before = std::mem::take(&mut state.seen);
        let mut gone = Vec::new();
        for peer in peers {
            let known = before.get(&peer.key).filter(|seen| !gap && seen.renewals == peer.renewals);
            let since = known.map_or(now, |seen| seen.since);
            state.seen.insert(peer.key.clone(), Seen { renewals: peer.renewals, since });
            if sent.saturating_duration_since(since) >= LEASE_WATCH {
                gone.push(peer);
            }
        }
        gone
    }

    /// Forgets what it has seen: where the database has failed over to an older copy, counts come again that stood
    /// there before, of nodes that have renewed since.
    pub fn begin_anew(&self) {
        *self.state.lock() = State::default();
    }

    /// When the first of those that stand still now will have done so for too long.
    pub fn next_due(&self) -> Option<Instant> {
        self.state.lock().seen.values().map(|seen| seen.since + LEASE_WATCH).min()
    }

    /// How long the node may still stand still before it is called gone. One that is not known has all its time.
    pub fn left(&self, node: &NodeKey) -> Duration {
        let since = self.state.lock().seen.get(node).map(|seen| seen.since);
        since.map_or(LEASE_WATCH, |since| LEASE_WATCH.saturating_sub(since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(renewals: u64) -> Peer {
        Peer { key: NodeKey { id: "other".into(), boot: 1 }, renewals }
    }

    /// Looks at what the other's count is, every second.
    async fn watch(watch: &Watch, counts: impl IntoIterator<Item = u64>) -> Vec<Peer> {
        let mut gone = Vec::new();
        for renewals in counts {
            tokio::time::advance(Duration::from_secs(1)).await;
            gone = watch.look([peer(renewals)].into_iter(), Instant::now(), Instant::now());
        }
        gone
    }

    #[tokio::test(start_paused = true)]
    async fn node_is_gone_only_after_its_count_stood_still_for_the_whole_time() {
        let seen = Watch::default();
        assert_eq!(seen.left(&peer(1).key), LEASE_WATCH);

        assert_eq!(watch(&seen, [5; 7]).await, []);
        assert_eq!(seen.left(&peer(1).key), Duration::from_secs(1));
        assert_eq!(watch(&seen, [6]).await, [], "it has renewed");
        assert_eq!(watch(&seen, [6; 6]).await, []);
        assert_eq!(seen.next_due(), Some(Instant::now() + Duration::from_secs(1)));
        assert_eq!(watch(&seen, [6]).await, [peer(6)]);
    }

    #[tokio::test(start_paused = true)]
    async fn watching_begins_anew_after_the_database_was_out_of_reach() {
        let seen = Watch::default();
        watch(&seen, [5; 6]).await;

        tokio::time::advance(LEASE_WATCH).await;

        assert_eq!(watch(&seen, [5]).await, [], "it could not renew either");
        assert_eq!(watch(&seen, [5; 7]).await, [peer(5)]);
    }
}
