//! One node's way to the database, which can be cut or hang, whose answers can get lost or be late, and whose reads can
//! be out of date.

mod layers;

use chat::storage::{Error, Layer, Result, Storage};
use chat_protocol::conversation::UserId;
use std::collections::HashMap;
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
    /// How often each was asked for.
    calls: Mutex<HashMap<&'static str, usize>>,
    /// Those that were asked for while they were to hang.
    hanging_operations: watch::Sender<Vec<&'static str>>,
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
        Arc::new(Faulty {
            storage,
            cut: AtomicBool::default(),
            hanging: watch::Sender::default(),
            lose_commits: AtomicBool::default(),
            lose_claims: AtomicBool::default(),
            greeting: watch::Sender::default(),
            hanging_greetings: watch::Sender::default(),
            troubles: watch::Sender::default(),
            calls: Mutex::default(),
            hanging_operations: watch::Sender::default(),
            fate: Mutex::default(),
            late: watch::Sender::default(),
            transactions: watch::Sender::default(),
            holds_pages: watch::Sender::default(),
            settles_nothing: AtomicBool::default(),
            empty_pages: AtomicUsize::default(),
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

    /// Waits until the operation is asked for that hangs.
    pub async fn hangs_in(&self, operation: &'static str) {
        let is_hanging = |hanging: &Vec<&'static str>| hanging.contains(&operation);
        self.hanging_operations.subscribe().wait_for(is_hanging).await.expect("the sender is ours");
    }

    /// How often the operation was asked for.
    pub fn calls(&self, operation: &str) -> usize {
        self.calls.lock().expect("no test panics with it").get(operation).copied().unwrap_or_default()
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

    async fn change<T: Send + 'static>(
        &self,
        operation: &'static str,
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

/// What is done, unless its answer gets lost.
fn answered<T>(loses: &AtomicBool, done: Result<T>) -> Result<T> {
    match loses.load(Ordering::SeqCst) {
        true => Err(Error::Unavailable("the answer was lost by a test".into())),
        false => done,
    }
}

async fn is_over(fault: &watch::Sender<bool>) {
    // The sender is ours: it cannot be gone.
    let _ = fault.subscribe().wait_for(|is_on| !is_on).await;
}
