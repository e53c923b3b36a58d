//! What a cluster must not lose: accounts, friends, groups, conversations, cursors, sessions and leases.
//!
//! One trait, a file per backend, one shared test suite. A conversation is an append-only log with a cursor per member,
//! so "offline" is a comparison (`seq > received_seq`) and nothing is ever read-then-deleted. `sqlx` stays in here.
//!
//! Lock order in every transaction: conversation ascending, then member ascending, then session, then user.

pub mod migrate;
mod mysql;
mod sql;
mod sqlite;

use crate::cluster::{NodeId, NodeKey};
use crate::config;
use crate::protocol::conversation::{Conversation, GroupId, UserId};
use crate::protocol::message::{ChatMessage, Friend, Group, GroupPage, SentAs, TimeMs, Who};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long opening may take: another node may be making the tables. Past it the start fails as unavailable.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens the database that `database.url` names, and makes its tables if it has none.
///
/// Errors: [`Error::Unusable`] for a URL or a database that is not for us, [`Error::Unavailable`] where waiting may help.
pub async fn open(database: &config::Database) -> Result<Arc<dyn Storage>> {
    let timeout = Duration::from_millis(database.timeout_ms);
    let opening = async {
        let engine = open_engine(database, timeout).await?;
        sql::SqlStorage::open(engine, timeout).await
    };
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(storage) => Ok(Arc::new(storage?)),
        Err(_) => Err(Error::Unavailable(format!("the database did not open within {} s", OPEN_TIMEOUT.as_secs()))),
    }
}

async fn open_engine(database: &config::Database, timeout: Duration) -> Result<Box<dyn sql::executor::Engine>> {
    match database.url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Box::new(sqlite::Sqlite::open(&database.url).await?)),
        Some("mysql" | "mariadb") => {
            Ok(Box::new(mysql::Mysql::open(&database.url, database.connections, timeout).await?))
        }
        _ => Err(Error::Unusable(format!(
            "database.url should be sqlite:PATH or mysql://user:password@host:port/database, not {:?}",
            without_password(&database.url)
        ))),
    }
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, place)) => format!("…@{place}"),
        None => url.to_owned(),
    }
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of reach, too slow, or the outcome is unknown: answer errno 11; the client sends again with the same mid.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// This node's lease ran out before COMMIT; nothing was written. Answer errno 11.
    #[error("the node's lease ran out before the commit")]
    LeaseLost,
    /// Another process runs under this node's name: stop.
    #[error("another node runs under the name {0}")]
    NodeReplaced(NodeId),
    /// The database is not one of ours, or its settings cannot be used: stop, and show the text.
    #[error("{0}")]
    Unusable(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Asked directly before COMMIT: whether this node's lease still holds.
pub type Fence<'a> = &'a (dyn Fn() -> bool + Send + Sync);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: UserId,
    pub name: String,
    /// An argon2 hash in PHC format.
    pub password: String,
    /// Bumped to end all of the user's tokens.
    pub token_generation: u64,
}

/// A request for the one session that a user may have.
#[derive(Clone)]
pub struct Claim {
    pub user: UserId,
    /// If another live node holds the session, ask that node (in its session row) to give it up, as long as whoever wants
    /// it is still waiting.
    pub takeover: Option<Arc<dyn Claimant>>,
}

/// Whoever waits for a claim. A database may take long to answer, and one who has given up must not take a session from a live
/// node any more.
pub trait Claimant: Send + Sync {
    fn is_waiting(&self) -> bool;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The session is this node's. A row that this very run of the node held already counts as free.
    Won { epoch: u64 },
    /// A live node holds it. `lease_left` is how long its lease still runs.
    Held { node: NodeId, epoch: u64, lease_left: Duration },
    /// The user no longer exists.
    NoSuchUser,
}

/// The end of a session that this node won with `epoch`; ignored if it has moved on since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    pub user: UserId,
    pub epoch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeStart {
    Ready,
    /// An earlier run under this name still has a lease; `lease_left` growing between two tries means it is alive.
    Leased {
        boot: i64,
        lease_left: Duration,
    },
}

/// What a node learns with each renewal of its lease, in the same round trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// All nodes with a live lease, this one included.
    pub live: Vec<Peer>,
    /// Sessions of this node that another asked for: close and release them.
    pub asked: Vec<Release>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub key: NodeKey,
    pub lease_left: Duration,
}

