//! A cluster of real processes on this machine, without containers: MariaDB, Redis, nginx and some nodes.
//!
//! Everything listens on 127.0.0.1 only and ends with this process, whatever ends that. What a story does to a cluster
//! is a verb here; a verb that does not succeed panics, since the story cannot go on. A fault that can be healed is a
//! guard that heals when dropped. The nodes' configurations and logs are in a directory of the cluster's own, which is
//! kept, and named, when a test fails.

mod node;

pub use node::Node;

use crate::users::{Record, Summary, rows};
use anyhow::{Context, Result};
use parking_lot::Mutex;
use services::mariadb::Mariadb;
use services::nginx::{Nginx, PROXY_ADDRESS};
use services::redis::Redis;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::{block_in_place, spawn_blocking};

/// One database server for all clusters of this process that leave theirs alone: it takes a while to start.
static SHARED_SERVER: LazyLock<Result<Mariadb, String>> =
    LazyLock::new(|| Mariadb::start().map_err(|error| format!("{error:#}")));
/// Names each cluster's database on its server.
static DATABASES: AtomicUsize = AtomicUsize::new(1);
/// Settings that make a cluster quick to test. Hashes are cheap, since not their strength is under test; a drain that
/// waited for people would only be slow. All users are made at one address.
const QUICK: [(&str, &str); 5] = [
    ("password.memory_kib", "8"),
    ("password.iterations", "1"),
    ("limits.drain_s", "2"),
    ("limits.registrations_per_hour_per_ip", "0"),
    ("log.filter", "\"info,chat=debug\""),
];

/// Settings of a cluster to be started.
pub struct Builder {
    nodes: usize,
    is_redis_up: bool,
    has_own_server: bool,
    settings: Vec<(String, String)>,
}

/// The database server.
enum Server {
    Own(Mariadb),
    Shared(&'static Mariadb),
}

impl Server {
    /// Blocks for some seconds.
    fn start(is_own: bool) -> Result<Server> {
        if is_own {
            return Ok(Server::Own(Mariadb::start()?));
        }
        Ok(Server::Shared(SHARED_SERVER.as_ref().map_err(|error| anyhow::Error::msg(error.clone()))?))
    }

    fn get(&self) -> &Mariadb {
        match self {
            Server::Own(server) => server,
            Server::Shared(server) => server,
        }
    }

    /// For what others must not notice.
    ///
    /// # Panics
    /// If it is shared.
    fn own(&self) -> &Mariadb {
        assert!(matches!(self, Server::Own(_)), "only a cluster with a database server of its own may harm it");
        self.get()
    }

    fn own_mut(&mut self) -> &mut Mariadb {
        match self {
            Server::Own(server) => server,
            Server::Shared(_) => panic!("only a cluster with a database server of its own may harm it"),
        }
    }
}

/// A running cluster.
pub struct Cluster {
    // Nodes first: what they need is dropped after them.
    nodes: Vec<Node>,
    nginx: Nginx,
    redis: Redis,
    server: Server,
    database: String,
    directory: TempDir,
    records: Mutex<Vec<Arc<Record>>>,
}

impl Builder {
    /// How many nodes; two if not said.
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// Nobody listens where Redis is said to be, until [`Cluster::restart_redis_empty`].
    pub fn redis_down(mut self) -> Self {
        self.is_redis_up = false;
        self
    }

    /// A database server that no other cluster uses, so that it can be harmed.
    pub fn own_database_server(mut self) -> Self {
        self.has_own_server = true;
        self
    }

    /// One more setting for every node: a key of `conf/server.toml` as `section.key`, and its value as TOML.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Starts everything, and returns when every node answers. Must be called in a multi-threaded runtime, as must the
    /// cluster's verbs.
    pub async fn start(self) -> Result<Cluster> {
        let directory = tempfile::Builder::new().prefix("chat-cluster-").tempdir()?;
        let started = self.start_in(directory).await;
        started.context("the cluster does not start")
    }

    async fn start_in(self, directory: TempDir) -> Result<Cluster> {
        let database = format!("chat_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let name = database.clone();
        let server = spawn_blocking(move || {
            let server = Server::start(self.has_own_server)?;
            server.get().create_database(&name)?;
            anyhow::Ok(server)
        });
        let redis = if self.is_redis_up { Redis::start().await? } else { Redis::down()? };
        let server = server.await??;
        let urls = (server.get().url(&database), redis.url());
        let mut settings = format!("database.url = \"{}\"\nbus.url = \"{}\"\n", urls.0, urls.1);
        let is_said = |(key, value): &(String, String)| match key.as_str() {
            "listen.proxy_from" => true,
            key => key == "listen.proxy_protocol" && value == "true",
        };
        if !self.settings.iter().any(is_said) {
            settings += &format!("listen.proxy_from = \"{PROXY_ADDRESS}\"\n");
        }
        let all = QUICK.iter().map(|(key, value)| (*key, *value));
        let own = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let all = all.filter(|(key, _)| !self.settings.iter().any(|(own, _)| own == key)).chain(own);
        settings.extend(all.map(|(key, value)| format!("{key} = {value}\n")));
        let mut nodes = Vec::with_capacity(self.nodes);
        for number in 1..=self.nodes {
            nodes.push(Node::start(format!("node-{number}"), settings.clone(), directory.path()).await?);
        }
        let nginx = Nginx::start(&nodes.iter().map(Node::address).collect::<Vec<_>>()).await?;
        Ok(Cluster { nodes, nginx, redis, server, database, directory, records: Mutex::default() })
    }
}

impl Cluster {
    pub fn builder() -> Builder {
        Builder { nodes: 2, is_redis_up: true, has_own_server: false, settings: Vec::new() }
    }

