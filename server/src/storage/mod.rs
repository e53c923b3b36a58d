//! What a cluster must not lose: accounts, friends, groups, conversations, cursors, sessions and leases.
//!
//! One trait, a file per backend, one shared test suite. A conversation is an append-only log with a cursor per member,
//! so "offline" is a comparison (`seq > received_seq`) and nothing is ever read-then-deleted. `sqlx` stays in here.
//!
//! Lock order in every transaction: conversation ascending, then member ascending, then session, node, user.

pub mod migrate;
mod mysql;
mod place;
mod sql;
mod sqlite;

use crate::cluster::{NodeId, NodeKey};
use crate::config;
use async_trait::async_trait;
use chat_environment::Tasks;
use chat_protocol::conversation::{Conversation, GroupId, LogEpoch, UserId};
use chat_protocol::message::{ChatMessage, Friend, Group, GroupPage, SentAs, TimeMs, Who};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub use place::{End, Position};

/// How long opening may take: another node may be making the tables. Past it the start fails as unavailable.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens the database that `database.url` names, and makes its tables if it has none.
///
/// Its tasks are watched by nobody: for those that are no node.
///
/// Errors: [`Error::Unusable`] for a URL or a database that is not for us, [`Error::Unavailable`] where waiting may
/// help.
pub async fn open(database: &config::Database) -> Result<Arc<dyn Storage>> {
    open_with(database, &Tasks::default()).await
}

/// The same for a node, among whose tasks are those of the database.
pub async fn open_with(database: &config::Database, tasks: &Tasks) -> Result<Arc<dyn Storage>> {
    let timeout = Duration::from_millis(database.timeout_ms);
    let opening = async {
        let engine = open_engine(database, timeout, tasks).await?;
        sql::SqlStorage::open(engine, timeout).await
    };
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(storage) => Ok(Arc::new(storage?)),
        Err(_) => Err(Error::Unavailable(format!("the database did not open within {} s", OPEN_TIMEOUT.as_secs()))),
    }
}

async fn open_engine(
    database: &config::Database,
    timeout: Duration,
    tasks: &Tasks,
) -> Result<Box<dyn sql::executor::Engine>> {
    match database.url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Box::new(sqlite::Sqlite::open(&database.url, tasks).await?)),
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
    /// The session on whose behalf something was to change is no longer this node's; nothing was written. Close it.
    #[error("the session was replaced")]
    SessionGone,
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
    /// If another live node holds the session, ask that node (in its session row) to give it up, as long as whoever
    /// wants it is still waiting.
    pub takeover: Option<Arc<dyn Claimant>>,
}

/// Whoever waits for a claim. A database may take long to answer, and one who has given up must not take a session from
/// a live node any more.
pub trait Claimant: Send + Sync {
    fn is_waiting(&self) -> bool;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The session is this node's. A row that this very run of the node held already counts as free.
    Won { epoch: u64 },
    /// A node that is not known to be gone holds it.
    Held { node: NodeKey, epoch: u64 },
    /// Another transaction holds the row: ask again.
    Busy,
    /// The user no longer exists.
    NoSuchUser,
}

/// On whose behalf something changes: a user, in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub user: UserId,
    /// The change takes effect only while this session is the user's. `None` asks for no session.
    pub session: Option<SessionKey>,
}

/// A session as its row names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    pub node: NodeKey,
    pub epoch: u64,
}

impl From<UserId> for Actor {
    /// A user without a session: what is done so is done by an operator, or in a test.
    fn from(user: UserId) -> Self {
        Actor { user, session: None }
    }
}

/// The end of a session that this node won with `epoch`; ignored if it has moved on since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    pub user: UserId,
    pub epoch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeStart {
    Ready,
    /// An earlier run under this name is not known to be gone.
    Taken(Peer),
}

