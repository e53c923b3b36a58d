//! One node's way to the database, which can be cut or hang, whose answers can get lost or be late, and whose reads can
//! be out of date.

use async_trait::async_trait;
use chat::cluster::{NodeId, NodeKey};
use chat::storage::{
    Account, Actor, Append, AppendedBatch, Audience, Befriended, CertainPage, Changes, Claim, Claimed, End, Error,
    Fence, Joined, Left, Mark, NodeStart, Page, Peer, Position, Release, Renewal, Result, Seen, Settled, Storage,
    Waiting,
};
use chat_protocol::conversation::{Conversation, GroupId, UserId};
use chat_protocol::message::{Friend, Group, GroupPage, TimeMs, Who};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

pub struct Faulty {
    storage: Arc<dyn Storage>,
    cut: AtomicBool,
    hanging: watch::Sender<bool>,
    lose_commits: AtomicBool,
    lose_claims: AtomicBool,
    /// Whose greeting hangs; 0: nobody's.
    greeting: watch::Sender<UserId>,
    hanging_greetings: watch::Sender<u32>,
    /// By the operation's name.
    troubles: watch::Sender<HashMap<&'static str, Trouble>>,
    /// What becomes of requests that change members; `None`: all is well.
    fate: Mutex<Option<Fate>>,
    /// Whatever a fate makes late waits for this to be false.
    late: watch::Sender<bool>,
    /// Changes that are late.
    transactions: watch::Sender<usize>,
    holds_pages: watch::Sender<bool>,
    settles_nothing: AtomicBool,
    empty_pages: AtomicUsize,
}

/// What becomes of a request to join, leave, befriend or unfriend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done, and the answer is lost.
    Lost,
    /// It is done, and the answer is late.
    AnsweredLate,
    /// It fails, and is done late: its transaction holds the conversation until then.
    DoneLate,
    /// The same, but in the end it is not done.
    UndoneLate,
}

/// What befalls one operation.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Panic,
    Hang,
    /// So many times more.
    Fail(u32),
}

impl Faulty {
    pub fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        let hanging = watch::Sender::new(false);
        let [cut, lose_commits, lose_claims] = [false; 3].map(AtomicBool::new);
        let (greeting, hanging_greetings) = (watch::Sender::new(0), watch::Sender::new(0));
        let troubles = watch::Sender::default();
        Arc::new(Faulty {
            storage,
            cut,
            hanging,
            lose_commits,
            lose_claims,
            greeting,
            hanging_greetings,
            troubles,
            fate: Mutex::default(),
            late: watch::Sender::new(false),
            transactions: watch::Sender::new(0),
            holds_pages: watch::Sender::new(false),
            settles_nothing: AtomicBool::new(false),
            empty_pages: AtomicUsize::new(0),
        })
    }

    /// This operation panics from here on.
    pub fn panic_in(&self, operation: &'static str) {
        self.troubles.send_modify(|troubles| _ = troubles.insert(operation, Trouble::Panic));
    }

    /// This operation waits until all is well.
    pub fn hang_in(&self, operation: &'static str) {
        self.troubles.send_modify(|troubles| _ = troubles.insert(operation, Trouble::Hang));
    }

    /// Whether the operation has failed as often as it was to.
    pub fn has_failed_enough(&self, operation: &str) -> bool {
        self.troubles.borrow().get(operation) == Some(&Trouble::Fail(0))
    }

    /// This operation fails the next so many times.
    pub fn fail_in(&self, operation: &'static str, times: u32) {
        self.troubles.send_modify(|troubles| _ = troubles.insert(operation, Trouble::Fail(times)));
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

    /// Sessions are claimed, but nobody hears of it.
    pub fn lose_claims(&self) {
        self.lose_claims.store(true, Ordering::SeqCst);
    }

    /// What becomes of the requests from here on that change members.
    pub fn changes_are(&self, fate: Fate) {
        *self.fate.lock().expect("no test panics with it") = Some(fate);
        self.late.send_replace(true);
    }

    /// From here on they are done as they should be, though those that are late still are.
    pub fn changes_are_well(&self) {
        *self.fate.lock().expect("no test panics with it") = None;
    }

    /// What became of a request of unknown outcome cannot be found out.
    pub fn settle_nothing(&self) {
        self.settles_nothing.store(true, Ordering::SeqCst);
    }

    /// Pages of the log are read when this is over.
    pub fn hold_pages(&self, is_held: bool) {
        self.holds_pages.send_replace(is_held);
    }

    /// The next pages of the log are those of a replica that has nothing yet.
    pub fn empty_pages(&self, count: usize) {
        self.empty_pages.store(count, Ordering::SeqCst);
    }

    /// All is well again.
    pub fn heal(&self) {
        self.changes_are_well();
        self.late.send_replace(false);
        self.settles_nothing.store(false, Ordering::SeqCst);
        self.hold_pages(false);
        self.empty_pages(0);
        self.lose_claims.store(false, Ordering::SeqCst);
        self.cut.store(false, Ordering::SeqCst);
        self.lose_commits.store(false, Ordering::SeqCst);
        self.hanging.send_replace(false);
        self.greeting.send_replace(0);
        self.troubles.send_replace(HashMap::new());
    }

    async fn reach(&self, operation: &str) -> Result<&dyn Storage> {
        // The senders are ours: they cannot be gone.
        let _ = self.hanging.subscribe().wait_for(|hanging| !hanging).await;
        let hangs = |troubles: &HashMap<_, _>| troubles.get(operation) == Some(&Trouble::Hang);
        let _ = self.troubles.subscribe().wait_for(|troubles| !hangs(troubles)).await;
        self.meet_trouble(operation)?;
        match self.cut.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("cut off by a test".into())),
            false => Ok(self.storage.as_ref()),
        }
    }
}

