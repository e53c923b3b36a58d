//! What a login reads: the account, what waits, friends, groups and their users; and, where its user has a session on
//! another node, what that node reads of it, and what a takeover that is refused takes back. Each for many logins in
//! one call.

use crate::cluster::NodeKey;
use crate::config::Database;
use crate::storage::gathered::{Gathered, Limits};
use crate::storage::{Account, EndAsked, NamedGroup, Result, Storage, Waiting};
use chat_environment::Tasks;
use chat_protocol::conversation::{GroupId, UserId};
use chat_protocol::message::{Friend, GroupUser, Who};
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What is listed at most; past it `more` is set.
pub const FRIENDS: u32 = 200;
pub const GROUPS: u32 = 200;
pub const USERS_PER_GROUP: u32 = 100;

/// Questions in one call: as many as are claimed in one transaction.
const AT_ONCE: usize = 256;
/// Calls of all kinds at once, as a part of the connections to the database: commits need them as well.
const CONNECTIONS_PER_CALL: u32 = 2;

pub struct LoginReads {
    pub accounts: Gathered<Who, Option<Account>>,
    pub waiting: Gathered<UserId, Vec<Waiting>>,
    /// One more than [`FRIENDS`] where there are more.
    pub friends: Gathered<UserId, Vec<Friend>>,
    /// One more than [`GROUPS`] where there are more.
    pub groups: Gathered<UserId, Vec<NamedGroup>>,
    /// One more than [`USERS_PER_GROUP`] where there are more.
    pub group_users: Gathered<GroupId, Vec<GroupUser>>,
    /// Whether the user's session on this node is still to end.
    pub asked: Gathered<UserId, Option<EndAsked>>,
    /// No read: the user's session elsewhere need not end any more. False: another transaction holds its row.
    pub withdrawn: Gathered<UserId, bool>,
}

impl LoginReads {
    /// Starts the tasks behind it, which end when it is dropped.
    pub fn start(tasks: &Tasks, storage: &Arc<dyn Storage>, key: &NodeKey, database: &Database) -> Self {
        let turns = Semaphore::new((database.connections / CONNECTIONS_PER_CALL).max(1) as usize);
        let patience = Duration::from_millis(database.timeout_ms);
        let source = Source { tasks, storage, limits: Limits { at_once: AT_ONCE, patience, turns: Arc::new(turns) } };
        let key = key.clone();
        LoginReads {
            accounts: source.read("accounts", |of, who| async move { of.accounts(&who).await }),
            waiting: source.read("waiting", |of, users| async move { waiting(&*of, &users).await }),
            friends: source.read("friends", |of, users| async move { of.friends(&users, FRIENDS + 1).await }),
            groups: source.read("groups", |of, users| async move { of.groups(&users, GROUPS + 1).await }),
            group_users: source
                .read("group users", |of, groups| async move { of.group_users(&groups, USERS_PER_GROUP + 1).await }),
            asked: source.read("asked", move |of, users| {
                let key = key.clone();
                async move { asked(&*of, &key, &users).await }
            }),
            withdrawn: source.read("withdrawn", |of, users| async move {
                let held = of.withdraw_takeovers(&users).await?;
                Ok(users.iter().map(|user| !held.contains(user)).collect())
            }),
        }
    }
}

/// From where everything is read.
struct Source<'a> {
    tasks: &'a Tasks,
    storage: &'a Arc<dyn Storage>,
    limits: Limits,
}

impl Source<'_> {
    fn read<K, V, F>(
        &self,
        name: &'static str,
        read: impl Fn(Arc<dyn Storage>, Vec<K>) -> F + Send + Sync + 'static,
    ) -> Gathered<K, V>
    where
        K: Ord + Clone + Send + 'static,
        V: Clone + Send + 'static,
        F: Future<Output = Result<Vec<V>>> + Send + 'static,
    {
        let storage = self.storage.clone();
        let call = move |keys| read(storage.clone(), keys).boxed();
        Gathered::start(self.tasks, name, self.limits.clone(), Box::new(call))
    }
}

async fn waiting(storage: &dyn Storage, users: &[UserId]) -> Result<Vec<Vec<Waiting>>> {
    let mut of: BTreeMap<UserId, Vec<Waiting>> = BTreeMap::new();
    for waiting in storage.waiting(users).await? {
        of.entry(waiting.user).or_default().push(waiting);
    }
    Ok(users.iter().map(|user| of.remove(user).unwrap_or_default()).collect())
}

async fn asked(storage: &dyn Storage, key: &NodeKey, users: &[UserId]) -> Result<Vec<Option<EndAsked>>> {
    let asked = storage.asked_of(key, users).await?;
    let of: BTreeMap<UserId, EndAsked> = asked.into_iter().map(|asked| (asked.release.user, asked)).collect();
    Ok(users.iter().map(|user| of.get(user).copied()).collect())
}
