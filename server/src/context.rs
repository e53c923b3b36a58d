//! What the parts of one node share.
//!
//! Everything here is usable from any task. The parts themselves are in the files they are named after.

use crate::auth::buckets::Buckets;
use crate::auth::login_limit::LoginLimit;
use crate::auth::origin::Origin;
use crate::auth::password::PasswordHasher;
use crate::auth::token::TokenKey;
use crate::bus::{Bus, Item};
use crate::cluster::{NodeId, NodeKey};
use crate::config::Config;
use crate::config::limits::{KEPT_ORIGINS, REGISTRATIONS_WINDOW};
use crate::delivery::commit::Writers;
use crate::delivery::doubts::Doubts;
use crate::delivery::members::Audiences;
use crate::delivery::relay::Relays;
use crate::delivery::routes::Routes;
use crate::membership::lease::Lease;
use crate::membership::tidy::Tidier;
use crate::membership::watch::Watch;
use crate::session::Session;
use crate::session::catch_up::CatchUp;
use crate::session::claims::{Released, Seats};
use crate::session::cursor_saver::Marks;
use crate::session::log_ends::Ends;
use crate::session::outbound::Outbound;
use crate::session::pace::Paces;
use crate::session::registry::Registry;
use crate::shutdown::Shutdown;
use crate::storage::{self, Storage};
use crate::telemetry::metrics::Metrics;
use chat_environment::Tasks;
use chat_protocol::conversation::Conversation;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, Semaphore};

pub struct Core {
    pub key: NodeKey,
    pub config: Config,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,
    pub registry: Registry,
    pub audiences: Arc<Audiences>,
    /// How far logs have got.
    pub ends: Arc<Ends>,
    pub routes: Routes,
    pub writers: Writers,
    pub relays: Relays,
    pub catch_up: CatchUp,
    pub doubts: Doubts,
    pub marks: Marks,
    pub seats: Seats,
    pub lease: Arc<Lease>,
    /// Which other nodes live.
    pub watch: Watch,
    pub passwords: PasswordHasher,
    pub token_key: TokenKey,
    pub login_limit: LoginLimit,
    pub paces: Paces,
    pub registrations: Buckets<Origin>,
    pub metrics: Arc<Metrics>,
    pub shutdown: Shutdown,
    pub tasks: Tasks,
    pub tidier: Tidier,
    /// Told when another node has given up a session that a login here waits for.
    pub yielded: Notify,
    /// Asks for a look into the log at once.
    pub sweep_now: Notify,
    /// Has the next look be at every session's conversations.
    pub sweep_all: AtomicBool,
    /// Bounds background work that is only best effort: EVENTs, and saying why a relay is refused.
    pub errands: Arc<Semaphore>,
    /// The same for telling friends of logins and logouts, which must not get in the way of these.
    pub presence_errands: Arc<Semaphore>,
    /// Whether the latest renewal of the lease got an answer: part of readiness.
    pub database_answers: AtomicBool,
    peers: Mutex<Arc<[NodeId]>>,
    /// Held while sessions are suspended or resumed, so that one does not pass the other by.
    suspended: Mutex<bool>,
}

/// Background tasks at once; beyond it an EVENT is not told, and a refusal says errno 11 instead of why.
const ERRANDS: usize = 256;
const PRESENCE_ERRANDS: usize = 4;

/// What [`Core::new`] cannot make itself.
pub struct Parts {
    pub key: NodeKey,
    pub config: Config,
    pub storage: Arc<dyn Storage>,
    pub bus: Arc<dyn Bus>,
    pub audiences: Arc<Audiences>,
    pub ends: Arc<Ends>,
    pub writers: Writers,
    pub relays: Relays,
    pub catch_up: CatchUp,
    pub lease: Arc<Lease>,
    pub passwords: PasswordHasher,
    pub token_key: TokenKey,
    pub metrics: Arc<Metrics>,
    pub shutdown: Shutdown,
    pub tasks: Tasks,
}