/// Who gets what is said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// `members_version` of the conversation that this was read under.
    pub version: u64,
    /// Everyone with a cursor, ascending. Of a direct conversation both users, also after unfriending.
    pub members: Arc<[UserId]>,
    /// False for a direct conversation whose users are no longer friends: nobody may post.
    pub open: bool,
}

impl Audience {
    pub fn may_post(&self, sender: UserId) -> bool {
        self.open && self.members.binary_search(&sender).is_ok()
    }
}

/// A message to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub conv: Conversation,
    pub sender: UserId,
    pub mid: Uuid,
    pub msg: Arc<str>,
    pub sent_as: Option<Box<SentAs>>,
    /// The `members_version` under which the caller found that the sender may post; 0 if it did not look.
    pub allowed_under: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored {
        seq: u64,
    },
    /// Stored before under the same mid, and the same in conversation and text.
    Duplicate {
        seq: u64,
        time: TimeMs,
    },
    MidReused,
    /// No such conversation, or the sender may not post in it.
    NotAllowed,
    /// Another transaction held the conversation for too long: errno 11.
    Blocked,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendedBatch {
    /// One per message, in the order given.
    pub outcomes: Vec<Appended>,
    /// The audience of each conversation whose version differed from what an [`Append`] was allowed under.
    pub audiences: Vec<(Conversation, Audience)>,
}

/// A conversation in which messages wait for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub user: UserId,
    pub conv: Conversation,
    pub received_seq: u64,
    pub last_seq: u64,
}

/// A conversation as it is once nobody is writing to it: nothing that was begun before can change it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub audience: Audience,
    /// The asker's cursor; `None`: no member.
    pub received_seq: Option<u64>,
}

/// A page of the log, read while nobody was writing: what is missing in it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertainPage {
    pub page: Page,
    /// The conversation's end as of then.
    pub last_seq: u64,
}

/// A user's cursor: everything up to `seq` has reached the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub conv: Conversation,
    pub user: UserId,
    pub seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub conv: Conversation,
    pub last_seq: u64,
    pub version: u64,
}

/// The conversations that changed, and the database's time as of the look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub now: TimeMs,
    pub changed: Vec<Change>,
}

/// One page of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Ascending by seq.
    pub messages: Vec<ChatMessage>,
    /// There is more in the direction of reading (newer for [`Storage::messages_after`], older for history).
    pub more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Befriended {
    Done,
    NoSuchUser,
    Already,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The joiner gets what comes after `last_seq`.
    Done {
        name: String,
        description: String,
        last_seq: u64,
    },
    NoSuchGroup,
    Already,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Done,
    NoSuchGroup,
    NotMember,
}

