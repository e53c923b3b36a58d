//! A copy that is made while messages come in is one of a moment: whole, with all that was acknowledged before it.

use crate::database::{Database, NOBODY, NOW, text, two_friends};
use chat::storage::verify::{Finding, verify_all};
use chat::storage::{Appended, Storage};
use chat_protocol::conversation::{Conversation, UserId};
use services::eventually;
use sqlx::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(60);
/// Messages before the copy is begun, and while it is made.
const ENOUGH: u64 = 200;

/// Somebody who goes on writing.
struct Writer {
    acked: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    fn start(storage: Arc<dyn Storage>, conv: Conversation, sender: UserId) -> Writer {
        let (acked, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stop) = (acked.clone(), is_over.clone());
        let task = tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let batch = [text(conv, sender, "one"), text(conv, sender, "two")];
                let done = storage.append(&NOBODY, &batch, NOW, &|| true).await.expect("appending works");
                let Appended::Stored { seq, .. } = done.outcomes[1] else { panic!("{done:?}") };
                counter.store(seq, Ordering::SeqCst);
            }
        });
        Writer { acked, is_over, task }
    }

    fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }

    async fn writes_more(&self) {
        let goal = self.acked() + ENOUGH;
        eventually(BUDGET, "messages come in", async || (self.acked() >= goal).then_some(())).await;
    }

    async fn stop(self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.task.await.expect("no panic");
    }
}

/// The copy holds all up to `acked`, and is sound.
async fn check(copy: &Database, conv: Conversation, acked: u64) {
    let storage = copy.open().await;
    let told = |finding: Finding| panic!("{finding:?}");
    verify_all(&*storage, false, told).await.expect("verifying works");
    let page = storage.messages_before(conv, None, 1, usize::MAX).await.expect("reading works");
    assert!(page.messages[0].seq >= acked, "{} of {acked}", page.messages[0].seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dump_of_a_mariadb_under_load_is_whole() {
    let (database, copy) = (Database::mariadb(), Database::mariadb());
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let writer = Writer::start(storage, conv, one);
    writer.writes_more().await;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("chat-backup.sql");
    let (acked, name, target) = (writer.acked(), database.name(), file.clone());
    let dumping = tokio::task::spawn_blocking(move || Database::server().dump(&name, &target));
    writer.writes_more().await;
    dumping.await.expect("no panic").expect("the dump is made");
    writer.stop().await;

    Database::server().import(&copy.name(), &file).expect("the client takes the file");
    check(&copy, conv, acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn copy_of_a_sqlite_file_under_load_is_whole() {
    let (database, copy) = (Database::sqlite(), Database::sqlite());
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let writer = Writer::start(storage, conv, one);
    writer.writes_more().await;

    let acked = writer.acked();
    let path = copy.config.url.trim_start_matches("sqlite:");
    let mut beside = sqlx::SqliteConnection::connect(&database.config.url).await.expect("SQLite opens");
    let vacuum = sqlx::AssertSqlSafe(format!("VACUUM INTO '{path}'"));
    sqlx::raw_sql(vacuum).execute(&mut beside).await.expect("the copy is made");
    writer.writes_more().await;
    writer.stop().await;

    check(&copy, conv, acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_file_alone_is_whole_once_the_node_has_closed_it() {
    let (database, copy) = (Database::sqlite(), Database::sqlite());
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let writer = Writer::start(storage.clone(), conv, one);
    writer.writes_more().await;
    let acked = writer.acked();
    writer.stop().await;

    storage.close().await.expect("closing works");

    let [from, to] = [&database, &copy].map(|database| database.config.url.trim_start_matches("sqlite:").to_owned());
    std::fs::copy(from, to).expect("the file is copied");
    check(&copy, conv, acked).await;
}
