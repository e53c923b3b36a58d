//! What the keeper does about sessions whose rows the database has lost.

use super::*;
use crate::bus::local::LocalHub;
use crate::config::Database;
use crate::storage::{Claim, Claimed, NodeStart};
use chat_environment::Tasks;
use parking_lot::Mutex;

/// Remembers what the keeper has told it.
#[derive(Default)]
struct Told {
    here: Mutex<Vec<Release>>,
    new: Mutex<Vec<Release>>,
    lost: Mutex<Vec<Release>>,
    is_suspended: AtomicBool,
    commits_were_lost: AtomicBool,
}

impl Tenants for Told {
    fn sessions(&self) -> Vec<Release> {
        self.here.lock().clone()
    }

    fn new_sessions(&self) -> Vec<Release> {
        std::mem::take(&mut *self.new.lock())
    }

    fn is_here(&self, session: Release) -> bool {
        self.here.lock().contains(&session)
    }

    fn suspend(&self) {
        self.is_suspended.store(true, Ordering::Relaxed);
    }

    fn is_suspended(&self) -> bool {
        self.is_suspended.load(Ordering::Relaxed)
    }

    fn resume(&self) {
        self.is_suspended.store(false, Ordering::Relaxed);
    }

    fn lose(&self, sessions: &[Release]) {
        self.here.lock().retain(|here| !sessions.contains(here));
        self.lost.lock().extend(sessions);
    }

    fn commits_were_lost(&self) {
        self.commits_were_lost.store(true, Ordering::Relaxed);
    }

    fn known(&self) -> Vec<Change> {
        Vec::new()
    }

    fn give_up(&self, _: EndAsked, _: Instant) {}
    fn set_peers(&self, _: Vec<NodeId>) {}
    fn node_has_gone(&self, _: &NodeId) {}
    fn was_lost(&self, _: Change) {}
}

/// A keeper that has just begun, its tenants, and its database.
async fn keeper() -> (Keeper, Arc<Told>, Arc<dyn Storage>) {
    let database = Database { url: "sqlite::memory:".into(), ..Database::default() };
    let storage = crate::storage::open(&database).await.expect("SQLite opens");
    let key = NodeKey { id: "node".into(), boot: 1 };
    assert_eq!(storage.start_node(&key).await.expect("starts"), NodeStart::Ready);
    let takeovers = storage.renew_lease(&key, false).await.expect("renews").takeovers;
    let (told, lease) = (Arc::new(Told::default()), Arc::new(Lease::default()));
    lease.renewed(Instant::now());
    let parts = Parts {
        bus: LocalHub::default().join(key.clone(), &Tasks::default()).0,
        key,
        storage: storage.clone(),
        lease,
        watch: Arc::default(),
        database_answers: Arc::default(),
        tenants: told.clone(),
    };
    let standing = Standing::new(takeovers);
    (Keeper { parts, alive: BTreeSet::new(), suspects: false, standing, new_logins: Vec::new() }, told, storage)
}

/// A user logs in.
async fn log_in(keeper: &Keeper, told: &Told, name: &str) -> Release {
    let storage = &keeper.parts.storage;
    let user = storage.register(name, "hash").await.expect("registers").expect("the name is free");
    let claims = [Claim { user, takeover: None, token_generation: None }];
    let claimed = storage.claim_sessions(&keeper.parts.key, &claims).await.expect("claims");
    let [Claimed::Won { epoch }] = claimed[..] else { panic!("{claimed:?}") };
    let login = Release { user, epoch };
    told.here.lock().push(login);
    told.new.lock().push(login);
    login
}

#[tokio::test]
async fn login_that_the_database_has_lost_is_missed_and_closed() {
    let (mut keeper, told, storage) = keeper().await;
    let kept = log_in(&keeper, &told, "kept").await;
    let lost = log_in(&keeper, &told, "lost").await;
    storage.release_sessions(&keeper.parts.key, &[lost]).await.expect("frees the row");

    let wait = keeper.renew(Instant::now()).await.expect("renews");
    assert!(told.is_suspended() && told.commits_were_lost.load(Ordering::Relaxed));
    assert_eq!((wait, told.lost.lock().len()), (Duration::ZERO, 0));

    keeper.renew(Instant::now()).await.expect("renews");
    assert_eq!((&*told.lost.lock(), &*told.here.lock()), (&vec![lost], &vec![kept]));
    assert!(!told.is_suspended());
}

#[tokio::test]
async fn login_that_ends_while_it_is_looked_for_is_not_missed() {
    let (mut keeper, told, storage) = keeper().await;
    let ended = log_in(&keeper, &told, "ended").await;
    storage.release_sessions(&keeper.parts.key, &[ended]).await.expect("frees the row");
    keeper.new_logins = told.new_sessions();
    told.here.lock().clear();

    assert!(!keeper.look_for_new_logins().await.expect("looks"));
}

#[tokio::test]
async fn login_that_is_there_or_has_ended_is_not_missed() {
    let (mut keeper, told, storage) = keeper().await;
    log_in(&keeper, &told, "here").await;
    let ended = log_in(&keeper, &told, "ended").await;
    storage.release_sessions(&keeper.parts.key, &[ended]).await.expect("frees the row");
    told.here.lock().retain(|here| *here != ended);

    assert_eq!(keeper.renew(Instant::now()).await.expect("renews"), LEASE_RENEWAL);

    assert!(!told.is_suspended() && !told.commits_were_lost.load(Ordering::Relaxed));
    assert!(keeper.new_logins.is_empty(), "each is looked for once");
}
