//! The domain operations over any SQL database.
//!
//! Each operation stands once, in a file of its domain, as a function of a [`Connection`]. Here they are given
//! what all share: a connection, a transaction with its retries, and the time limit.

pub mod accounts;
pub mod append;
pub mod changes;
pub mod conversations;
pub mod cursors;
pub mod friends;
pub mod groups;
pub mod nodes;
pub mod schema;
pub mod sessions;
pub mod tidying;

use super::*;
use changes::{Numbered, Numbers};
use crate::storage::engine::{Connection, Engine, Fault};
use std::collections::BTreeSet;

/// How often something is tried that met a deadlock, a blocked row, or a row that another just made.
const ATTEMPTS: u32 = 5;

/// Conversations in one transaction that notes losses.
const LOSSES_AT_ONCE: usize = 64;

/// A [`Storage`] on an SQL database.
pub struct SqlStorage {
    engine: Box<dyn Engine>,
    numbers: Numbers,
    timeout: Duration,
}

/// One read, outside of any transaction.
macro_rules! read {
    ($self:ident, $conn:ident => $operation:expr) => {
        $self
            .bounded(async {
                let mut leased = $self.engine.read().await?;
                let $conn = &mut *leased;
                $operation.await
            })
            .await
    };
}

/// Statements that each commit by themselves, and may be run again from the start.
macro_rules! idempotent {
    ($self:ident, $conn:ident => $operation:expr) => {
        $self
            .bounded(async {
                let mut attempts_left = ATTEMPTS;
                loop {
                    attempts_left -= 1;
                    let mut leased = $self.engine.write().await?;
                    let $conn = &mut *leased;
                    match $operation.await {
                        Err(Fault::Deadlock | Fault::LockTimeout) if attempts_left > 0 => {}
                        outcome => break outcome,
                    }
                }
            })
            .await
    };
}

/// One transaction, tried again while that may help.
macro_rules! transaction {
    ($self:ident, $conn:ident => $operation:expr) => {
        $self
            .bounded(async {
                let mut attempts_left = ATTEMPTS;
                loop {
                    attempts_left -= 1;
                    let mut leased = $self.engine.write().await?;
                    leased.begin().await?;
                    let $conn = &mut *leased;
                    let outcome = $operation.await;
                    match settle($conn, outcome).await {
                        Err(Fault::Deadlock | Fault::LockTimeout | Fault::Duplicate) if attempts_left > 0 => {}
                        settled => break settled,
                    }
                }
            })
            .await
    };
}

impl SqlStorage {
    /// Applies the schema to an empty database, or checks the one that is there.
    pub async fn open(engine: Box<dyn Engine>, timeout: Duration) -> Result<Self> {
        let mut conn = engine.write().await?;
        schema::ensure(&mut *conn).await?;
        drop(conn);
        Ok(SqlStorage { engine, numbers: Numbers::default(), timeout })
    }

