//! What the faults do to each operation. All that is not here only fails or hangs where it is to.

use super::{Faulty, Trouble, answered, is_over};
use async_trait::async_trait;
use chat::cluster::NodeKey;
use chat::storage::verify::VerifyLayer;
use chat::storage::{
    AccountsLayer, Actor, AgesLayer, Append, AppendedBatch, Befriended, Claim, Claimed, ConversationsLayer,
    CursorsLayer, Error, Fence, FriendsLayer, GroupsLayer, Joined, Layer, Left, LogLayer, NodesLayer, OrdersLayer,
    OverviewLayer, Page, RepairLayer, Result, RetentionLayer, SessionsLayer, Settled, Storage, Waiting,
};
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use chat_protocol::message::TimeMs;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

#[async_trait]
impl Layer for Faulty {
    type Below = dyn Storage;

    async fn reach(&self, operation: &'static str) -> Result<&dyn Storage> {
        *self.calls.lock().expect("no test panics with it").entry(operation).or_default() += 1;
        // The senders are ours: they cannot be gone.
        let _ = self.hanging.subscribe().wait_for(|hanging| !hanging).await;
        let hangs = |troubles: &HashMap<_, _>| troubles.get(operation) == Some(&Trouble::Hang);
        if hangs(&self.troubles.borrow()) {
            self.hanging_operations.send_modify(|hanging| hanging.push(operation));
        }
        let _ = self.troubles.subscribe().wait_for(|troubles| !hangs(troubles)).await;
        self.meet_trouble(operation)?;
        match self.cut.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("cut off by a test".into())),
            false => Ok(self.storage.as_ref()),
        }
    }
}

impl Storage for Faulty {
    fn describe(&self) -> String {
        self.storage.describe()
    }

    fn writers(&self, configured: usize) -> usize {
        self.storage.writers(configured)
    }
}

impl AccountsLayer for Faulty {}
impl NodesLayer for Faulty {}
impl RepairLayer for Faulty {}
impl OrdersLayer for Faulty {}
impl OverviewLayer for Faulty {}
impl AgesLayer for Faulty {}
impl RetentionLayer for Faulty {}
impl VerifyLayer for Faulty {}

#[async_trait]
impl LogLayer for Faulty {
    async fn append(&self, key: &NodeKey, batch: &[Append], now: TimeMs, fence: Fence<'_>) -> Result<AppendedBatch> {
        let done = self.reach("append").await?.append(key, batch, now, fence).await;
        answered(&self.lose_commits, done)
    }

    async fn messages_after(&self, conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> Result<Page> {
        is_over(&self.holds_pages).await;
        let take = |count: usize| count.checked_sub(1);
        if self.empty_pages.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return Ok(Page::default());
        }
        self.reach("messages_after").await?.messages_after(conv, after, limit, max_bytes).await
    }
}

#[async_trait]
impl SessionsLayer for Faulty {
    async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>> {
        let done = self.reach("claim_sessions").await?.claim_sessions(key, claims).await;
        answered(&self.lose_claims, done)
    }
}

#[async_trait]
impl CursorsLayer for Faulty {
    async fn waiting(&self, users: &[UserId]) -> Result<Vec<Waiting>> {
        if users.contains(&self.greeting.borrow()) {
            self.hanging_greetings.send_modify(|count| *count += 1);
            let _ = self.greeting.subscribe().wait_for(|user| !users.contains(user)).await;
        }
        self.reach("waiting").await?.waiting(users).await
    }
}

#[async_trait]
impl FriendsLayer for Faulty {
    async fn add_friend(&self, by: &Actor, friend: UserId) -> Result<Befriended> {
        let (storage, by) = (self.storage.clone(), by.clone());
        self.change("add_friend", async move { storage.add_friend(&by, friend).await }).await
    }

    async fn remove_friend(&self, by: &Actor, friend: UserId) -> Result<bool> {
        let (storage, by) = (self.storage.clone(), by.clone());
        self.change("remove_friend", async move { storage.remove_friend(&by, friend).await }).await
    }
}

#[async_trait]
impl GroupsLayer for Faulty {
    async fn join_group(&self, by: &Actor, group: GroupId, max_members: u32) -> Result<Joined> {
        let (storage, by) = (self.storage.clone(), by.clone());
        self.change("join_group", async move { storage.join_group(&by, group, max_members).await }).await
    }

    async fn leave_group(&self, by: &Actor, group: GroupId) -> Result<Left> {
        let (storage, by) = (self.storage.clone(), by.clone());
        self.change("leave_group", async move { storage.leave_group(&by, group).await }).await
    }
}

#[async_trait]
impl ConversationsLayer for Faulty {
    async fn settled(&self, conv: Conversation, user: UserId) -> Result<Option<Settled>> {
        let _ = self.transactions.subscribe().wait_for(|count| *count == 0).await;
        match self.settles_nothing.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("kept from looking by a test".into())),
            false => self.reach("settled").await?.settled(conv, user).await,
        }
    }
}
