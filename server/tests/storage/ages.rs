//! The cluster's age is counted by one node at a time, never by more than has passed, and every message bears it.

use crate::database::{Database, append, node, say, text, two_friends};
use crate::on_every_database;
use chat::cluster::NodeKey;
use chat::storage::age::{FIRST, LONGEST_STEP};
use chat::storage::{AgeMs, NodeStart, Storage};
use sqlx::{Connection, MySqlConnection};
use std::sync::Arc;
use std::time::Duration;

on_every_database!(
    one_node_at_a_time_counts,
    who_begins_to_count_adds_nothing_at_first,
    no_step_is_longer_than_the_longest,
    message_bears_the_age_as_of_when_it_was_said,
);

const SECOND: Duration = Duration::from_secs(1);

async fn count(storage: &Arc<dyn Storage>, key: &NodeKey, passed: Duration) -> Option<AgeMs> {
    storage.count_age(key, passed).await.expect("counting works")
}

async fn start(storage: &Arc<dyn Storage>, key: &NodeKey) {
    assert_eq!(storage.start_node(key).await.expect("starting works"), NodeStart::Ready);
}

async fn one_node_at_a_time_counts(database: Database) {
    let storage = database.open().await;
    let (first, second) = (node("first", 1), node("second", 2));
    let counts = async |key: &NodeKey| count(&storage, key, Duration::ZERO).await.is_some();
    start(&storage, &first).await;
    start(&storage, &second).await;

    assert!(counts(&first).await && !counts(&second).await && counts(&first).await);
    storage.stop_node(&first).await.expect("stopping works");
    assert!(counts(&second).await, "the other is gone");
    start(&storage, &first).await;
    assert!(!counts(&first).await);
    // Another run under that name is another.
    storage.stop_node(&second).await.expect("stopping works");
    start(&storage, &node("second", 3)).await;
    assert!(counts(&first).await);
}

async fn who_begins_to_count_adds_nothing_at_first(database: Database) {
    let storage = database.open().await;
    let (first, second) = (node("first", 1), node("second", 2));
    start(&storage, &first).await;
    start(&storage, &second).await;
    let age = async || storage.age().await.expect("reading works");

    assert_eq!(age().await, FIRST);
    assert_eq!(count(&storage, &first, SECOND).await, Some(FIRST));
    assert_eq!(count(&storage, &first, SECOND).await, Some(FIRST + 1_000));
    assert_eq!(count(&storage, &second, SECOND).await, None);
    assert_eq!(count(&storage, &first, Duration::from_micros(2_999)).await, Some(FIRST + 1_002));
    storage.stop_node(&first).await.expect("stopping works");
    assert_eq!(count(&storage, &second, SECOND).await, Some(FIRST + 1_002));
    // Whoever was taken for gone, and counts on.
    assert_eq!(count(&storage, &first, SECOND).await, None);
    assert_eq!(count(&storage, &second, SECOND).await, Some(FIRST + 2_002));
    assert_eq!(age().await, FIRST + 2_002);
}

async fn no_step_is_longer_than_the_longest(database: Database) {
    let storage = database.open().await;
    let first = node("first", 1);
    start(&storage, &first).await;
    count(&storage, &first, Duration::ZERO).await;

    let longest = AgeMs::try_from(LONGEST_STEP.as_millis()).expect("it is short");
    assert_eq!(count(&storage, &first, Duration::MAX).await, Some(FIRST + longest));
}

async fn message_bears_the_age_as_of_when_it_was_said(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let first = node("first", 1);
    start(&storage, &first).await;

    say(&storage, conv, one, 1).await;
    for _ in 0..2 {
        count(&storage, &first, SECOND).await;
        say(&storage, conv, one, 2).await;
    }

    let ages = database.texts("SELECT CAST(cluster_age AS CHAR) FROM message ORDER BY seq").await;
    assert_eq!(ages, ["1", "1", "1", "1001", "1001"]);
}

#[tokio::test]
async fn who_counts_keeps_nobody_who_says_something_waiting() {
    let database = Database::mariadb();
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let first = node("first", 1);
    start(&storage, &first).await;
    count(&storage, &first, SECOND).await;
    let mut counting = MySqlConnection::connect(&database.config.url).await.expect("MariaDB answers");
    let step = "BEGIN; UPDATE meta SET value = '5 1 first' WHERE name = 'age'";
    sqlx::raw_sql(step).execute(&mut counting).await.expect("MariaDB takes it");

    append(&storage, &[text(conv, one, "meanwhile")]).await;

    assert_eq!(database.texts("SELECT cluster_age FROM message").await, ["1"]);
}
