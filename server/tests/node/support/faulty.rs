//! One node's way to the database, which can be cut or hang, and whose answers to commits can get lost.

use async_trait::async_trait;
use chat::cluster::{NodeId, NodeKey};
use chat::protocol::conversation::{Conversation, GroupId, UserId};
use chat::protocol::message::{Friend, Group, GroupPage, TimeMs, Who};
use chat::storage::{
    Account, Append, AppendedBatch, Audience, Befriended, Changes, Claim, Claimed, Error, Fence, Joined, Left, Mark,
    NodeStart, Page, Release, Renewal, Result, Storage, Waiting,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub struct Faulty {
    storage: Arc<dyn Storage>,
    cut: AtomicBool,
    hanging: watch::Sender<bool>,
    lose_commits: AtomicBool,
    /// Whose greeting hangs; 0: nobody's.
    greeting: watch::Sender<UserId>,
    hanging_greetings: watch::Sender<u32>,
}

impl Faulty {
    pub fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        let hanging = watch::Sender::new(false);
        let (cut, lose_commits) = (AtomicBool::new(false), AtomicBool::new(false));
        let (greeting, hanging_greetings) = (watch::Sender::new(0), watch::Sender::new(0));
        Arc::new(Faulty { storage, cut, hanging, lose_commits, greeting, hanging_greetings })
    }

    /// Nothing reaches the database from here on.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Whatever is asked from here on waits until all is well.
    pub fn hang(&self) {
        self.hanging.send_replace(true);
    }

    /// What is read to greet this user waits until all is well.
    pub fn hang_greeting_of(&self, user: UserId) {
        self.greeting.send_replace(user);
    }

    /// Waits until the greeting of that user hangs.
    pub async fn greeting_hangs(&self) {
        self.hanging_greetings.subscribe().wait_for(|count| *count > 0).await.expect("the sender is ours");
    }

    /// Commits are made, but nobody hears of it.
    pub fn lose_commits(&self) {
        self.lose_commits.store(true, Ordering::SeqCst);
    }

    /// All is well again.
    pub fn heal(&self) {
        self.cut.store(false, Ordering::SeqCst);
        self.lose_commits.store(false, Ordering::SeqCst);
        self.hanging.send_replace(false);
        self.greeting.send_replace(0);
    }

    async fn reach(&self) -> Result<&dyn Storage> {
        // The sender is ours: it cannot be gone.
        let _ = self.hanging.subscribe().wait_for(|hanging| !hanging).await;
        match self.cut.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("cut off by a test".into())),
            false => Ok(self.storage.as_ref()),
        }
    }
}

/// Everything but `append` and `waiting` only fails while it is cut.
macro_rules! pass_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $value:ty;)*) => {
        #[async_trait]
        impl Storage for Faulty {
            fn describe(&self) -> String {
                self.storage.describe()
            }

            fn writers(&self, configured: usize) -> usize {
                self.storage.writers(configured)
            }

            async fn append(&self, batch: &[Append], now: TimeMs, fence: Fence<'_>) -> Result<AppendedBatch> {
                let done = self.reach().await?.append(batch, now, fence).await;
                match self.lose_commits.load(Ordering::SeqCst) {
                    true => Err(Error::Unavailable("the answer was lost by a test".into())),
                    false => done,
                }
            }

            async fn waiting(&self, users: &[UserId]) -> Result<Vec<Waiting>> {
                if users.contains(&self.greeting.borrow()) {
                    self.hanging_greetings.send_modify(|count| *count += 1);
                    let _ = self.greeting.subscribe().wait_for(|user| !users.contains(user)).await;
                }
                self.reach().await?.waiting(users).await
            }

            $(async fn $name(&self, $($argument: $type),*) -> Result<$value> {
                self.reach().await?.$name($($argument),*).await
            })*
        }
    };
}

pass_on! {
    fn token_key() -> [u8; 32];
    fn register(name: &str, password_hash: &str) -> Option<UserId>;
    fn account(who: &Who) -> Option<Account>;
    fn change_password(user: UserId, old_hash: &str, new_hash: &str) -> Option<u64>;
    fn revoke_tokens(user: UserId) -> u64;
    fn start_node(key: &NodeKey, lease: Duration) -> NodeStart;
    fn renew_lease(key: &NodeKey, lease: Duration) -> Renewal;
    fn stop_node(key: &NodeKey) -> ();
    fn tidy_states() -> ();
    fn claim_sessions(key: &NodeKey, claims: &[Claim]) -> Vec<Claimed>;
    fn release_sessions(key: &NodeKey, releases: &[Release]) -> ();
    fn routes(users: &[UserId]) -> Vec<(UserId, NodeId)>;
    fn sessions_still_held(key: &NodeKey, held: &[Release]) -> Vec<Release>;
    fn add_friend(user: UserId, friend: UserId) -> Befriended;
    fn remove_friend(user: UserId, friend: UserId) -> bool;
    fn friends(user: UserId, limit: u32) -> Vec<Friend>;
    fn friend(user: UserId, friend: UserId) -> Option<Friend>;
    fn online_friends(user: UserId, limit: u32) -> Vec<UserId>;
    fn create_group(creator: UserId, name: &str, description: &str) -> Option<GroupId>;
    fn join_group(user: UserId, group: GroupId, max_members: u32) -> Joined;
    fn leave_group(user: UserId, group: GroupId) -> Left;
    fn groups(user: UserId, limit: u32, users_limit: u32) -> Vec<Group>;
    fn group_page(user: UserId, page: GroupPage) -> Option<Group>;
    fn audiences(convs: &[Conversation]) -> BTreeMap<Conversation, Audience>;
    fn cursors(of: &[(Conversation, UserId)]) -> Vec<Option<u64>>;
    fn messages_after(conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> Page;
    fn messages_before(conv: Conversation, before: Option<u64>, limit: u32, max_bytes: usize) -> Page;
    fn count_waiting(user: UserId, at_most: u32) -> u64;
    fn mark_received(marks: &[Mark]) -> ();
    fn changes(since: Option<TimeMs>) -> Changes;
}