impl Faulty {
    fn meet_trouble(&self, operation: &str) -> Result<()> {
        let mut met = None;
        self.troubles.send_if_modified(|troubles| {
            met = troubles.get(operation).copied();
            match troubles.get_mut(operation) {
                Some(Trouble::Fail(0)) => met = None,
                Some(Trouble::Fail(times)) => *times -= 1,
                _ => {}
            }
            false
        });
        match met {
            Some(Trouble::Panic) => panic!("injected by a test"),
            Some(Trouble::Fail(_)) => Err(Error::Unavailable("failed by a test".into())),
            _ => Ok(()),
        }
    }
}

impl Faulty {
    async fn change<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.reach(operation).await?;
        let lost = || Error::Unavailable("the answer was lost by a test".into());
        let fate = *self.fate.lock().expect("no test panics with it");
        match fate {
            None => work.await,
            Some(Fate::Lost) => work.await.and_then(|_| Err(lost())),
            Some(Fate::AnsweredLate) => {
                let done = work.await;
                is_over(&self.late).await;
                done
            }
            Some(Fate::DoneLate | Fate::UndoneLate) => {
                self.transactions.send_modify(|count| *count += 1);
                let (late, transactions) = (self.late.clone(), self.transactions.clone());
                tokio::spawn(async move {
                    is_over(&late).await;
                    if fate == Some(Fate::DoneLate) {
                        work.await.expect("the database is well");
                    }
                    transactions.send_modify(|count| *count -= 1);
                });
                Err(lost())
            }
        }
    }
}

async fn is_over(fault: &watch::Sender<bool>) {
    // The sender is ours: it cannot be gone.
    let _ = fault.subscribe().wait_for(|is_on| !is_on).await;
}

