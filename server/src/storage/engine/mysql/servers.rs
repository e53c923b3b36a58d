//! The servers of `database.url`, and the connections to the one in use.
//!
//! A task a server looks at it twice a second, and at once where somebody doubts it. [`Choice`] says which is used. To
//! use one means a pool of connections to it, a [`Term`]; with its end all that is under way over them ends, unless the
//! node only goes back to a server that it prefers: then what is under way is finished where it is.

use super::acquired::Acquired;
use super::choice::Choice;
use super::connect::{Connector, Purpose};
use super::watch::{Look, Watcher};
use crate::storage::engine::Result;
use crate::storage::{Error, ServerState};
use chat_environment::{Died, Tasks};
use deadpool::managed::{Pool, QueueMode};
use parking_lot::Mutex;
use sqlx::mysql::MySqlConnectOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks at a server that nobody doubts.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks however much it is doubted.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);
/// Between two tries to get a connection from a server in use that gives none.
const CONNECT_RETRY: Duration = Duration::from_millis(50);
/// Connections kept apart for the lease.
const RESERVED: usize = 2;

/// What a connection is wanted for: anything, or the node's lease, for which some are kept apart.
#[derive(Clone, Copy)]
pub enum Use {
    Any,
    Lease,
}

/// One of the list.
pub struct Server {
    /// `host:port`, for people.
    pub place: String,
    pub options: MySqlConnectOptions,
    doubt: Arc<Notify>,
    /// Product and version, once it has been used.
    version: Mutex<Option<String>>,
}

impl Server {
    pub fn new(place: String, options: MySqlConnectOptions) -> Self {
        Server { place, options, doubt: Arc::default(), version: Mutex::default() }
    }
}

/// A stretch of time in which one server is used.
struct Term {
    server: usize,
    all: Pool<Connector>,
    reserved: Pool<Connector>,
    /// Nothing is begun over its connections any more, and what is under way ends.
    left: CancellationToken,
}

struct Shared {
    servers: Vec<Server>,
    purpose: Purpose,
    connections: usize,
    choice: Mutex<Choice>,
    term: watch::Sender<Option<Arc<Term>>>,
    changes: AtomicU64,
}

/// The watching ends when this is dropped.
pub struct Servers {
    shared: Arc<Shared>,
    watching: Vec<JoinHandle<std::result::Result<(), Died>>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}

impl Servers {
    pub fn watch(servers: Vec<Server>, purpose: Purpose, connections: u32, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared {
            choice: Mutex::new(Choice::new(servers.len())),
            servers,
            purpose,
            connections: connections.max(1) as usize,
            term: watch::Sender::new(None),
            changes: AtomicU64::new(0),
        });
        let watch = |at| tasks.spawn("watching a database server", shared.clone().watch(at));
        let watching = (0..shared.servers.len()).map(watch).collect();
        Servers { shared, watching }
    }

    /// A connection to the server in use, when there is one.
    pub async fn acquire(&self, wanted_for: Use, within: Duration) -> Result<Acquired> {
        let mut refusal = None;
        let acquiring = async {
            let mut terms = self.shared.term.subscribe();
            loop {
                let term = terms.borrow_and_update().clone();
                match term {
                    Some(term) => match term.acquire(wanted_for).await {
                        Ok(acquired) => return acquired,
                        Err(why) => {
                            refusal = Some(format!("{}: {why}", self.shared.servers[term.server].place));
                            self.shared.follow(&term);
                        }
                    },
                    None => drop(terms.wait_for(Option::is_some).await),
                }
            }
        };
        let acquired = tokio::time::timeout(within, acquiring).await;
        Ok(acquired.map_err(|_| Error::Unavailable(refusal.unwrap_or_else(|| self.troubles())))?)
    }

    pub fn states(&self) -> Vec<ServerState> {
        let used = self.shared.term.borrow().as_ref().map(|term| term.server);
        let choice = self.shared.choice.lock();
        let state = |(at, server): (usize, &Server)| ServerState {
            place: server.place.clone(),
            is_used: used == Some(at),
            trouble: choice.trouble(at).map(str::to_owned),
        };
        self.shared.servers.iter().enumerate().map(state).collect()
    }

    /// How often another server has been used than before, or none.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// Product and version of the server in use.
    pub fn version(&self) -> Option<String> {
        let used = self.shared.term.borrow().as_ref().map(|term| term.server)?;
        self.shared.servers.get(used)?.version.lock().clone()
    }

    /// Why no server is used, or the one in use gives no connection.
    fn troubles(&self) -> String {
        let states = self.states();
        if let Some(used) = states.iter().find(|server| server.is_used) {
            return format!("{}: no connection is free", used.place);
        }
        let trouble = |server: ServerState| Some(format!("{}: {}", server.place, server.trouble?));
        states.into_iter().filter_map(trouble).collect::<Vec<_>>().join("; ")
    }
}

