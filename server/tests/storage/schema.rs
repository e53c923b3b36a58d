//! Which databases are taken, and that a refusal says what to do.

use crate::database::{Database, say, two_friends, user};
use crate::on_every_database;
use chat::config;
use chat::storage::{self, Error};
use std::path::Path;

on_every_database!(
    database_is_kept_between_runs,
    tables_without_a_version_are_refused,
    newer_schema_is_refused,
    earlier_schema_is_upgraded_with_all_that_it_holds,
    half_made_tables_are_completed,
);

async fn refusal(config: &config::Database) -> String {
    match storage::open(config).await {
        Err(Error::Unusable(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{} was taken", config.url),
    }
}

async fn database_is_kept_between_runs(database: Database) {
    let id = user(&database.open().await, "user").await;
    let storage = database.open().await;
    assert_eq!(user(&storage, "other").await, id + 1);
}

async fn tables_without_a_version_are_refused(database: Database) {
    drop(database.open().await);
    database.execute("DELETE FROM meta").await;
    let text = refusal(&database.config).await;
    assert!(text.contains("no schema version") && text.contains("conversation"), "{text}");
}

async fn newer_schema_is_refused(database: Database) {
    drop(database.open().await);
    database.execute("UPDATE meta SET value = '6' WHERE name = 'schema_version'").await;
    let text = refusal(&database.config).await;
    assert!(text.contains("version 6") && text.contains("needs 5"), "{text}");
}

/// Makes the database one of version 2.
async fn downgrade(database: &Database) {
    for column in [
        "conversation DROP COLUMN first_seq",
        "session DROP COLUMN asked_why",
        "session DROP COLUMN disabled",
        "message DROP COLUMN cluster_age",
    ] {
        database.execute(&format!("ALTER TABLE {column}")).await;
    }
    database.execute("UPDATE meta SET value = '2' WHERE name = 'schema_version'").await;
}

async fn earlier_schema_is_upgraded_with_all_that_it_holds(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    drop(storage);
    downgrade(&database).await;

    let storage = database.open().await;

    let page = storage.messages_after(conv, 3, 10, usize::MAX).await.expect("reading works");
    assert_eq!((page.messages.len(), page.first_seq), (0, 1));
    let ages = database.texts("SELECT CAST(cluster_age AS CHAR) FROM message").await;
    assert_eq!(ages, ["0", "0", "0"], "nobody counted when they were said");
    say(&storage, conv, one, 1).await;
    drop(storage);
    // A node may have died between a change and the new version.
    for died_at in ["2", "3", "4"] {
        database.execute(&format!("UPDATE meta SET value = '{died_at}' WHERE name = 'schema_version'")).await;
        database.open().await;
        assert_eq!(database.texts("SELECT value FROM meta WHERE name = 'schema_version'").await, ["5"]);
    }
}

#[tokio::test]
async fn upgraded_database_equals_a_new_one() {
    let (new, upgraded) = (Database::mariadb(), Database::mariadb());
    drop((new.open().await, upgraded.open().await));
    downgrade(&upgraded).await;

    drop(upgraded.open().await);

    assert_eq!(new.layout(), upgraded.layout());
}

#[tokio::test]
async fn classic_layout_is_refused_and_pointed_to_migrate() {
    let database = Database::mariadb();
    database.execute("CREATE TABLE user (id INT PRIMARY KEY, name VARCHAR(50), password VARCHAR(50))").await;
    database.execute("CREATE TABLE offlinemessage (userid INT, message VARCHAR(500))").await;
    let text = refusal(&database.config).await;
    assert!(text.contains("classic") && text.contains("chat-server migrate --from"), "{text}");
    // Nothing was added to it.
    assert_eq!(database.tables().await, ["offlinemessage", "user"]);
}

#[tokio::test]
async fn other_tables_in_the_database_are_left_alone() {
    let database = Database::mariadb();
    database.execute("CREATE TABLE somebody_elses (id INT PRIMARY KEY)").await;
    user(&database.open().await, "user").await;
    assert!(database.tables().await.contains(&"somebody_elses".to_owned()));
}

#[tokio::test]
async fn unknown_urls_are_refused_with_the_two_forms() {
    for url in ["postgres://me:secret@host/db", "chat.db", ""] {
        let text = refusal(&config::Database { url: url.into(), ..Default::default() }).await;
        assert!(text.contains("sqlite:PATH") && text.contains("mysql://"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let text = refusal(&config::Database { url: "mysql://me:secret@host".into(), ..Default::default() }).await;
    assert!(text.contains("no database") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn second_process_on_a_sqlite_file_is_told_what_to_set() {
    let database = Database::sqlite();
    let first = database.open().await;
    let text = refusal(&database.config).await;
    assert!(text.contains("database.url = \"mysql://") && text.contains("bus.url = \"redis://"), "{text}");
    drop(first);
    database.open().await;
}

#[tokio::test]
async fn sqlite_in_memory_works_without_a_file() {
    let config = config::Database { url: "sqlite::memory:".into(), ..Default::default() };
    let storage = storage::open(&config).await.expect("it opens");
    let id = user(&storage, "user").await;
    assert_eq!(storage.waiting(&[id]).await.expect("reading works"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_on_an_empty_database_all_come_up() {
    let database = Database::mariadb();
    let opens = (0..4).map(|_| {
        let config = database.config.clone();
        tokio::spawn(async move { storage::open(&config).await.map(|_| ()) })
    });
    for open in opens.collect::<Vec<_>>() {
        open.await.expect("no panic").expect("every node comes up");
    }
}

/// As after a crash of the node that made the tables.
async fn half_made_tables_are_completed(database: Database) {
    drop(database.open().await);
    for sql in ["DELETE FROM meta WHERE name = 'schema_version'", "DROP TABLE member", "DROP TABLE session"] {
        database.execute(sql).await;
    }
    let storage = database.open().await;
    two_friends(&storage).await;
}

#[tokio::test]
async fn chat_sql_imported_by_hand_equals_what_a_node_applies() {
    let (applied, imported) = (Database::mariadb(), Database::mariadb());
    drop(applied.open().await);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat.sql");
    Database::server().import(&imported.name(), &file).expect("the client takes the file");

    assert_eq!(applied.layout(), imported.layout());
    assert!(applied.layout().contains("received_seq"));
    user(&imported.open().await, "user").await;
}

#[tokio::test]
async fn unreachable_database_is_unavailable_not_a_panic() {
    let config =
        config::Database { url: "mysql://chat:secret@127.0.0.1:1/chat".into(), timeout_ms: 300, ..Default::default() };
    match storage::open(&config).await {
        Err(Error::Unavailable(text)) => assert!(!text.contains("secret"), "{text}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("nothing listens there"),
    }
}
