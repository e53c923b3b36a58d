//! A Galera cluster of a test's own.

use chat::cluster::NodeKey;
use chat::config;
use chat::storage::{self, Append, Appended, Befriended, Storage};
use chat_protocol::conversation::{Conversation, UserId};
use services::galera::Galera;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use uuid::Uuid;

pub const MEMBERS: usize = 3;
pub const DATABASE: &str = "chat_test";
/// Budget for what should become true by itself.
pub const SOON: Duration = Duration::from_secs(30);
/// What the tests append at.
const NOW: i64 = 1_700_000_000_123;

static NOBODY: LazyLock<NodeKey> = LazyLock::new(|| NodeKey { id: "nobody".into(), boot: 1 });

pub fn cluster() -> Galera {
    let cluster = Galera::start(MEMBERS).expect("Galera should start");
    cluster.create_database(DATABASE).expect("a database is made");
    cluster
}

pub async fn open(url: String) -> Arc<dyn Storage> {
    let config = config::Database { url, timeout_ms: 5_000, ..Default::default() };
    storage::open(&config).await.expect("the database opens")
}

/// One that uses each member, and no other.
pub async fn open_at_each(cluster: &Galera) -> Vec<Arc<dyn Storage>> {
    let mut storages = Vec::new();
    for member in 0..MEMBERS {
        storages.push(open(cluster.url_of(member, DATABASE)).await);
    }
    storages
}

/// The place in the list of the server in use.
pub fn used(storage: &Arc<dyn Storage>) -> Option<usize> {
    storage.servers().iter().position(|server| server.is_used)
}

pub async fn user(storage: &Arc<dyn Storage>, name: &str) -> UserId {
    storage.register(name, "hash").await.expect("registering works").expect("the name is free")
}

pub async fn two_friends(storage: &Arc<dyn Storage>) -> (UserId, UserId, Conversation) {
    let (one, other) = (user(storage, "zhang san").await, user(storage, "li si").await);
    let added = storage.add_friend(&one.into(), other).await.expect("adding a friend works");
    assert!(matches!(added, Befriended::Done(_)), "{added:?}");
    (one, other, Conversation::direct(one, other))
}

pub fn text(conv: Conversation, sender: UserId, msg: &str) -> Append {
    Append::new(conv, sender, Uuid::now_v7(), msg)
}

/// The seq under which a message is acknowledged; `None` where it is not, or nobody knows.
pub async fn try_say(storage: &Arc<dyn Storage>, message: &Append) -> Option<u64> {
    let appended = storage.append(&NOBODY, std::slice::from_ref(message), NOW, &|| true).await.ok()?;
    match appended.outcomes[..] {
        [Appended::Stored { seq, .. } | Appended::Duplicate { seq, .. }] => Some(seq),
        [Appended::Blocked] => None,
        ref other => panic!("{other:?}"),
    }
}

/// Says it as a client does: again until it is acknowledged.
pub async fn say(storage: &Arc<dyn Storage>, message: &Append) -> u64 {
    services::eventually(SOON, "a message is acknowledged", async || try_say(storage, message).await).await
}

/// All that was said, by seq.
pub async fn log(storage: &Arc<dyn Storage>, conv: Conversation) -> Vec<(u64, Uuid)> {
    let page = storage.messages_after(conv, 0, 10_000, usize::MAX).await.expect("reading works");
    page.messages.iter().map(|message| (message.seq, message.mid)).collect()
}