/// The database as the rest of the node sees it. Every call is bounded by the configured database timeout.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// For the log: product and version, and where (no password).
    fn describe(&self) -> String;

    /// How many tasks should commit messages, where the settings ask for `configured`.
    fn writers(&self, configured: usize) -> usize;

    /// One secret for the whole cluster, made once and kept in the `meta` table.
    async fn token_key(&self) -> Result<[u8; 32]>;

    // --- accounts -------------------------------------------------------------------------------------------------
    /// `None`: the name is taken.
    async fn register(&self, name: &str, password_hash: &str) -> Result<Option<UserId>>;
    async fn account(&self, who: &Who) -> Result<Option<Account>>;
    /// Replaces the hash if it is still `old_hash`, and ends all tokens. Returns the new token generation, `None` if
    /// the hash was another.
    async fn change_password(&self, user: UserId, old_hash: &str, new_hash: &str) -> Result<Option<u64>>;
    /// Ends all of the user's tokens; returns the new generation.
    async fn revoke_tokens(&self, user: UserId) -> Result<u64>;

    // --- nodes and sessions ---------------------------------------------------------------------------------------
    async fn start_node(&self, key: &NodeKey, lease: Duration) -> Result<NodeStart>;
    /// Errors: [`Error::NodeReplaced`] if the row is now another run's. A row that is gone is made anew.
    async fn renew_lease(&self, key: &NodeKey, lease: Duration) -> Result<Renewal>;
    /// Ends the lease at once, and with it every session this run still holds.
    async fn stop_node(&self, key: &NodeKey) -> Result<()>;
    /// Sets `user.state` to offline where the holder of the session is gone. For the eyes of those who read the table.
    async fn tidy_states(&self) -> Result<()>;
    /// One outcome per claim, in order; each user at most once in a call. One transaction.
    async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>>;
    async fn release_sessions(&self, key: &NodeKey, releases: &[Release]) -> Result<()>;
    /// Which of the users have a session on a live node, and on which.
    async fn routes(&self, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>>;
    /// Those of `held` that are still this run's under the same epoch.
    async fn sessions_still_held(&self, key: &NodeKey, held: &[Release]) -> Result<Vec<Release>>;

    // --- friends and groups ---------------------------------------------------------------------------------------
    /// Mutual; makes the conversation, or opens it again.
    async fn add_friend(&self, user: UserId, friend: UserId) -> Result<Befriended>;
    /// False: they were not friends. What waits in the conversation still gets delivered.
    async fn remove_friend(&self, user: UserId, friend: UserId) -> Result<bool>;
    /// By id, with true presence; at most `limit`.
    async fn friends(&self, user: UserId, limit: u32) -> Result<Vec<Friend>>;
    async fn friend(&self, user: UserId, friend: UserId) -> Result<Option<Friend>>;
    /// Ids of friends that are online now; for presence events. At most `limit`.
    async fn online_friends(&self, user: UserId, limit: u32) -> Result<Vec<UserId>>;
    /// `None`: the name is taken.
    async fn create_group(&self, creator: UserId, name: &str, description: &str) -> Result<Option<GroupId>>;
    /// The joiner's cursor starts at the conversation's end. `max_members` as in [`Joined::Full`].
    async fn join_group(&self, user: UserId, group: GroupId, max_members: u32) -> Result<Joined>;
    /// A leaving creator hands the role to the longest-standing member; the next to join an empty group becomes creator.
    async fn leave_group(&self, user: UserId, group: GroupId) -> Result<Left>;
    /// The user's groups by id, at most `limit`, each with its first `users_limit` users.
    async fn groups(&self, user: UserId, limit: u32, users_limit: u32) -> Result<Vec<Group>>;
    /// One group with one page of its users. `None`: no such group, or `user` is not in it.
    async fn group_page(&self, user: UserId, page: GroupPage) -> Result<Option<Group>>;

    // --- conversations --------------------------------------------------------------------------------------------
    /// Of those conversations that exist.
    async fn audiences(&self, convs: &[Conversation]) -> Result<BTreeMap<Conversation, Audience>>;
    /// Appends a batch in one transaction, all with time `now`. A duplicate mid within the batch or in the database is
    /// answered with the stored seq, also where the sender may no longer post.
    async fn append(&self, batch: &[Append], now: TimeMs, fence: Fence<'_>) -> Result<AppendedBatch>;
    /// The cursor of each (conversation, user), in order; `None` where there is none (not a member).
    async fn cursors(&self, of: &[(Conversation, UserId)]) -> Result<Vec<Option<u64>>>;
    /// Waits until no transaction holds the conversation, then reads it as it is now. A join, leave, befriending or
    /// unfriending that failed before this call has taken effect by then, or never will. `None`: no such conversation.
    async fn settled(&self, conv: Conversation, user: UserId) -> Result<Option<Settled>>;
    /// [`Storage::messages_after`], waiting as [`Storage::settled`] does.
    async fn certain_messages_after(
        &self,
        conv: Conversation,
        after: u64,
        limit: u32,
        max_bytes: usize,
    ) -> Result<CertainPage>;
    /// Messages above `after`, oldest first, at most `limit` and (past the first) `max_bytes` of text. May be out of date.
    async fn messages_after(&self, conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> Result<Page>;
    /// Messages below `before` (the newest if `None`), at most `limit` and `max_bytes` of text, oldest first.
    async fn messages_before(
        &self,
        conv: Conversation,
        before: Option<u64>,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Page>;
    /// All conversations in which something waits for any of the users (their own messages may be all that waits).
    async fn waiting(&self, users: &[UserId]) -> Result<Vec<Waiting>>;
    /// How many messages of others wait for the user, counted up to `at_most`.
    async fn count_waiting(&self, user: UserId, at_most: u32) -> Result<u64>;
    /// Moves cursors forward; never back, never past the conversation's end, never making a member of who is none.
    async fn mark_received(&self, marks: &[Mark]) -> Result<()>;
    /// Conversations with something new, or with other members, since `since` by the database's clock. `None` asks only
    /// for the time.
    async fn changes(&self, since: Option<TimeMs>) -> Result<Changes>;
}
