//! A link: two ways, each with what flies there, and what holds it up.

use crate::chance::Chance;
use crate::schedule::Breaking;
use crate::trace::Trace;
use crate::troubles::Troubles;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// What a way holds before its writer has to wait, as a kernel's buffers do.
const CAPACITY: usize = 64 * 1024;
/// The same on the way to a client that is deaf.
pub(super) const DEAF_CAPACITY: usize = 512;
/// After so long a kernel gives a connection up whose other end does not answer.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// The usual time that bytes fly, at most.
const FLIGHT_MS: u64 = 2;
/// One piece in so many takes longer, at most this.
const SLOW_ONCE_IN: u64 = 48;
const SLOW_FLIGHT_MS: u64 = 150;
/// What a piece takes at most where everything is slow.
const SLOWEST_FLIGHT_MS: u64 = 1_500;

pub(super) struct Link {
    pub(super) number: u64,
    pub(super) user: usize,
    pub(super) chance: Arc<Chance>,
    pub(super) trace: Arc<Trace>,
    pub(super) troubles: Arc<Troubles>,
    /// By who writes.
    pub(super) ways: [Mutex<Way>; 2],
}

pub(super) const CLIENT: usize = 0;
pub(super) const NODE: usize = 1;

/// One direction.
#[derive(Default)]
pub(super) struct Way {
    pub(super) flying: VecDeque<(Instant, Bytes)>,
    pub(super) bytes: usize,
    /// When what was written last arrives.
    pub(super) newest: Option<Instant>,
    /// When the end of the stream arrives.
    pub(super) ends: Option<Instant>,
    pub(super) is_reset: bool,
    /// The client is gone without the node having been told.
    pub(super) is_lost: bool,
    /// The reader is gone.
    pub(super) is_deaf: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Link {
    pub(super) fn reset(&self) {
        self.trace.note("reset", self.number);
        for way in &self.ways {
            let mut way = way.lock();
            way.is_reset = true;
            way.flying.clear();
            let wakers = [way.reader.take(), way.writer.take()];
            drop(way);
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// The client's machine is gone. In the end the node's kernel finds out.
    pub(super) fn lose(self: &Arc<Self>) {
        self.trace.note("lose", self.number);
        let link = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEEPALIVE).await;
            link.reset();
        });
        for way in &self.ways {
            let mut way = way.lock();
            way.is_lost = true;
            let reader = way.reader.take();
            drop(way);
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// When something written now arrives: never before what was written earlier.
    pub(super) fn arrival(&self, way: &mut Way) -> Instant {
        let is_slowest = self.troubles.strike(|what| match what {
            Breaking::Slow { user } if *user == self.user => 100,
            _ => 0,
        });
        let most_ms = match self.chance.once_in(SLOW_ONCE_IN) {
            _ if is_slowest => SLOWEST_FLIGHT_MS,
            true => SLOW_FLIGHT_MS,
            false => FLIGHT_MS,
        };
        let flight = self.chance.wait(most_ms);
        let at = (Instant::now() + flight).max(way.newest.unwrap_or_else(Instant::now));
        way.newest = Some(at);
        at
    }

    /// When there is something to read on the way that this side writes to.
    pub(super) fn due(&self, way: &Way, writer: usize) -> Option<Instant> {
        let first = way.flying.front().map(|(at, _)| *at).or(way.ends)?;
        let held = self.troubles.lasts_until(|what| match what {
            Breaking::Silence { user } => *user == self.user,
            Breaking::Mute { user } => *user == self.user && writer == CLIENT,
            Breaking::Deaf { user } => *user == self.user && writer == NODE,
            _ => false,
        });
        Some(held.map_or(first, |held| first.max(held)))
    }

    /// What the way holds that this side writes to.
    pub(super) fn capacity(&self, writer: usize) -> usize {
        let is_deaf = |what: &Breaking| matches!(what, Breaking::Deaf { user } if *user == self.user);
        let is_narrow = writer == NODE && self.troubles.lasts_until(is_deaf).is_some();
        if is_narrow { DEAF_CAPACITY } else { CAPACITY }
    }

    /// Whether this piece is the last.
    pub(super) fn breaks(&self) -> bool {
        self.troubles.strike(|what| match what {
            Breaking::Losing { user, percent } if *user == self.user => *percent,
            _ => 0,
        })
    }
}
