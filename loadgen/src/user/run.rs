//! A run as its users know it: the plan, the books, and one another.

use super::pace::Pace;
use super::retries::Retries;
use super::state::{User, Wish};
use super::window::Windows;
use crate::dialect::Wire;
use crate::link::Dialer;
use crate::measure::ledger::{Copies, Ledger};
use crate::measure::{LatencyKind, Recorder};
use crate::plan::{Cast, Driver, Layout, Plan};
use crate::scenario::Control;
use crate::world::World;
use judge::clock::Clock;
use judge::history::{Event, History};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The purpose of chance that scenarios have.
const SCENARIO_CHANCE: u64 = 2;
/// Kinds of errors that are told apart; further ones count as `other`.
const MAX_ERROR_KINDS: usize = 64;
/// Of a server's own words no more is kept.
const MAX_ERROR_BYTES: usize = 512;

/// What the parts of one run share.
pub struct Run {
    pub plan: Plan,
    pub world: World,
    pub casts: Vec<Cast>,
    /// How fast messages are due (open model).
    pub pace: Arc<Pace>,
    pub clock: Clock,
    /// Tells this run's messages from those of others on the same accounts.
    pub id: u32,
    pub wire: Arc<dyn Wire>,
    pub dialer: Dialer,
    pub users: Vec<Arc<User>>,
    pub ledger: Ledger,
    /// Where nothing is acknowledged.
    pub(super) windows: Option<Windows>,
    pub recorder: Recorder,
    pub history: Option<History>,
    /// Latencies are kept for goose as well.
    pub mirrors: bool,
    pub online: AtomicU32,
    /// Sessions begun.
    pub logins: AtomicU64,
    /// Messages that were due while their sender had no connection.
    pub unsent: AtomicU64,
    /// The measured time is over.
    pub stopping: CancellationToken,
    /// Everything is over.
    pub over: CancellationToken,
    /// Nothing is sent any more; who logs in now only fetches what the server has stored.
    closing: AtomicBool,
    /// Deliveries since then.
    pub stored: AtomicU64,
    /// New messages are sent on as old ones settle (closed model).
    pub refilling: AtomicBool,
    pub(crate) group_ids: Vec<AtomicU64>,
    pub(crate) retries: Retries,
    errors: Mutex<BTreeMap<String, u64>>,
    /// What the first login that failed was, and how.
    failed_login: OnceLock<String>,
    nodes: Mutex<Vec<String>>,
}

impl Run {
    pub(crate) fn new(plan: Plan, id: u32, wire: Arc<dyn Wire>, dialer: Dialer, history: Option<History>) -> Run {
        let Layout { world, casts } = plan.lay_out();
        let mut streams_of = vec![Vec::new(); plan.users as usize];
        for (number, stream) in world.streams.iter().enumerate() {
            streams_of[stream.sender as usize].push(number as u32);
        }
        let windows = wire.profile().map(|profile| {
            let outstanding = plan.window.or(plan.outstanding).unwrap_or(profile.outstanding);
            Windows::new(world.streams.len(), outstanding, (plan.lost_after_s * 1e6) as u64)
        });
        let copies = if wire.acknowledges() { Copies::Dropped } else { Copies::Shown };
        let recipients: Vec<_> = world.streams.iter().map(|stream| world.recipients(stream)).collect();
        let users = streams_of.into_iter().enumerate();
        let users = users.map(|(index, streams)| Arc::new(User::new(index as u32, streams, &plan))).collect();
        let pace = Arc::new(Pace::default());
        pace.set(plan.rate);
        Run {
            pace,
            clock: Clock::start(),
            id,
            over: CancellationToken::new(),
            ledger: Ledger::new(recipients, wire.acknowledges(), copies),
            windows,
            recorder: Recorder::default(),
            group_ids: world.groups.iter().map(|_| AtomicU64::new(0)).collect(),
            mirrors: plan.driver == Driver::Goose,
            online: AtomicU32::new(0),
            logins: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            stopping: CancellationToken::new(),
            closing: AtomicBool::new(false),
            stored: AtomicU64::new(0),
            refilling: AtomicBool::new(false),
            retries: Retries::default(),
            errors: Mutex::default(),
            failed_login: OnceLock::new(),
            nodes: Mutex::default(),
            plan,
            world,
            casts,
            wire,
            dialer,
            users,
            history,
        }
    }

    /// Counts an error of this kind.
    pub fn error(&self, kind: impl Into<String>) {
        let mut errors = self.errors.lock();
        let mut kind = kind.into();
        kind.truncate(kind.floor_char_boundary(MAX_ERROR_BYTES));
        let known = errors.len() < MAX_ERROR_KINDS || errors.contains_key(&kind);
        *errors.entry(if known { kind } else { "other".into() }).or_default() += 1;
    }

    /// Keeps what the first failing login was.
    pub(crate) fn login_failed(&self, why: &str, request: impl FnOnce() -> String) {
        self.failed_login.get_or_init(|| format!("{why}, in answer to {}", request()));
    }

    /// Why the first login failed that did.
    pub(crate) fn first_failed_login(&self) -> Option<&str> {
        self.failed_login.get().map(String::as_str)
    }

    /// The errors so far, by kind.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }

    /// The number of the node with this name.
    pub fn node(&self, name: &str) -> u32 {
        let mut nodes = self.nodes.lock();
        let place = nodes.iter().position(|known| known == name).unwrap_or_else(|| {
            nodes.push(name.to_owned());
            nodes.len() - 1
        });
        place as u32
    }

    /// The names of the nodes that users were on.
    pub fn nodes(&self) -> Vec<String> {
        self.nodes.lock().clone()
    }

    /// Writes an event to the history, where one is kept.
    pub fn note(&self, event: impl FnOnce() -> Event) {
        if let Some(history) = &self.history {
            history.note(self.clock.now(), event());
        }
    }

    /// Chance that is the same in every run of this plan, a different one for each `purpose`.
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// From now on nothing is sent.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub fn is_refilling(&self) -> bool {
        self.refilling.load(Ordering::Relaxed)
    }

    /// Makes a user come or go, from now on.
    pub fn wish(&self, user: &User, wish: Wish) {
        user.wish(wish, self.clock.now());
    }

    /// Records a latency of a user, here and for whoever else shows it.
    pub(super) fn record(&self, user: &User, kind: LatencyKind, micros: u64) {
        self.record_all(user, kind, &[micros]);
    }

    pub(super) fn record_all(&self, user: &User, kind: LatencyKind, micros: &[u64]) {
        self.recorder.record_all(kind, micros);
        if self.mirrors {
            user.mirror(kind, micros);
        }
    }
}

impl Control for Run {
    fn come(&self, user: u32) {
        self.wish(&self.users[user as usize], Wish::Online);
    }

    fn leave(&self, user: u32) {
        self.wish(&self.users[user as usize], Wish::Away);
    }

    fn break_off(&self, user: u32) {
        self.users[user as usize].break_off();
    }

    fn pause(&self, user: u32, paused: bool) {
        self.users[user as usize].pause(paused);
    }

    fn away(&self) -> Duration {
        Duration::from_secs_f64(self.plan.away_s)
    }

    fn random(&self) -> fastrand::Rng {
        Run::random(self, SCENARIO_CHANCE)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    async fn sleep_until(&self, at: tokio::time::Instant) -> bool {
        tokio::select! {
            () = tokio::time::sleep_until(at) => !self.is_stopping(),
            () = self.stopping.cancelled() => false,
        }
    }
}