/// What a node learns with each renewal of its lease, in the same round trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// All nodes that are not known to be gone, this one included.
    pub live: Vec<Peer>,
    /// Sessions of this node that another asked for: close and release them.
    pub asked: Vec<Release>,
    /// How often sessions of this run were taken over while it was gone. Another number than at the renewal before:
    /// compare.
    pub takeovers: u64,
    /// The row was missing and has been made anew: compare, whatever `takeovers` says.
    pub made_anew: bool,
    /// The sessions that this run holds, as of this renewal, if they were asked for.
    pub held: Vec<Release>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub key: NodeKey,
    /// Counts up as long as it lives.
    pub renewals: u64,
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
    /// How far the conversation's log had got once, as the caller knows: if it ends before that, the database has lost
    /// commits, and what is said now begins another log epoch.
    pub known_end: End,
    /// The sender's session on the appending node, which must still be there. `None`: a message that another node
    /// accepted.
    pub epoch: Option<u64>,
}

impl Append {
    /// Of all the text that its sender wrote.
    pub fn text_bytes(&self) -> usize {
        self.msg.len() + self.sent_as.as_deref().map_or(0, SentAs::bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored {
        seq: u64,
        log_epoch: LogEpoch,
    },
    /// Stored before under the same mid, and the same in conversation and text.
    Duplicate {
        seq: u64,
        time: TimeMs,
        log_epoch: LogEpoch,
    },
    MidReused,
    /// No such conversation, or the sender may not post in it.
    NotAllowed,
    /// Another transaction held the conversation for too long: errno 11.
    Blocked,
    /// The sender's session is no longer this node's: errno 11, and close it.
    SessionGone,
    /// The database cannot hold this very message, and never will: errno 4.
    Unstorable,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendedBatch {
    /// One per message, in the order given.
    pub outcomes: Vec<Appended>,
    /// The audience of each conversation whose version differed from what an [`Append`] was allowed under.
    pub audiences: Vec<(Conversation, Audience)>,
    /// Conversations whose log had lost its end.
    pub losses: Vec<Conversation>,
}

/// A conversation in which messages wait for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub user: UserId,
    pub conv: Conversation,
    pub position: Position,
    pub last_seq: u64,
}

/// A conversation as it is once nobody is writing to it: nothing that was begun before can change it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub audience: Audience,
    /// The asker's cursor; `None`: no member.
    pub position: Option<Position>,
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
    /// The epoch of the log that `seq` is of: of an earlier one it counts up to where the current one begins.
    pub log_epoch: LogEpoch,
}

/// How far the changes of each run of a node have been looked at: [`NodeKey::boot`] to the number of a change.
pub type Seen = BTreeMap<i64, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub conv: Conversation,
    pub end: End,
    pub version: u64,
}

