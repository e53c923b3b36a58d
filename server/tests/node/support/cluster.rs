//! Embedded nodes on one database, and the users in it.

use super::{BUDGET, PASSWORD, Peer, eventually, json};
use chat::bus;
use chat::bus::local::LocalHub;
use chat::cluster::{ClusterSecret, NodeKey};
use chat::config::{Config, Database};
use chat::net::entrance::{Entrance, Port};
use chat::node::{Embedded, Node, Surroundings};
use chat::shutdown::Shutdown;
use chat::storage::{self, Claim, Claimed, NodeStart, Storage};
use chat_environment::Environment;
use services::redis::Redis;
use sqlx::Connection as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Some nodes that share what they store. They stop with the runtime of their test.
pub struct Cluster {
    pub storage: Arc<dyn Storage>,
    nodes: Vec<Node>,
}

/// Settings for tests: any port, the cheapest passwords there are, and looks into the log every second.
pub fn make_cheap(config: &mut Config) {
    config.listen.host = "127.0.0.1".into();
    config.listen.port = 0;
    config.password.memory_kib = 8;
    config.password.iterations = 1;
    config.limits.repair_interval_s = 1;
    config.limits.drain_s = 2;
    config.limits.close_linger_ms = 200;
}

/// A database of its own in memory.
pub async fn database() -> Arc<dyn Storage> {
    open("sqlite::memory:".into()).await
}

/// The database in the file `chat.db` of a directory, made if it is not there.
pub async fn database_in(directory: &Path) -> Arc<dyn Storage> {
    open(format!("sqlite:{}", directory.join("chat.db").display())).await
}

