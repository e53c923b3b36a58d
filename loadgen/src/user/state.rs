//! One simulated user: an account, a connection that comes and goes as wished, and what waits to be written.
//!
//! A user without a connection keeps nothing but its name.

use super::accounts::{self, Account};
use crate::dialect::Refusal;
use crate::measure::LatencyKind;
use crate::plan::Plan;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Bytes waiting for one user beyond which nothing more is sent: the server does not read.
const MAX_OUTBOX_BYTES: usize = 1024 * 1024;

/// A node that nobody knows the name of.
pub const NO_NODE: u32 = u32::MAX;
/// Latencies that wait to be shown elsewhere; beyond it they are only in our own record.
const MAX_MIRRORED: usize = 4_096;

/// Between a request that is not answered and the next: many servers take for one message whatever one read gives them.
pub(crate) const UNANSWERED_PAUSE: Duration = Duration::from_millis(50);

/// What a user is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wish {
    /// Logged out and not connected.
    Away,
    Online,
    /// Away for good; the user's task ends.
    Gone,
}

/// What an answer to a request brings: the id that was made, or 0.
pub type Answer = Result<u64, Refusal>;

/// A request that is not answered yet.
pub(super) struct Pending {
    pub mid: Uuid,
    pub waiter: oneshot::Sender<Answer>,
}

/// What waits to be written, and where it can be written to.
#[derive(Default)]
pub(super) struct Outbox {
    pub bytes: Vec<u8>,
    pub socket: Option<Arc<TcpStream>>,
    pub online: bool,
    pub session: u32,
    /// The kernel takes no more for now; the user's task waits for it.
    pub blocked: bool,
}

/// One simulated user.
pub struct User {
    pub index: u32,
    pub name: String,
    pub(super) id: AtomicU64,
    pub(super) token: Mutex<Option<Box<str>>>,
    /// Streams that this user sends.
    pub(super) streams: Box<[u32]>,
    pub(super) outbox: Mutex<Outbox>,
    pub(super) waker: AtomicWaker,
    pub(super) wish: AtomicU8,
    /// When the wish was made.
    pub(super) wished_at: AtomicU64,
    pub(super) node: AtomicU32,
    pub(super) paused: AtomicBool,
    pub(super) broken: AtomicBool,
    /// Something was received that the server does not know of.
    pub(super) dirty: AtomicBool,
    /// It is time to say so.
    pub(super) tell: AtomicBool,
    pub(super) asks: Mutex<Vec<Pending>>,
    /// What was measured for this user and is to be shown elsewhere as well.
    mirrored: Mutex<Vec<(LatencyKind, u64)>>,
    /// Groups that the server said this user is in, by name.
    pub(crate) groups: Mutex<Vec<(String, u64)>>,
}

impl User {
    pub(crate) fn new(index: u32, streams: Vec<u32>, plan: &Plan) -> User {
        User {
            index,
            name: accounts::name(plan, index),
            id: AtomicU64::new(0),
            token: Mutex::default(),
            streams: streams.into(),
            outbox: Mutex::default(),
            waker: AtomicWaker::new(),
            wish: AtomicU8::new(Wish::Away as u8),
            wished_at: AtomicU64::new(0),
            node: AtomicU32::new(NO_NODE),
            paused: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            tell: AtomicBool::new(false),
            asks: Mutex::default(),
            mirrored: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// What the server calls this user; 0 before the first login.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// The node of the current or last session, as `Run::node` numbers them.
    pub fn node(&self) -> u32 {
        self.node.load(Ordering::Relaxed)
    }

    pub fn is_online(&self) -> bool {
        self.outbox.lock().online
    }

    /// Takes over what was learned of the account in an earlier run.
    pub fn remember(&self, account: &Account) {
        self.id.store(account.id, Ordering::Relaxed);
        *self.token.lock() = account.token.clone();
    }

    /// What a later run can use.
    pub fn account(&self) -> Account {
        Account { name: self.name.clone(), id: self.id(), token: self.token.lock().clone() }
    }

    /// Keeps latencies to be shown elsewhere as well.
    pub(super) fn mirror(&self, kind: LatencyKind, micros: &[u64]) {
        let mut mirrored = self.mirrored.lock();
        let room = MAX_MIRRORED.saturating_sub(mirrored.len());
        mirrored.extend(micros.iter().take(room).map(|micros| (kind, *micros)));
    }

    /// What was recorded for this user since the last call.
    pub fn take_mirrored(&self) -> Vec<(LatencyKind, u64)> {
        std::mem::take(&mut self.mirrored.lock())
    }

    /// Makes the user come or go, from `now` on. A login's latency counts from here.
    pub(super) fn wish(&self, wish: Wish, now: u64) {
        if self.wish.swap(wish as u8, Ordering::AcqRel) != wish as u8 {
            self.wished_at.store(now, Ordering::Release);
        }
        self.waker.wake();
    }

    pub(super) fn wished(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::Away,
            1 => Wish::Online,
            _ => Wish::Gone,
        }
    }

    /// Drops the connection as it stands; the user comes back by itself.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Stops reading, or goes on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.waker.wake();
    }

    /// Lets the user tell the server what it received, if there is anything to tell.
    pub fn tell(&self) {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.tell.store(true, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Hands the outbox to the kernel.
    pub fn flush(&self) {
        let mut outbox = self.outbox.lock();
        if !outbox.blocked && !outbox.write_out() {
            drop(outbox);
            self.waker.wake();
        }
    }

    pub(super) fn answered(&self, mid: Option<Uuid>, answer: Answer) {
        let mut asks = self.asks.lock();
        // A dialect without ids answers in order.
        let place = match mid {
            Some(mid) => asks.iter().position(|pending| pending.mid == mid),
            None => (!asks.is_empty()).then_some(0),
        };
        if let Some(place) = place {
            let _ = asks.remove(place).waiter.send(answer);
        }
        if asks.is_empty() {
            *asks = Vec::new();
        }
    }

    pub(super) fn has_written_all(&self) -> bool {
        self.outbox.lock().bytes.is_empty()
    }
}

impl Outbox {
    /// Whether there is a connection, and the server reads.
    pub fn takes_more(&self) -> bool {
        self.online && self.bytes.len() <= MAX_OUTBOX_BYTES
    }

    /// Writes what the kernel takes; false if the user's task must see to the rest.
    fn write_out(&mut self) -> bool {
        let Some(socket) = &self.socket else { return self.bytes.is_empty() };
        let mut written = 0;
        while written < self.bytes.len() {
            match socket.try_write(&self.bytes[written..]) {
                Ok(count) if count > 0 => written += count,
                // Errors come to light when the task reads.
                _ => {
                    self.blocked = true;
                    break;
                }
            }
        }
        crate::link::discard_front(&mut self.bytes, written);
        !self.blocked
    }
}
