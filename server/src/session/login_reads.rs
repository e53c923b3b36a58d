//! What a login reads: the account, what waits, friends, groups and their users. Each for many logins in one call.

use crate::storage::gathered::{Gathered, Limits};
use crate::storage::{Account, NamedGroup, Result, Storage, Waiting};
use chat_environment::Tasks;
use chat_protocol::conversation::{GroupId, UserId};
use chat_protocol::message::{Friend, GroupUser, Who};
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is listed at most; past it `more` is set.
pub const FRIENDS: u32 = 200;
pub const GROUPS: u32 = 200;
pub const USERS_PER_GROUP: u32 = 100;
/// Waiting messages are counted up to here.
const MAX_COUNTED: u32 = 10_000;

/// Users, or groups, in one call: as many as are claimed in one transaction.
const AT_ONCE: usize = 256;
/// Users whose waiting messages are counted in one call, which may be `MAX_COUNTED` rows for each.
const COUNTED_AT_ONCE: usize = 64;

pub struct LoginReads {
    pub accounts: Gathered<Who, Option<Account>>,
    pub waiting: Gathered<UserId, Vec<Waiting>>,
    /// Of messages that wait, up to 10,000.
    pub counts: Gathered<UserId, u64>,
    /// One more than [`FRIENDS`] where there are more.
    pub friends: Gathered<UserId, Vec<Friend>>,
    /// One more than [`GROUPS`] where there are more.
    pub groups: Gathered<UserId, Vec<NamedGroup>>,
    /// One more than [`USERS_PER_GROUP`] where there are more.
    pub group_users: Gathered<GroupId, Vec<GroupUser>>,
}

impl LoginReads {
    /// Starts the tasks behind it, which end when it is dropped. `patience`: how long a login waits for each read.
    pub fn start(tasks: &Tasks, storage: &Arc<dyn Storage>, patience: Duration) -> Self {
        let source = Source { tasks, storage, patience };
        LoginReads {
            accounts: source.read("accounts", AT_ONCE, |of, who| async move { of.accounts(&who).await }),
            waiting: source.read("waiting", AT_ONCE, |of, users| async move { waiting(&*of, &users).await }),
            counts: source.read("counts", COUNTED_AT_ONCE, |of, users| async move {
                of.count_waiting(&users, MAX_COUNTED).await
            }),
            friends: source.read("friends", AT_ONCE, |of, users| async move { of.friends(&users, FRIENDS + 1).await }),
            groups: source.read("groups", AT_ONCE, |of, users| async move { of.groups(&users, GROUPS + 1).await }),
            group_users: source.read("group users", AT_ONCE, |of, groups| async move {
                of.group_users(&groups, USERS_PER_GROUP + 1).await
            }),
        }
    }
}

/// From where everything is read.
struct Source<'a> {
    tasks: &'a Tasks,
    storage: &'a Arc<dyn Storage>,
    patience: Duration,
}

impl Source<'_> {
    fn read<K, V, F>(
        &self,
        name: &'static str,
        at_once: usize,
        read: impl Fn(Arc<dyn Storage>, Vec<K>) -> F + Send + Sync + 'static,
    ) -> Gathered<K, V>
    where
        K: Ord + Clone + Send + 'static,
        V: Clone + Send + 'static,
        F: Future<Output = Result<Vec<V>>> + Send + 'static,
    {
        let (storage, limits) = (self.storage.clone(), Limits { at_once, patience: self.patience });
        Gathered::start(self.tasks, name, limits, Box::new(move |keys| read(storage.clone(), keys).boxed()))
    }
}

async fn waiting(storage: &dyn Storage, users: &[UserId]) -> Result<Vec<Vec<Waiting>>> {
    let mut of: BTreeMap<UserId, Vec<Waiting>> = BTreeMap::new();
    for waiting in storage.waiting(users).await? {
        of.entry(waiting.user).or_default().push(waiting);
    }
    Ok(users.iter().map(|user| of.remove(user).unwrap_or_default()).collect())
}
