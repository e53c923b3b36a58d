//! One node's way to the database, which can be cut or hang, and whose answers to commits can get lost.

use async_trait::async_trait;
use chat::cluster::{NodeId, NodeKey};
use chat::protocol::conversation::{Conversation, GroupId, UserId};
use chat::protocol::message::{Friend, Group, GroupPage, TimeMs, Who};
use chat::storage::{
    Account, Actor, Append, AppendedBatch, Audience, Befriended, Changes, Claim, Claimed, Error, Fence, Joined, Left,
    Mark, NodeStart, Page, Peer, Release, Renewal, Result, Seen, Storage, Waiting,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

pub struct Faulty {
    storage: Arc<dyn Storage>,
    cut: AtomicBool,
    hanging: watch::Sender<bool>,
    lose_commits: AtomicBool,
    lose_claims: AtomicBool,
}

impl Faulty {
    pub fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        let hanging = watch::Sender::new(false);
        let [cut, lose_commits, lose_claims] = [false; 3].map(AtomicBool::new);
        Arc::new(Faulty { storage, cut, hanging, lose_commits, lose_claims })
    }

    /// Nothing reaches the database from here on.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Whatever is asked from here on waits until all is well.
    pub fn hang(&self) {
        self.hanging.send_replace(true);
    }

    /// Commits are made, but nobody hears of it.
    pub fn lose_commits(&self) {
        self.lose_commits.store(true, Ordering::SeqCst);
    }

    /// Sessions are claimed, but nobody hears of it.
    pub fn lose_claims(&self) {
        self.lose_claims.store(true, Ordering::SeqCst);
    }

    /// All is well again.
    pub fn heal(&self) {
        self.lose_claims.store(false, Ordering::SeqCst);
        self.cut.store(false, Ordering::SeqCst);
        self.lose_commits.store(false, Ordering::SeqCst);
        self.hanging.send_replace(false);
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

/// Everything but `append` and `claim_sessions` only fails while it is cut.
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

            async fn append(
                &self,
                key: &NodeKey,
                batch: &[Append],
                now: TimeMs,
                fence: Fence<'_>,
            ) -> Result<AppendedBatch> {
                let done = self.reach().await?.append(key, batch, now, fence).await;
                match self.lose_commits.load(Ordering::SeqCst) {
                    true => Err(Error::Unavailable("the answer was lost by a test".into())),
                    false => done,
                }
            }

            async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>> {
                let done = self.reach().await?.claim_sessions(key, claims).await;
                match self.lose_claims.load(Ordering::SeqCst) {
                    true => Err(Error::Unavailable("the answer was lost by a test".into())),
                    false => done,
                }
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
    fn change_password(by: &Actor, old_hash: &str, new_hash: &str) -> Option<u64>;
    fn revoke_tokens(by: &Actor) -> u64;
    fn start_node(key: &NodeKey) -> NodeStart;
    fn renew_lease(key: &NodeKey, list: bool) -> Renewal;
    fn call_gone(seen: &Peer) -> bool;
    fn stop_node(key: &NodeKey) -> ();
    fn tidy_states() -> ();
    fn release_sessions(key: &NodeKey, releases: &[Release]) -> Vec<UserId>;
    fn disown_sessions(key: &NodeKey, users: &[UserId]) -> ();
    fn routes(users: &[UserId]) -> Vec<(UserId, NodeId)>;
    fn add_friend(by: &Actor, friend: UserId) -> Befriended;
    fn remove_friend(by: &Actor, friend: UserId) -> bool;
    fn friends(user: UserId, limit: u32) -> Vec<Friend>;
    fn friend(user: UserId, friend: UserId) -> Option<Friend>;
    fn online_friends(user: UserId, limit: u32) -> Vec<UserId>;
    fn create_group(by: &Actor, name: &str, description: &str) -> Option<GroupId>;
    fn join_group(by: &Actor, group: GroupId, max_members: u32) -> Joined;
    fn leave_group(by: &Actor, group: GroupId) -> Left;
    fn groups(user: UserId, limit: u32, users_limit: u32) -> Vec<Group>;
    fn group_page(user: UserId, page: GroupPage) -> Option<Group>;
    fn audiences(convs: &[Conversation]) -> BTreeMap<Conversation, Audience>;
    fn cursors(of: &[(Conversation, UserId)]) -> Vec<Option<u64>>;
    fn messages_after(conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> Page;
    fn messages_before(conv: Conversation, before: Option<u64>, limit: u32, max_bytes: usize) -> Page;
    fn waiting(users: &[UserId]) -> Vec<Waiting>;
    fn count_waiting(user: UserId, at_most: u32) -> u64;
    fn mark_received(by: Option<&NodeKey>, marks: &[Mark]) -> ();
    fn changes(seen: Option<&Seen>) -> Changes;
}