    /// Gives a number to a change that a session makes.
    fn begin(&self, by: &Actor, convs: &[Conversation]) -> Option<Numbered<'_>> {
        by.session.as_ref().map(|session| self.numbers.begin(session.node.boot, convs.to_vec()))
    }

    async fn bounded<T>(&self, work: impl Future<Output = engine::Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(Error::Unavailable(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }
}

fn number(numbered: &Option<Numbered<'_>>) -> changes::Change {
    numbered.as_ref().map(|numbered| numbered.change).unwrap_or_default()
}

/// What came of a numbered change; one whose outcome is unknown stays open.
fn ended<T>(numbered: Option<Numbered<'_>>, outcome: Result<T>) -> Result<T> {
    if let Some(numbered) = numbered
        && changes::is_certain(&outcome)
    {
        numbered.settled();
    }
    outcome
}

/// Commits what succeeded, rolls back what did not.
pub async fn settle<T>(conn: &mut dyn Connection, outcome: engine::Result<T>) -> engine::Result<T> {
    match outcome {
        Ok(value) => conn.commit().await.map(|()| value),
        Err(fault) => {
            // If this fails as well, the engine discards the connection, and with it the transaction.
            let _ = conn.rollback().await;
            Err(fault)
        }
    }
}

#[async_trait]
impl Storage for SqlStorage {
    fn describe(&self) -> String {
        self.engine.describe()
    }

    fn writers(&self, configured: usize) -> usize {
        self.engine.writers(configured)
    }

    async fn token_key(&self) -> Result<[u8; 32]> {
        idempotent!(self, conn => accounts::token_key(conn))
    }

    async fn register(&self, name: &str, password_hash: &str) -> Result<Option<UserId>> {
        transaction!(self, conn => accounts::register(conn, name, password_hash))
    }

    async fn account(&self, who: &Who) -> Result<Option<Account>> {
        read!(self, conn => accounts::account(conn, who))
    }

    async fn change_password(&self, by: &Actor, old_hash: &str, new_hash: &str) -> Result<Option<u64>> {
        transaction!(self, conn => accounts::change_password(conn, by, old_hash, new_hash))
    }

    async fn revoke_tokens(&self, by: &Actor) -> Result<u64> {
        transaction!(self, conn => accounts::revoke_tokens(conn, by))
    }

    async fn start_node(&self, key: &NodeKey) -> Result<NodeStart> {
        transaction!(self, conn => nodes::start(conn, key))
    }

    async fn renew_lease(&self, key: &NodeKey, list: bool) -> Result<Renewal> {
        let settled = self.numbers.settled(key.boot);
        self.bounded(async {
            let mut conn = self.engine.reserved().await?;
            conn.begin().await?;
            let renewed = nodes::renew(&mut *conn, key, list, settled).await;
            settle(&mut *conn, renewed).await
        })
        .await
    }

    async fn call_gone(&self, seen: &Peer) -> Result<bool> {
        self.bounded(async {
            let mut conn = self.engine.reserved().await?;
            nodes::call_gone(&mut *conn, seen).await
        })
        .await
    }

    async fn stop_node(&self, key: &NodeKey) -> Result<()> {
        idempotent!(self, conn => nodes::stop(conn, key))
    }

    async fn next_holder(&self, after: &NodeId) -> Result<Option<NodeId>> {
        read!(self, conn => tidying::next_holder(conn, after))
    }

    async fn tidy_sessions(&self, node: &NodeId, after: UserId) -> Result<Option<UserId>> {
        transaction!(self, conn => tidying::tidy(conn, node, after))
    }

    async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>> {
        transaction!(self, conn => sessions::claim(conn, key, claims))
    }

    async fn release_sessions(&self, key: &NodeKey, releases: &[Release]) -> Result<Vec<UserId>> {
        transaction!(self, conn => sessions::release(conn, key, releases))
    }

    async fn disown_sessions(&self, key: &NodeKey, users: &[UserId]) -> Result<()> {
        transaction!(self, conn => sessions::disown(conn, key, users))
    }

    async fn routes(&self, users: &[UserId]) -> Result<Vec<(UserId, NodeId)>> {
        read!(self, conn => sessions::routes(conn, users))
    }

    async fn add_friend(&self, by: &Actor, friend: UserId) -> Result<Befriended> {
        let numbered = self.begin(by, &[Conversation::direct(by.user, friend)]);
        let change = number(&numbered);
        ended(numbered, transaction!(self, conn => friends::add(conn, by, friend, change)))
    }

    async fn remove_friend(&self, by: &Actor, friend: UserId) -> Result<bool> {
        let numbered = self.begin(by, &[Conversation::direct(by.user, friend)]);
        let change = number(&numbered);
        ended(numbered, transaction!(self, conn => friends::remove(conn, by, friend, change)))
    }

    async fn friends(&self, user: UserId, limit: u32) -> Result<Vec<Friend>> {
        read!(self, conn => friends::list(conn, user, limit))
    }

    async fn friend(&self, user: UserId, friend: UserId) -> Result<Option<Friend>> {
        read!(self, conn => friends::one(conn, user, friend))
    }

    async fn online_friends(&self, user: UserId, limit: u32) -> Result<Vec<UserId>> {
        read!(self, conn => friends::online(conn, user, limit))
    }

    async fn create_group(&self, by: &Actor, name: &str, description: &str) -> Result<Option<GroupId>> {
        // Nobody can be behind in a conversation that is not there yet.
        let numbered = self.begin(by, &[]);
        let change = number(&numbered);
        ended(numbered, transaction!(self, conn => groups::create(conn, by, name, description, change)))
    }

    async fn join_group(&self, by: &Actor, group: GroupId, max_members: u32) -> Result<Joined> {
        let numbered = self.begin(by, &[Conversation::Group(group)]);
        let change = number(&numbered);
        ended(numbered, transaction!(self, conn => groups::join(conn, by, group, max_members, change)))
    }

    async fn leave_group(&self, by: &Actor, group: GroupId) -> Result<Left> {
        let numbered = self.begin(by, &[Conversation::Group(group)]);
        let change = number(&numbered);
        ended(numbered, transaction!(self, conn => groups::leave(conn, by, group, change)))
    }

    async fn groups(&self, user: UserId, limit: u32, users_limit: u32) -> Result<Vec<Group>> {
        read!(self, conn => groups::of_user(conn, user, limit, users_limit))
    }

    async fn group_page(&self, user: UserId, page: GroupPage) -> Result<Option<Group>> {
        read!(self, conn => groups::page(conn, user, page))
    }

    async fn audiences(&self, convs: &[Conversation]) -> Result<BTreeMap<Conversation, Audience>> {
        read!(self, conn => conversations::audiences(conn, convs))
    }

    async fn append(&self, key: &NodeKey, batch: &[Append], now: TimeMs, fence: Fence<'_>) -> Result<AppendedBatch> {
        let is_blocked = |done: &AppendedBatch| done.outcomes.contains(&Appended::Blocked);
        let appended = self.bounded(async {
            let mut conn = self.engine.write().await?;
            // Not before: what never reached the database cannot come true there.
            let convs: BTreeSet<Conversation> = batch.iter().map(|append| append.conv).collect();
            let numbered = self.numbers.begin(key.boot, convs.into_iter().collect());
            let by = append::Appender { key, change: numbered.change, fence };
            let appended = append::append(&mut *conn, by, batch, now).await;
            if appended.as_ref().is_ok_and(|done| !is_blocked(done)) {
                numbered.settled();
            }
            appended
        });
        appended.await
    }

    async fn cursors(&self, of: &[(Conversation, UserId)]) -> Result<Vec<Option<Position>>> {
        read!(self, conn => cursors::read(conn, of))
    }

    async fn find_losses(&self, key: &NodeKey, ends: &[(Conversation, End)]) -> Result<Vec<Conversation>> {
        let suspects = read!(self, conn => conversations::ending_before(conn, ends))?;
        let mut lost = Vec::new();
        for suspects in suspects.chunks(LOSSES_AT_ONCE) {
            let numbered = self.numbers.begin(key.boot, suspects.iter().map(|(conv, _)| *conv).collect());
            let change = numbered.change;
            let found = transaction!(self, conn => conversations::find_losses(conn, suspects, change));
            lost.extend(ended(Some(numbered), found)?);
        }
        Ok(lost)
    }

    async fn settled(&self, conv: Conversation, user: UserId) -> Result<Option<Settled>> {
        transaction!(self, conn => conversations::settled(conn, conv, user))
    }

    async fn certain_messages_after(
        &self,
        conv: Conversation,
        after: u64,
        limit: u32,
        max_bytes: usize,
    ) -> Result<CertainPage> {
        transaction!(self, conn => conversations::certain_messages_after(conn, conv, after, limit, max_bytes))
    }

    async fn messages_after(&self, conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> Result<Page> {
        read!(self, conn => conversations::messages_after(conn, conv, after, limit, max_bytes))
    }

    async fn messages_before(
        &self,
        conv: Conversation,
        before: Option<u64>,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Page> {
        read!(self, conn => conversations::messages_before(conn, conv, before, limit, max_bytes))
    }

    async fn waiting(&self, users: &[UserId]) -> Result<Vec<Waiting>> {
        read!(self, conn => cursors::waiting(conn, users))
    }

    async fn count_waiting(&self, user: UserId, at_most: u32) -> Result<u64> {
        read!(self, conn => cursors::count_waiting(conn, user, at_most))
    }

    async fn mark_received(&self, by: Option<&NodeKey>, marks: &[Mark]) -> Result<()> {
        idempotent!(self, conn => cursors::mark_received(conn, by, marks))
    }

    async fn changes(&self, seen: Option<&Seen>) -> Result<Changes> {
        let settled = self.bounded(async {
            let mut conn = self.engine.write().await?;
            changes::settle_unknown(&mut *conn, &self.numbers).await
        });
        if let Err(error) = settled.await {
            tracing::warn!(%error, "the outcome of some changes is still unknown");
        }
        read!(self, conn => changes::since(conn, seen))
    }
}
