//! How long this node may act for its sessions.
//!
//! A lease runs from the moment its renewal was *sent*, by this machine's monotonic clock, and so ends here before
//! another node can have watched long enough to call this one gone (see `watch`). Past it the node stops committing and
//! pushing, until a renewal succeeds.

use crate::failpoint::{self, Failpoint};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Within this the users of a node that has died can log in elsewhere.
pub const LEASE: Duration = Duration::from_secs(8);
/// Time between two renewals, and between two looks at those of the other nodes.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(1);
/// A node whose renewals have stood still for this long, to the eyes of another, is gone.
pub const LEASE_WATCH: Duration = Duration::from_secs(LEASE.as_secs() - LEASE_RENEWAL.as_secs());
/// A node acts for its sessions this long after it sent its latest renewal: shorter, since a commit on its way needs
/// time to arrive, and seconds are not equally long on all machines.
pub const LEASE_HOLD: Duration = Duration::from_secs(LEASE_WATCH.as_secs() - 1);

const _: () = assert!(crate::bus::numbering::SETTLED.as_secs() > LEASE.as_secs());

pub struct Lease {
    start: Instant,
    /// Milliseconds after `start`; 0: never had one.
    until_ms: AtomicU64,
}

impl Default for Lease {
    fn default() -> Self {
        Lease { start: Instant::now(), until_ms: AtomicU64::new(0) }
    }
}

impl Lease {
    /// A renewal sent at `sent` succeeded.
    pub fn renewed(&self, sent: Instant) {
        let until = (sent + LEASE_HOLD).saturating_duration_since(self.start);
        self.until_ms.fetch_max(until.as_millis() as u64, Ordering::AcqRel);
    }

    pub fn is_held(&self) -> bool {
        !self.left().is_zero()
    }

    /// For how long the node may still act.
    pub fn left(&self) -> Duration {
        self.left_at(Instant::now())
    }

    pub fn left_at(&self, now: Instant) -> Duration {
        if failpoint::hits(Failpoint::LeaseStale) {
            return LEASE_HOLD;
        }
        let until = Duration::from_millis(self.until_ms.load(Ordering::Acquire));
        until.saturating_sub(now.saturating_duration_since(self.start))
    }

    /// Ends it at once.
    pub fn give_up(&self) {
        self.until_ms.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lease_counts_from_when_its_renewal_was_sent() {
        let lease = Lease::default();
        assert!(!lease.is_held());

        let sent = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        lease.renewed(sent);
        assert_eq!(lease.left(), LEASE_HOLD - Duration::from_secs(2));

        tokio::time::advance(lease.left()).await;
        assert!(!lease.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn late_answer_to_an_old_renewal_does_not_shorten_the_lease() {
        let lease = Lease::default();
        let old = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        lease.renewed(Instant::now());

        lease.renewed(old);

        assert_eq!(lease.left(), LEASE_HOLD);
        lease.give_up();
        assert!(!lease.is_held());
    }
}
