use super::*;
use crate::schedule::{Breaking, Fault};
use chat::storage::engine;
use chat::storage::{Storage, open_on};
use chat_environment::Environment;
use chat_protocol::conversation::Conversation;

const NODE: usize = 0;
const OTHER: usize = 1;

async fn open() -> (Arc<Database>, Arc<dyn Storage>) {
    let trace = Arc::new(Trace::start(false));
    let database = Database::open(3, trace.clone(), Troubles::new(3, trace)).expect("it opens");
    let engine = Box::new(SharedEngine { database: database.clone(), node: NODE });
    let storage = open_on(engine, Duration::from_secs(5), &Environment::default()).await.expect("an empty one");
    (database, storage)
}

/// In place of all that was broken.
fn breaks(database: &Database, what: Breaking) {
    database.troubles.begin(0, &Fault { at_ms: 0, length_ms: 2_000, what });
}

async fn count(database: &Arc<Database>) -> i64 {
    let mut lease = database.lease(OTHER).await.expect("it is not cut");
    let row = lease.first("SELECT COUNT(*) FROM meta WHERE name = 'x'", &[]).await.expect("it works");
    row.expect("a row").int(0).expect("a number")
}

async fn insert(database: &Arc<Database>) -> Result<()> {
    let mut lease = database.lease(NODE).await?;
    lease.begin().await?;
    lease.run("INSERT INTO meta (name, value) VALUES (?, ?)", &["x".into(), "y".into()]).await?;
    lease.commit().await
}

#[tokio::test(start_paused = true)]
async fn commit_fails_before_it_took_effect_or_after() {
    let (database, storage) = open().await;
    assert_eq!(storage.describe(), "simulated SQLite");

    breaks(&database, Breaking::Commits { before: 100, after: 0, node: Some(NODE) });
    assert!(insert(&database).await.is_err());
    assert_eq!(count(&database).await, 0);

    breaks(&database, Breaking::Commits { before: 0, after: 100, node: None });
    assert!(insert(&database).await.is_err());
    assert_eq!(count(&database).await, 1);

    database.troubles.end(0);
    assert!(matches!(insert(&database).await, Err(engine::Fault::Duplicate)));
}

#[tokio::test(start_paused = true)]
async fn silent_holder_loses_its_transaction() {
    let (database, _storage) = open().await;
    let mut silent = database.lease(NODE).await.expect("it is not cut");
    silent.begin().await.expect("it works");
    let sql = "INSERT INTO meta (name, value) VALUES ('x', 'y')";
    silent.run(sql, &[]).await.expect("it works");
    let begun = Instant::now();

    assert_eq!(count(&database).await, 0);

    assert!(begun.elapsed() >= IDLE_LIMIT);
    assert!(silent.commit().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn stall_holds_every_statement_of_whom_it_strikes() {
    let (database, _storage) = open().await;
    let begun = Instant::now();
    breaks(&database, Breaking::Stall { node: Some(NODE) });
    count(&database).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    breaks(&database, Breaking::Stall { node: None });
    count(&database).await;
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn server_that_lags_shows_what_was_until_it_is_told_to_catch_up() {
    let (database, _storage) = open().await;
    breaks(&database, Breaking::StaleReads { node: OTHER, lag_ms: 60_000 });
    assert_eq!(count(&database).await, 0);

    insert(&database).await.expect("it works");

    assert_eq!(count(&database).await, 0);
    let mut lease = database.lease(OTHER).await.expect("it is not cut");
    assert!(lease.freshen().await.expect("it works"));
    drop(lease);
    assert_eq!(count(&database).await, 1);
}

/// A lagging server does not know yet that the log has begun another epoch.
#[tokio::test(start_paused = true)]
async fn cursor_older_than_the_known_epoch_is_read_again() {
    let (database, storage) = open().await;
    let registered = async |name| storage.register(name, "-").await.expect("it works").expect("a free name");
    let (one, other) = (registered("one").await, registered("other").await);
    storage.add_friend(&one.into(), other).await.expect("it works");
    let conv = Conversation::direct(one, other);
    let epoch = async |known| storage.cursors(&[(conv, one, known)]).await.expect("it works")[0].map(|at| at.log_epoch);
    breaks(&database, Breaking::StaleReads { node: NODE, lag_ms: 60_000 });
    assert_eq!(epoch(0).await, Some(0));

    let mut lease = database.lease(OTHER).await.expect("it is not cut");
    lease.run("UPDATE conversation SET log_epoch = 1", &[]).await.expect("it works");
    drop(lease);

    assert_eq!(epoch(0).await, Some(0), "it lags, and nothing newer is known");
    assert_eq!(epoch(1).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn transaction_ends_with_the_server_that_it_is_at() {
    let (database, _storage) = open().await;
    let mut lease = database.lease(NODE).await.expect("it is not cut");
    lease.begin().await.expect("it works");
    lease.run("INSERT INTO meta (name, value) VALUES ('x', 'y')", &[]).await.expect("it works");

    let failing = database.clone();
    let failing = tokio::spawn(async move { failing.fail_over(Duration::ZERO, Duration::from_secs(2), |_| {}).await });
    tokio::task::yield_now().await;

    assert!(lease.commit().await.is_err());
    assert!(database.lease(NODE).await.is_err());
    failing.await.expect("it comes to an end");
    assert_eq!(count(&database).await, 0);
}

#[tokio::test(start_paused = true)]
async fn server_that_takes_over_may_not_have_what_came_last() {
    let (database, _storage) = open().await;
    database.keep_removed().expect("it works");
    let failing = database.clone();
    let failing = tokio::spawn(async move { failing.fail_over(Duration::from_secs(1), Duration::ZERO, |_| {}).await });
    tokio::task::yield_now().await;

    insert(&database).await.expect("it works");

    assert_eq!(count(&database).await, 1);
    failing.await.expect("it comes to an end");
    assert_eq!(count(&database).await, 0);
}

#[tokio::test(start_paused = true)]
async fn transaction_that_meets_trouble_is_undone() {
    let (database, _storage) = open().await;
    breaks(&database, Breaking::Deadlocks { percent: 100, node: None });
    assert!(matches!(insert(&database).await, Err(engine::Fault::Deadlock)));
    breaks(&database, Breaking::LockTimeouts { percent: 100, node: None });
    assert!(matches!(insert(&database).await, Err(engine::Fault::LockTimeout)));
    breaks(&database, Breaking::ReadOnly { node: Some(NODE) });
    assert!(matches!(insert(&database).await, Err(engine::Fault::Refused(_))));
    breaks(&database, Breaking::CutDatabase { node: NODE });
    assert!(insert(&database).await.is_err());

    assert_eq!(count(&database).await, 0);
    database.troubles.end(0);
    insert(&database).await.expect("all is well again");
}