/// Everything but `append`, `claim_sessions`, the changes of members and some reads only fails while it is cut.
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
                let done = self.reach("append").await?.append(key, batch, now, fence).await;
                match self.lose_commits.load(Ordering::SeqCst) {
                    true => Err(Error::Unavailable("the answer was lost by a test".into())),
                    false => done,
                }
            }

            async fn claim_sessions(&self, key: &NodeKey, claims: &[Claim]) -> Result<Vec<Claimed>> {
                let done = self.reach("claim_sessions").await?.claim_sessions(key, claims).await;
                match self.lose_claims.load(Ordering::SeqCst) {
                    true => Err(Error::Unavailable("the answer was lost by a test".into())),
                    false => done,
                }
            }

            async fn waiting(&self, users: &[UserId]) -> Result<Vec<Waiting>> {
                if users.contains(&self.greeting.borrow()) {
                    self.hanging_greetings.send_modify(|count| *count += 1);
                    let _ = self.greeting.subscribe().wait_for(|user| !users.contains(user)).await;
                }
                self.reach("waiting").await?.waiting(users).await
            }

            async fn add_friend(&self, by: &Actor, friend: UserId) -> Result<Befriended> {
                let (storage, by) = (self.storage.clone(), by.clone());
                self.change("add_friend", async move { storage.add_friend(&by, friend).await }).await
            }

            async fn remove_friend(&self, by: &Actor, friend: UserId) -> Result<bool> {
                let (storage, by) = (self.storage.clone(), by.clone());
                self.change("remove_friend", async move { storage.remove_friend(&by, friend).await }).await
            }

            async fn join_group(&self, by: &Actor, group: GroupId, max_members: u32) -> Result<Joined> {
                let (storage, by) = (self.storage.clone(), by.clone());
                self.change("join_group", async move { storage.join_group(&by, group, max_members).await }).await
            }

            async fn leave_group(&self, by: &Actor, group: GroupId) -> Result<Left> {
                let (storage, by) = (self.storage.clone(), by.clone());
                self.change("leave_group", async move { storage.leave_group(&by, group).await }).await
            }

            async fn settled(&self, conv: Conversation, user: UserId) -> Result<Option<Settled>> {
                let _ = self.transactions.subscribe().wait_for(|count| *count == 0).await;
                match self.settles_nothing.load(Ordering::SeqCst) {
                    true => Err(Error::Unavailable("kept from looking by a test".into())),
                    false => self.reach("settled").await?.settled(conv, user).await,
                }
            }

            async fn messages_after(
                &self,
                conv: Conversation,
                after: u64,
                limit: u32,
                max_bytes: usize,
            ) -> Result<Page> {
                is_over(&self.holds_pages).await;
                let take = |count: usize| count.checked_sub(1);
                if self.empty_pages.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                    return Ok(Page::default());
                }
                self.reach("messages_after").await?.messages_after(conv, after, limit, max_bytes).await
            }

            $(async fn $name(&self, $($argument: $type),*) -> Result<$value> {
                self.reach(stringify!($name)).await?.$name($($argument),*).await
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
    fn next_holder(after: &NodeId) -> Option<NodeId>;
    fn tidy_sessions(node: &NodeId, after: UserId) -> Option<UserId>;
    fn release_sessions(key: &NodeKey, releases: &[Release]) -> Vec<UserId>;
    fn disown_sessions(key: &NodeKey, users: &[UserId]) -> ();
    fn routes(users: &[UserId]) -> Vec<(UserId, NodeId)>;
    fn friends(user: UserId, limit: u32) -> Vec<Friend>;
    fn friend(user: UserId, friend: UserId) -> Option<Friend>;
    fn online_friends(user: UserId, limit: u32) -> Vec<UserId>;
    fn create_group(by: &Actor, name: &str, description: &str) -> Option<GroupId>;
    fn groups(user: UserId, limit: u32, users_limit: u32) -> Vec<Group>;
    fn group_page(user: UserId, page: GroupPage) -> Option<Group>;
    fn audiences(convs: &[Conversation]) -> BTreeMap<Conversation, Audience>;
    fn certain_messages_after(conv: Conversation, after: u64, limit: u32, max_bytes: usize) -> CertainPage;
    fn cursors(of: &[(Conversation, UserId)]) -> Vec<Option<Position>>;
    fn find_losses(key: &NodeKey, ends: &[(Conversation, End)]) -> Vec<Conversation>;
    fn messages_before(conv: Conversation, before: Option<u64>, limit: u32, max_bytes: usize) -> Page;
    fn count_waiting(user: UserId, at_most: u32) -> u64;
    fn mark_received(by: Option<&NodeKey>, marks: &[Mark]) -> ();
    fn changes(seen: Option<&Seen>) -> Changes;
}
