//! `chat-server verify` as an operator runs it: what it prints, and its exit code.

use chat::cluster::NodeKey;
use chat::config::Database;
use chat::storage::{self, Append};
use chat_protocol::conversation::Conversation;
use sqlx::Connection;
use std::path::Path;
use std::process::{Command, Output};
use uuid::Uuid;

fn url(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("chat.db").display())
}

/// Two friends and three messages.
async fn fill(directory: &Path) {
    let storage = storage::open(&Database { url: url(directory), ..Database::default() }).await.expect("SQLite opens");
    for name in ["one", "other"] {
        storage.register(name, "hash").await.expect("registering works").expect("the name is free");
    }
    storage.add_friend(&1.into(), 2).await.expect("adding a friend works");
    let message = |text: &str| Append::new(Conversation::direct(1, 2), 1, Uuid::now_v7(), text);
    let batch = [message("1"), message("2"), message("3")];
    let nobody = NodeKey { id: "nobody".into(), boot: 1 };
    storage.append(&nobody, &batch, 1, &|| true).await.expect("appending works");
}

async fn change(directory: &Path, sql: &'static str) {
    let mut connection = sqlx::SqliteConnection::connect(&url(directory)).await.expect("SQLite opens");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("SQLite changes it");
}

/// What it says, and its exit code.
fn verify(directory: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    server.arg("verify").args(arguments).env("CHAT_DATABASE__URL", url(directory)).env("CHAT_LOG__FILTER", "error");
    let Output { status, stdout, stderr } = server.output().expect("the program runs");
    (String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned(), status.code())
}

#[tokio::test]
async fn sound_database_is_well_and_a_damaged_one_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.path();
    fill(directory).await;
    let all_is_well = "all is well: 1 logs, 2 members, 0 group users, 2 friends, 2 sessions, 0 findings\n";
    assert_eq!(verify(directory, &[]), (all_is_well.into(), Some(0)));

    change(directory, "DELETE FROM message WHERE seq = 2; UPDATE member SET received_seq = 7 WHERE userid = 2").await;

    let lines = "damaged: messages_missing: d1-2: 2 to 2\n\
                 damaged: cursor_past_end: user 2 of d1-2: has received 7, and the log ends at 3\n";
    let (text, code) = verify(directory, &[]);
    assert!(text.starts_with(lines) && text.contains("the database is damaged: 1 logs"), "{text}");
    assert_eq!(code, Some(1));
    let (json, code) = verify(directory, &["--json", "--repair"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&report["is_sound"], &report["checked"]["logs"], code), (&false.into(), &1.into(), Some(1)));
    let repaired: Vec<_> =
        report["findings"].as_array().expect("a list").iter().map(|one| &one["is_repaired"]).collect();
    assert_eq!(repaired, [&false, &true]);
    assert_eq!(verify(directory, &[]).0.lines().count(), 2, "a message that is gone stays gone");
}

#[tokio::test]
async fn what_cannot_be_verified_is_neither_well_nor_made() {
    let directory = tempfile::tempdir().expect("a temporary directory");

    let (text, code) = verify(directory.path(), &[]);

    assert!(text.contains("there is no database"), "{text}");
    assert_eq!((code, directory.path().join("chat.db").exists()), (Some(2), false));
}