/// The conversations that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Where the next look goes on.
    pub seen: Seen,
    pub changed: Vec<Change>,
    /// There is more: look again at once.
    pub more: bool,
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
        end: End,
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
    async fn change_password(&self, by: &Actor, old_hash: &str, new_hash: &str) -> Result<Option<u64>>;
    /// Ends all of the user's tokens; returns the new generation.
    async fn revoke_tokens(&self, by: &Actor) -> Result<u64>;

    // --- nodes and sessions ---------------------------------------------------------------------------------------
    async fn start_node(&self, key: &NodeKey) -> Result<NodeStart>;
    /// Counts one renewal more; where the node was called gone, it is back. `list` asks for [`Renewal::held`].
    /// Errors: [`Error::NodeReplaced`] if the row is now another run's. A row that is missing is made anew.
    async fn renew_lease(&self, key: &NodeKey, list: bool) -> Result<Renewal>;
    /// Calls a node gone that has not renewed since it was seen so; from here on its sessions are free to be claimed.
    /// False: it has renewed, or another run has its name.
    async fn call_gone(&self, seen: &Peer) -> Result<bool>;
    /// Calls this node gone at once, and so frees every session this run still holds.
    async fn stop_node(&self, key: &NodeKey) -> Result<()>;
    /// The first name after `after` of a node that session rows name, be it alive, gone or unknown. `None`: there is
    /// none.
    async fn next_holder(&self, after: &NodeId) -> Result<Option<NodeId>>;
    /// Puts right the rows that runs of `node` left behind which are gone: `user.state` becomes offline, for the eyes
    /// of those who read the table, and what a run held that another has followed is freed. Looks at some users above
    /// `after`; returns the last of these, `None` if there was none.
    async fn tidy_sessions(&self, node: &NodeId, after: UserId) -> Result<Option<UserId>>;
    /// One outcome per claim, in order; each user at most once in a call. One transaction.
    async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>>;
    /// Frees the rows that are this run's under the epoch given. Returns the users whose row another transaction holds:
    /// to be tried again.
    async fn release_sessions(&self, key: &NodeKey, releases: &[Release]) -> Result<Vec<UserId>>;
    /// Frees the users' rows that are this run's, under whatever epoch: for claims of unknown outcome that nobody
    /// stands behind. Waits for the transaction that may still make the claim.
    async fn disown_sessions(&self, key: &NodeKey, users: &[UserId]) -> Result<()>;
    /// Which of the users have a session on a node that is not known to be gone, and on which.
    async fn routes(&self, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>>;

    // --- friends and groups ---------------------------------------------------------------------------------------
    /// Mutual; makes the conversation, or opens it again.
    async fn add_friend(&self, by: &Actor, friend: UserId) -> Result<Befriended>;
    /// False: they were not friends. What waits in the conversation still gets delivered.
    async fn remove_friend(&self, by: &Actor, friend: UserId) -> Result<bool>;
    /// By id, with true presence; at most `limit`.
    async fn friends(&self, user: UserId, limit: u32) -> Result<Vec<Friend>>;
    async fn friend(&self, user: UserId, friend: UserId) -> Result<Option<Friend>>;
    /// Ids of friends that are online now; for presence events. At most `limit`.
    async fn online_friends(&self, user: UserId, limit: u32) -> Result<Vec<UserId>>;
    /// `None`: the name is taken.
    async fn create_group(&self, by: &Actor, name: &str, description: &str) -> Result<Option<GroupId>>;
    /// The joiner's cursor starts at the conversation's end. `max_members` as in [`Joined::Full`].
    async fn join_group(&self, by: &Actor, group: GroupId, max_members: u32) -> Result<Joined>;
    /// A leaving creator hands the role to the longest-standing member; the next to join an empty group becomes
    /// creator.
    async fn leave_group(&self, by: &Actor, group: GroupId) -> Result<Left>;
    /// The user's groups by id, at most `limit`, each with its first `users_limit` users.
    async fn groups(&self, user: UserId, limit: u32, users_limit: u32) -> Result<Vec<Group>>;
    /// One group with one page of its users. `None`: no such group, or `user` is not in it.
    async fn group_page(&self, user: UserId, page: GroupPage) -> Result<Option<Group>>;

    // --- conversations --------------------------------------------------------------------------------------------
    /// Of those conversations that exist.
    async fn audiences(&self, convs: &[Conversation]) -> Result<BTreeMap<Conversation, Audience>>;
    /// Appends a batch in one transaction, all with time `now`. A duplicate mid within the batch or in the database is
    /// answered with the stored seq, also where the sender may no longer post.
    async fn append(&self, key: &NodeKey, batch: &[Append], now: TimeMs, fence: Fence<'_>) -> Result<AppendedBatch>;
    /// The cursor of each (conversation, user), in order; `None` where there is none (not a member).
    async fn cursors(&self, of: &[(Conversation, UserId)]) -> Result<Vec<Option<Position>>>;
    /// Compares the logs with how far they are known to have got once. Those that end before have lost commits: a new
    /// log epoch begins in each. Returns them.
    async fn find_losses(&self, key: &NodeKey, ends: &[(Conversation, End)]) -> Result<Vec<Conversation>>;
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
    /// Messages above `after`, oldest first, at most `limit` and (past the first) `max_bytes` of text. May be out of
    /// date.
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
    /// Passes over users whose session is not `by`'s, where one is given.
    async fn mark_received(&self, by: Option<&NodeKey>, marks: &[Mark]) -> Result<()>;
    /// Conversations with something new, or with other members, beyond what has been seen. `None` asks only for where
    /// to begin. No clock takes part: what was under way when `seen` was taken is found by a later look.
    async fn changes(&self, seen: Option<&Seen>) -> Result<Changes>;
}
