//! One run: what all its users, the driver and the report have in common, and its course from set-up to outcome.

pub mod open_files;
pub mod progress;

mod last_login;
mod phases;
mod retries;
mod sending;
mod setup;
mod usage;
mod watch;

pub use phases::{Error, execute, execute_over};
pub(crate) use retries::{Again, Retries, Retry};

use crate::dialect::Wire;
use crate::link::Dialer;
use crate::measure::ledger::{Copies, Ledger};
use crate::measure::recorder::Recorder;
use crate::plan::{Driver, Plan};
use crate::user::User;
use crate::user::window::Windows;
use crate::world::{Audience, World};
use chat_protocol::conversation::Target;
use judge::clock::Clock;
use judge::history::{Event, History};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Kinds of errors that are told apart; further ones count as `other`.
const MAX_ERROR_KINDS: usize = 64;
/// Of a server's own words no more is kept.
const MAX_ERROR_BYTES: usize = 512;
/// A node that nobody knows the name of.
pub const NO_NODE: u32 = u32::MAX;

/// What the parts of one run share.
pub struct Run {
    pub plan: Plan,
    pub world: World,
    pub clock: Clock,
    /// Tells this run's messages from those of others on the same accounts.
    pub id: u32,
    pub wire: Arc<dyn Wire>,
    pub dialer: Dialer,
    pub users: Vec<Arc<User>>,
    pub ledger: Ledger,
    /// Where nothing is acknowledged.
    pub(crate) windows: Option<Windows>,
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
        let world = World::new(&plan);
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
        Run {
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

    /// What the server calls the audience of a stream.
    pub fn target(&self, stream: u32) -> Target {
        match self.world.streams[stream as usize].to {
            Audience::Friend(friend) => Target::User(self.users[friend as usize].id()),
            Audience::Group(group) => Target::Group(self.group_ids[group as usize].load(Ordering::Relaxed)),
        }
    }

    /// Whether any recipient of a stream is not connected.
    pub(crate) fn is_anybody_away(&self, stream: u32) -> bool {
        let is_away = |user: u32| !self.users[user as usize].is_online();
        match self.world.streams[stream as usize].to {
            Audience::Friend(friend) => is_away(friend),
            Audience::Group(group) => self.world.groups[group as usize].members.iter().any(|user| is_away(*user)),
        }
    }

    /// A message has reached everybody it is for, and makes room for the next, where nothing else tells.
    pub(crate) fn make_room(&self, stream: u32, number: u64, now: u64) {
        let Some(windows) = &self.windows else { return };
        windows.arrived(stream, number);
        self.refill(stream, now, 1);
        self.users[self.world.streams[stream as usize].sender as usize].send_waiting(self, stream);
    }

    /// Messages that are due and wait for room in a window.
    pub fn waiting(&self) -> u64 {
        self.windows.as_ref().map_or(0, Windows::waiting)
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

    /// Waits until then; false if the run stops before.
    pub async fn sleep_until(&self, at: tokio::time::Instant) -> bool {
        tokio::select! {
            () = tokio::time::sleep_until(at) => !self.is_stopping(),
            () = self.stopping.cancelled() => false,
        }
    }

    /// Closed model: `count` messages of the stream have settled at `now`, so as many may go.
    pub(crate) fn refill(&self, stream: u32, now: u64, count: u64) {
        if count > 0 && self.is_refilling() {
            let sender = &self.users[self.world.streams[stream as usize].sender as usize];
            sender.send_all(self, stream, now, count);
        }
    }
}