impl Core {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            key,
            config,
            storage,
            bus,
            audiences,
            ends,
            writers,
            relays,
            catch_up,
            lease,
            passwords,
            token_key,
            metrics,
            shutdown,
            tasks,
        } = parts;
        let registrations = config.limits.registrations_per_hour_per_ip;
        Core {
            routes: Routes::new(storage.clone()),
            seats: Seats::start(&tasks, storage.clone(), key.clone()),
            passwords,
            login_limit: LoginLimit::new(&config.limits),
            paces: Paces::default(),
            registrations: Buckets::new(registrations, REGISTRATIONS_WINDOW, KEPT_ORIGINS),
            registry: Registry::default(),
            doubts: Doubts::default(),
            marks: Marks::default(),
            watch: Watch::default(),
            tidier: Tidier::default(),
            yielded: Notify::new(),
            sweep_now: Notify::new(),
            sweep_all: AtomicBool::new(false),
            errands: Arc::new(Semaphore::new(ERRANDS)),
            presence_errands: Arc::new(Semaphore::new(PRESENCE_ERRANDS)),
            database_answers: AtomicBool::new(true),
            peers: Mutex::new(Arc::from([])),
            suspended: Mutex::new(false),
            key,
            config,
            storage,
            bus,
            audiences,
            ends,
            writers,
            relays,
            catch_up,
            lease,
            token_key,
            metrics,
            shutdown,
            tasks,
        }
    }

    /// The other live nodes.
    pub fn peers(&self) -> Arc<[NodeId]> {
        self.peers.lock().clone()
    }

    pub fn set_peers(&self, peers: Vec<NodeId>) {
        self.audiences.pulse.set_peers(&peers, tokio::time::Instant::now());
        *self.peers.lock() = peers.into();
    }

    pub fn tell_peers(&self, item: impl Fn() -> Item) {
        for peer in self.peers().iter() {
            self.bus.send(peer, item());
        }
    }

    /// A conversation's members or openness changed: everyone reads them again. Returns the version they are at now. An
    /// error: only this node knows that it knows nothing.
    pub async fn audience_changed(&self, conv: Conversation) -> storage::Result<Option<u64>> {
        self.audiences.doubt(conv);
        let version = self.audiences.load(conv).await?.map(|audience| audience.version);
        if let Some(version) = version {
            self.tell_peers(|| Item::Changed { conv, version });
        }
        Ok(version)
    }

    /// LOGIN_ACK is queued: makes the session live.
    pub fn go_live(&self, session: &Arc<Session>) {
        let suspended = self.suspended.lock();
        let behind = session.go_live();
        if *suspended {
            // The lease ran out between the login and now.
            session.suspend();
        }
        drop(suspended);
        self.catch_up.request_all(session, behind);
    }

    /// The session's queue has room again.
    pub fn resume(&self, session: &Arc<Session>) {
        self.catch_up.request_all(session, session.resume_stalled());
    }

    /// Ends a session: nothing more is pushed, its cursors are saved, its row is freed. Where the database does not let
    /// that happen now it happens later; until then the session stands in the way of a new login of its user.
    pub async fn end_session(self: &Arc<Self>, session: &Arc<Session>) {
        if !session.has_ended() {
            self.metrics.sessions.dec();
        }
        let marks = session.end();
        match self.seats.release(session.release(), marks).await {
            Released::Done => self.session_released(session),
            Released::Later(done) => {
                let (core, session) = (self.clone(), session.clone());
                self.tasks.spawn_short("freeing a session", async move {
                    let _ = done.await;
                    core.session_released(&session);
                });
            }
        }
        crate::service::events::presence(self, session, false);
    }

    fn session_released(&self, session: &Session) {
        // Only now: until its cursors are saved, a new login of the user waits for this session.
        self.registry.remove(session);
        session.released();
        if session.is_yielding() {
            self.tell_peers(|| Item::Yielded { user: session.user });
        }
    }

    /// A connection's task has panicked. Its session, also one whose login was under way, ends as if the connection had
    /// closed.
    pub async fn clean_up_after(self: &Arc<Self>, outbound: &Arc<Outbound>) {
        outbound.abandon();
        for session in self.registry.all().iter().filter(|session| session.is_on(outbound)) {
            self.end_session(session).await;
        }
    }

    /// Asks for a look at every session's conversations at once.
    pub fn sweep_everything(&self) {
        self.sweep_all.store(true, Ordering::Release);
        self.sweep_now.notify_one();
    }

    /// Stops pushing while the lease does not hold. True if it does not.
    pub fn suspend_unless_leased(&self) -> bool {
        if self.lease.is_held() {
            return false;
        }
        self.suspend();
        true
    }

    /// Stops pushing, until [`Core::resume_all`].
    pub fn suspend(&self) {
        let mut suspended = self.suspended.lock();
        if !std::mem::replace(&mut *suspended, true) {
            tracing::warn!("the lease is in doubt: sessions are suspended");
            for session in self.registry.all() {
                session.suspend();
            }
        }
    }

    pub fn is_suspended(&self) -> bool {
        *self.suspended.lock()
    }

    /// The lease holds again: sessions go on, but for those that are closing.
    pub fn resume_all(&self) {
        let mut suspended = self.suspended.lock();
        *suspended = false;
        for session in self.registry.all().iter().filter(|session| !session.is_closing()) {
            self.catch_up.request_all(session, session.resume());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Database, Listen, Password};
    use crate::node::Node;
    use crate::session::outbound::Outbound;
    use chat_protocol::codec::Codec;
    use chat_protocol::dialect::Dialect;
    use chat_protocol::message::Event;

    #[tokio::test]
    async fn lease_that_returns_starts_no_session_whose_login_is_not_answered() {
        let config = Config {
            listen: Listen { host: "127.0.0.1".into(), port: 0, ..Listen::default() },
            database: Database { url: "sqlite::memory:".into(), ..Database::default() },
            password: Password { memory_kib: 8, iterations: 1, ..Password::default() },
            ..Config::default()
        };
        let node = Node::start(config).await.expect("a node starts");
        let core = node.core();
        let outbound = Arc::new(Outbound::new(65_536, core.metrics.clone()));
        outbound.speak(Codec::new(Dialect::Framed, 65_536));
        let session = Arc::new(Session::new(1, "ann".into(), 1, true, true, outbound.clone()));
        let event = Event::FriendRemoved { id: 2, name: "bob".into() };
        core.registry.insert(session.clone());

        session.suspend();
        core.resume_all();
        session.tell(&event);
        assert_eq!(outbound.queued_bytes(), 0, "nothing goes before LOGIN_ACK");

        core.go_live(&session);
        session.tell(&event);
        assert!(outbound.queued_bytes() > 0);
    }
}