    /// The one address in front of all nodes.
    pub fn address(&self) -> SocketAddr {
        self.nginx.address()
    }

    /// The `place`-th node, from 0.
    pub fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The addresses of all nodes past nginx, the `place`-th first.
    pub fn from_node(&self, place: usize) -> Vec<SocketAddr> {
        let (before, from) = self.nodes.split_at(place);
        from.iter().chain(before).map(Node::address).collect()
    }

    /// Runs a statement in the cluster's database; see [`Mariadb::execute`].
    ///
    /// # Panics
    /// If it fails, as all verbs do.
    pub fn query(&self, statement: &str) -> String {
        block_in_place(|| self.server.get().execute(&self.database, statement)).expect("the database answers")
    }
}

/// What is written down of it.
impl Cluster {
    /// A new history of what happens here; it is kept with the logs where a test fails.
    pub fn record(&self) -> Arc<Record> {
        let record = Arc::new(Record::default());
        self.records.lock().push(record.clone());
        record
    }

    /// Waits until everything has arrived, and has the checkers judge what was written down.
    ///
    /// # Panics
    /// If something does not arrive within `budget`, or a promise is broken.
    pub async fn settle(&self, record: &Record, budget: Duration) -> Summary {
        record.everything_arrives(budget).await;
        record.drained();
        let text = self.query(rows::QUERY);
        let fields = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let rows = text.lines().map(|line| rows::read(&fields(line))).collect::<Result<_>>();
        record.rows(rows.expect("rows of messages"));
        record.conclude().expect_valid()
    }
}

/// What can be done to nodes.
impl Cluster {
    /// `kill -9`.
    pub fn kill_node(&mut self, place: usize) {
        self.nodes[place].kill().expect("the node dies");
    }

    /// Starts a node that is down under its old name and waits until it answers.
    pub async fn restart_node(&mut self, place: usize) {
        self.nodes[place].spawn().expect("the node starts");
        self.nodes[place].ready().await.expect("the node answers");
    }

    /// Starts a node that is down under its old name; it may take until its last lease has ended before it answers.
    pub fn spawn_node(&mut self, place: usize) {
        self.nodes[place].spawn().expect("the node starts");
    }

    /// SIGTERM; returns when the node has drained and ended.
    pub async fn drain_node(&mut self, place: usize) -> ExitStatus {
        self.nodes[place].signal(libc::SIGTERM).expect("the node runs");
        self.nodes[place].ended().await.expect("the node ends")
    }

    /// Stops a node in its tracks until the guard is dropped: connections stay open, nothing is answered.
    pub fn pause_node(&self, place: usize) -> Paused<'_> {
        let node = &self.nodes[place];
        node.signal(libc::SIGSTOP).expect("the node runs");
        Paused { resume: Box::new(|| node.signal(libc::SIGCONT)) }
    }
}

/// What can be done to Redis and the database.
impl Cluster {
    pub fn kill_redis(&mut self) {
        self.redis.kill().expect("redis dies");
    }

    pub async fn restart_redis_empty(&mut self) {
        self.redis.restart_empty().await.expect("redis starts");
    }

    pub fn pause_redis(&self) -> Paused<'_> {
        self.redis.pause().expect("redis runs");
        Paused { resume: Box::new(|| self.redis.resume()) }
    }

    pub fn kill_database(&mut self) {
        self.server.own_mut().kill().expect("the database dies");
    }

    /// Starts the database again on its data, and returns when it answers.
    pub fn restart_database(&mut self) {
        block_in_place(|| self.server.own_mut().restart()).expect("the database starts");
    }

    pub fn pause_database(&self) -> Paused<'_> {
        let server = self.server.own();
        server.pause().expect("the database runs");
        Paused { resume: Box::new(|| server.resume()) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            for (number, record) in self.records.lock().iter().enumerate() {
                if let Err(error) =
                    record.write(&self.directory.path().join(format!("history-{}.jsonl.zst", number + 1)))
                {
                    eprintln!("cannot keep a history: {error:#}");
                }
            }
            eprintln!("histories, and the nodes' logs and configurations, are in {}", self.directory.path().display());
        }
    }
}

/// A process that stands still, until this is dropped.
pub struct Paused<'a> {
    resume: Box<dyn Fn() -> Result<()> + Send + 'a>,
}

impl Paused<'_> {
    /// Lets it go on, with all that was sent to it meanwhile.
    pub fn resume(self) {}
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(error) = (self.resume)() {
            eprintln!("cannot resume a paused process: {error:#}");
        }
    }
}