/// Changes rows of that database behind the nodes' backs; at least one.
pub async fn change(directory: &Path, sql: &str) {
    let url = format!("sqlite:{}", directory.join("chat.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("SQLite opens");
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("SQLite changes them");
    assert!(done.rows_affected() > 0);
}

async fn open(url: String) -> Arc<dyn Storage> {
    storage::open(&Database { url, ..Database::default() }).await.expect("SQLite opens")
}

pub async fn start_node(name: &str, storage: &Arc<dyn Storage>, hub: &LocalHub, set: impl Fn(&mut Config)) -> Node {
    let mut config = Config::default();
    make_cheap(&mut config);
    config.node.id = name.into();
    set(&mut config);
    let embedded = Embedded { storage: storage.clone(), hub: hub.clone() };
    Node::start_embedded(config, &embedded).await.expect("the node starts")
}

/// The same on Redis, in the place of a bus inside this process.
pub async fn start_node_over(
    redis: &[&Redis],
    name: &str,
    storage: &Arc<dyn Storage>,
    set: impl Fn(&mut Config),
) -> Node {
    let mut config = Config::default();
    make_cheap(&mut config);
    set(&mut config);
    let urls: Vec<String> = redis.iter().map(|redis| redis.url()).collect();
    config.bus.url = urls.join(",");
    let environment = Environment::default();
    let key = NodeKey { id: name.into(), boot: environment.clock.now_us() };
    let secret = ClusterSecret(storage.token_key().await.expect("the cluster's secret"));
    let (bus, arrivals) = bus::redis::connect(&config.bus, &key, &secret, &environment).expect("good settings");
    let port = Port::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let (storage, entrance) = (storage.clone(), Entrance::Port(port));
    let surroundings = Surroundings { key, environment, storage, bus, arrivals, entrance };
    Node::start_in(config, surroundings, Shutdown::new()).await.expect("the node starts")
}

/// What a node has counted in a series.
pub fn count(node: &Node, series: &str) -> u64 {
    let all = node.metrics().encode();
    let line = all.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a counter")
}

/// The node as its peers see it.
pub async fn seen(storage: &Arc<dyn Storage>, node: &Node) -> storage::Peer {
    let observer = NodeKey { id: "observer".into(), boot: 1 };
    let live = storage.renew_lease(&observer, false).await.expect("renews").live;
    live.into_iter().find(|peer| peer.key.id == *node.id()).expect("it lives")
}

impl Cluster {
    /// Two nodes, `a` and `b`, with Redis between them.
    pub async fn two_over(redis: &Redis, set: impl Fn(&mut Config)) -> Cluster {
        let storage = database().await;
        let mut nodes = Vec::new();
        for name in ["a", "b"] {
            nodes.push(start_node_over(&[redis], name, &storage, &set).await);
        }
        Cluster { storage, nodes }
    }

    pub async fn one() -> Cluster {
        Cluster::of(1, |_| {}).await
    }

    pub async fn two() -> Cluster {
        Cluster::of(2, |_| {}).await
    }

    /// So many nodes, named `a`, `b` and so on, that know each other.
    pub async fn of(count: usize, set: impl Fn(&mut Config)) -> Cluster {
        let hub = LocalHub::default();
        Cluster::start(database().await, count, |_| hub.clone(), set).await
    }

    /// One node on this database.
    pub async fn on(storage: Arc<dyn Storage>, set: impl Fn(&mut Config)) -> Cluster {
        Cluster::start(storage, 1, |_| LocalHub::default(), set).await
    }

    /// Two nodes whose bus loses everything: each has one to itself.
    pub async fn two_without_a_bus() -> Cluster {
        Cluster::two_without_a_bus_and(|_| {}).await
    }

    pub async fn two_without_a_bus_and(set: impl Fn(&mut Config)) -> Cluster {
        Cluster::start(database().await, 2, |_| LocalHub::default(), set).await
    }

    async fn start(
        storage: Arc<dyn Storage>,
        count: usize,
        hub: impl Fn(usize) -> LocalHub,
        set: impl Fn(&mut Config),
    ) -> Cluster {
        let mut nodes = Vec::new();
        for place in 0..count {
            let name = char::from(b'a' + place as u8).to_string();
            nodes.push(start_node(&name, &storage, &hub(place), &set).await);
        }
        Cluster { storage, nodes }
    }

    pub fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    pub fn address(&self, place: usize) -> SocketAddr {
        self.nodes[place].address()
    }

    /// Takes a node out of the cluster, to be stopped.
    pub fn take(&mut self, place: usize) -> Node {
        self.nodes.remove(place)
    }

    /// What the first node has counted in a series.
    pub fn count(&self, series: &str) -> u64 {
        count(self.node(0), series)
    }

    /// A node that only the test speaks for has the user's session.
    pub async fn held_by(&self, node: &str, user: u64) -> NodeKey {
        let key = NodeKey { id: node.into(), boot: 1 };
        assert_eq!(self.storage.start_node(&key).await.expect("starts"), NodeStart::Ready);
        let claims = [Claim { user, takeover: None, token_generation: None }];
        let won = self.storage.claim_sessions(&key, &claims).await.expect("claims");
        assert!(matches!(won[0], Claimed::Won { .. }), "{won:?}");
        key
    }

    /// A connection to the first node that has not logged in.
    pub async fn connect(&self) -> Peer {
        Peer::connect(self.address(0)).await
    }

    /// A new account with [`PASSWORD`]; returns its id.
    pub async fn account(&self, name: &str) -> u64 {
        let ack = self.connect().await.done(json!({"msgid": 4, "name": name, "password": PASSWORD})).await;
        ack["id"].as_u64().expect("an id")
    }

    /// A new account, logged in on the first node.
    pub async fn user(&self, name: &str) -> Peer {
        self.user_on(0, name).await
    }

    pub async fn user_on(&self, place: usize, name: &str) -> Peer {
        self.account(name).await;
        self.login_on(place, name).await
    }

    /// An existing account, logged in on the first node.
    pub async fn login(&self, name: &str) -> Peer {
        self.login_on(0, name).await
    }

    /// The same as a client that wants EVENTs.
    pub async fn login_for_events(&self, name: &str) -> Peer {
        let mut peer = self.connect().await;
        peer.login_for_events(name).await;
        peer
    }

    pub async fn login_on(&self, place: usize, name: &str) -> Peer {
        let mut peer = Peer::connect(self.address(place)).await;
        peer.login(name).await;
        peer
    }

    /// Ann and Bob, friends, on the first node.
    pub async fn friends(&self) -> (Peer, Peer) {
        self.friends_on(0, 0).await
    }

    /// Ann and Bob, friends, on the nodes named.
    pub async fn friends_on(&self, anns: usize, bobs: usize) -> (Peer, Peer) {
        let (mut ann, bob) = (self.user_on(anns, "ann").await, self.user_on(bobs, "bob").await);
        ann.befriend(bob.id).await;
        (ann, bob)
    }

    /// Ann's friend Bob, who has never logged in.
    pub async fn friend_offline(&self) -> (Peer, u64) {
        let mut ann = self.user("ann").await;
        let bob = self.account("bob").await;
        ann.befriend(bob).await;
        (ann, bob)
    }

    /// Waits until the user has no session any more.
    pub async fn gone(&self, user: u64) {
        eventually(BUDGET, "the session is released", async || {
            self.storage.routes(&[user]).await.expect("routes").is_empty().then_some(())
        })
        .await;
    }
}