impl Term {
    async fn acquire(&self, wanted_for: Use) -> std::result::Result<Acquired, String> {
        let pool = match wanted_for {
            Use::Any => &self.all,
            Use::Lease => &self.reserved,
        };
        tokio::select! {
            biased;
            () = self.left.cancelled() => Err("not used any more".into()),
            object = pool.get() => match object {
                Ok(object) => Ok(Acquired::new(object, pool.clone())),
                Err(error) => {
                    tokio::time::sleep(CONNECT_RETRY).await;
                    Err(error.to_string())
                }
            },
        }
    }
}

impl Shared {
    async fn watch(self: Arc<Self>, at: usize) {
        let server = &self.servers[at];
        let mut watcher = Watcher::new(server.options.clone(), self.purpose);
        loop {
            let asked_at = Instant::now();
            let look = watcher.look().await;
            self.note(at, look, asked_at);
            if self.is_used(at) && server.version.lock().is_none() {
                self.introduce(at, &mut watcher).await;
            }
            let _ = tokio::time::timeout(LOOK_INTERVAL, server.doubt.notified()).await;
            tokio::time::sleep(LEAST_INTERVAL).await;
        }
    }

    fn note(&self, at: usize, look: Look, asked_at: Instant) {
        let mut choice = self.choice.lock();
        choice.note(at, look.seen, asked_at);
        let used = self.term.borrow().as_ref().map(|term| term.server);
        let next = choice.decide(Instant::now());
        if next != used {
            self.change(&choice, used, next);
        } else if look.moved && next == Some(at) {
            self.begin(at);
        }
    }

    fn change(&self, choice: &Choice, used: Option<usize>, next: Option<usize>) {
        let place = |at: Option<usize>| at.map_or("none", |at| &self.servers[at].place);
        let trouble = used.and_then(|used| choice.trouble(used));
        match (used, next, trouble) {
            (None, ..) => tracing::info!(server = place(next), "this database server is used"),
            (_, _, Some(why)) => {
                tracing::warn!(server = place(next), left = place(used), why, "another database server is used");
            }
            (_, _, None) => {
                tracing::info!(server = place(next), left = place(used), "the preferred database server is used again");
            }
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        let left = match next {
            Some(next) => self.begin_term(next),
            None => self.term.send_replace(None),
        };
        if let Some(left) = left {
            left.end(trouble.is_some());
        }
    }

    /// The same server over other connections.
    fn begin(&self, at: usize) {
        if let Some(left) = self.begin_term(at) {
            left.end(true);
        }
    }

    fn begin_term(&self, server: usize) -> Option<Arc<Term>> {
        let left = CancellationToken::new();
        let pool = |size| {
            let connector = Connector {
                options: self.servers[server].options.clone(),
                purpose: self.purpose,
                doubt: self.servers[server].doubt.clone(),
                left: left.clone(),
            };
            Pool::builder(connector).max_size(size).queue_mode(QueueMode::Lifo).build().expect("no time limits are set")
        };
        let (all, reserved) = (pool(self.connections), pool(RESERVED));
        self.term.send_replace(Some(Arc::new(Term { server, all, reserved, left })))
    }

    /// Where the connections of the term in use are of no use any more, others follow.
    fn follow(&self, term: &Arc<Term>) {
        let _choosing = self.choice.lock();
        let is_current = self.term.borrow().as_ref().is_some_and(|current| Arc::ptr_eq(current, term));
        if is_current && term.left.is_cancelled() {
            self.begin(term.server);
        }
    }

    fn is_used(&self, at: usize) -> bool {
        self.term.borrow().as_ref().is_some_and(|term| term.server == at)
    }

    /// Learns what the server is, and warns of what could lose messages there.
    async fn introduce(&self, at: usize, watcher: &mut Watcher) {
        let server = &self.servers[at];
        let Some((version, warnings)) = watcher.introduction(self.servers.len()).await else { return };
        for warning in warnings {
            tracing::warn!(server = server.place, "{warning}");
        }
        *server.version.lock() = Some(version);
    }
}

impl Term {
    fn end(&self, cuts_off: bool) {
        self.all.close();
        self.reserved.close();
        if cuts_off {
            self.left.cancel();
        }
    }
}
