//! Taking a classic database over: everything in it is there afterwards, or named in the report.

use crate::database::{Database, outcomes, text, user};
use crate::on_every_database;
use chat::protocol::conversation::Conversation;
use chat::protocol::message::{GroupPage, Role, SentAs, Who};
use chat::storage::migrate::{HashPassword, MigrationReport, migrate};
use chat::storage::{Appended, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

on_every_database!(
    classic_database_is_taken_over_whole,
    database_with_data_is_not_migrated_into,
    failed_migration_writes_nothing_and_can_be_repeated,
    empty_classic_database_is_fine,
);

/// As the course has it, in the character set that MySQL 5 gave it.
const CLASSIC: &str = "
CREATE TABLE user (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), password VARCHAR(50),
                   state ENUM('online','offline') DEFAULT 'offline') DEFAULT CHARSET utf8mb3;
CREATE TABLE friend (userid INT NOT NULL, friendid INT NOT NULL);
CREATE TABLE allgroup (id INT PRIMARY KEY AUTO_INCREMENT, groupname VARCHAR(50) NOT NULL, groupdesc VARCHAR(200) DEFAULT '')
    DEFAULT CHARSET utf8mb3;
CREATE TABLE groupuser (groupid INT NOT NULL, userid INT NOT NULL, grouprole ENUM('creator','normal') DEFAULT 'normal');
CREATE TABLE offlinemessage (userid INT NOT NULL, message VARCHAR(500) NOT NULL) DEFAULT CHARSET utf8mb4;";

const ROWS: &str = r#"
INSERT INTO user VALUES (13, 'zhang san', '123456', 'online'), (15, 'li si', '666666', 'offline'),
                        (16, 'li si', '\'; DROP', 'offline'), (21, '王五', '中文密码', 'offline');
INSERT INTO friend VALUES (13, 15), (21, 13), (13, 21), (13, 99);
INSERT INTO allgroup VALUES (1, 'C++ chat project', 'start develop a chat project'), (7, '群', NULL);
INSERT INTO groupuser VALUES (1, 13, 'creator'), (1, 15, 'normal'), (1, 21, 'normal'), (7, 21, 'normal');
INSERT INTO offlinemessage VALUES
 (13, '{"id":15,"msg":"hello","msgid":6,"name":"li si","time":"2024-01-01 10:00:00","toid":13}'),
 (13, '{"id":15,"msg":"世界 👋","msgid":6,"name":"li si","time":"2024-01-01 10:00:01","toid":13}'),
 (15, '{"groupid":1,"id":13,"msg":"to all","msgid":10,"name":"zhang san","time":"2024-01-01 10:00:02"}'),
 (21, '{"groupid":1,"id":13,"msg":"to all","msgid":10,"name":"zhang san","time":"2024-01-01 10:00:02"}'),
 (21, '{"groupid":1,"id":13,"msg":"cut off by its column'),
 (13, '{"id":16,"msg":"not a friend","msgid":6,"toid":13}');"#;

fn classic() -> Database {
    let database = Database::mariadb();
    Database::server().execute(&database.name(), CLASSIC).expect("MariaDB takes the tables");
    database
}

fn reversed() -> HashPassword {
    Arc::new(|password: &str| Ok(format!("hash of {password}")))
}

async fn take_over(from: &Database, into: &Database) -> Result<MigrationReport> {
    migrate(&from.config.url, &into.config, reversed(), &|_, _| {}).await
}

async fn classic_database_is_taken_over_whole(target: Database) {
    let source = classic();
    Database::server().execute(&source.name(), ROWS).expect("MariaDB takes the rows");
    let hashed = AtomicUsize::new(0);
    let progress = |done: usize, total: usize| {
        assert_eq!(done, hashed.fetch_add(1, Ordering::Relaxed) + 1);
        assert_eq!(total, 4);
    };

    let report = migrate(&source.config.url, &target.config, reversed(), &progress).await.expect("it works");

    assert_eq!(hashed.into_inner(), 4);
    let counts = (report.users, report.friendships, report.groups, report.group_members, report.messages);
    assert_eq!(counts, (4, 2, 2, 4, 4));
    assert_eq!(
        report.renamed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["user 16: renamed from \"li si\" to \"li si-2\""]
    );
    let problems = report.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("friendid 99") && problems[1].contains("cut off by its column"), "{problems:?}");

    let storage = target.open().await;
    for (id, name, password) in
        [(13, "zhang san", "123456"), (15, "li si", "666666"), (16, "li si-2", "'; DROP"), (21, "王五", "中文密码")]
    {
        let account = storage.account(&Who::Name(name.into())).await.expect("reading works").expect("it exists");
        assert_eq!((account.id, account.password), (id, format!("hash of {password}")));
    }
    for (one, other) in [(13, 15), (15, 13), (13, 21), (21, 13)] {
        assert!(storage.friend(one, other).await.expect("reading works").is_some(), "{one} {other}");
    }
    let page = GroupPage { group: 1, after: 0, limit: 10 };
    let users = storage.group_page(13, page).await.expect("reading works").expect("a member asks").users;
    let roles: Vec<_> = users.iter().map(|user| (user.id, user.role)).collect();
    assert_eq!(roles, [(13, Role::Creator), (15, Role::Normal), (21, Role::Normal)]);

    let mut waiting = Vec::new();
    for user in [13, 15, 16, 21] {
        waiting.push(storage.count_waiting(user, 100).await.expect("counting works"));
    }
    assert_eq!(waiting, [3, 1, 0, 1]);
    let conv = Conversation::direct(13, 15);
    let page = storage.messages_after(conv, 0, 10, usize::MAX).await.expect("reading works");
    assert_eq!(page.messages.iter().map(|message| &*message.msg).collect::<Vec<_>>(), ["hello", "世界 👋"]);
    let sent_as = SentAs { name: Some("li si".into()), time: Some("2024-01-01 10:00:00".into()) };
    assert_eq!(page.messages[0].sent_as.as_deref(), Some(&sent_as));

    // Life goes on: new ids above the old, new messages after the old, nobody posts to a stranger.
    assert!(user(&storage, "new").await > 21);
    let batch =
        [text(conv, 13, "back"), text(Conversation::Group(1), 21, "hi"), text(Conversation::direct(13, 16), 16, "?")];
    let expected = [Appended::Stored { seq: 3 }, Appended::Stored { seq: 2 }, Appended::NotAllowed];
    assert_eq!(outcomes(&storage, &batch).await, expected);
}

async fn database_with_data_is_not_migrated_into(target: Database) {
    let source = classic();
    user(&target.open().await, "somebody").await;
    let outcome = take_over(&source, &target).await;
    assert!(matches!(&outcome, Err(Error::Unusable(text)) if text.contains("empty database")), "{outcome:?}");
}

async fn failed_migration_writes_nothing_and_can_be_repeated(target: Database) {
    let source = classic();
    Database::server().execute(&source.name(), ROWS).expect("MariaDB takes the rows");
    let picky: HashPassword = Arc::new(|password: &str| match password {
        "666666" => Err("too simple".into()),
        other => Ok(other.into()),
    });
    let outcome = migrate(&source.config.url, &target.config, picky, &|_, _| {}).await;
    assert!(matches!(&outcome, Err(Error::Unusable(text)) if text.contains("user 15")), "{outcome:?}");

    let report = take_over(&source, &target).await.expect("it works");
    assert_eq!(report.users, 4);
    let again = take_over(&source, &target).await;
    assert!(matches!(&again, Err(Error::Unusable(_))), "{again:?}");
}

async fn empty_classic_database_is_fine(target: Database) {
    let report = take_over(&classic(), &target).await.expect("it works");
    assert_eq!(report, MigrationReport::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn classic_database_is_not_migrated_into_itself() {
    let source = classic();
    let outcome = take_over(&source, &source).await;
    assert!(matches!(&outcome, Err(Error::Unusable(text)) if text.contains("another, empty database")), "{outcome:?}");
    assert_eq!(source.tables().await, ["allgroup", "friend", "groupuser", "offlinemessage", "user"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_classic_database_is_migrated_from() {
    let target = Database::sqlite();
    let (ours, nothing) = (Database::mariadb(), Database::mariadb());
    drop(ours.open().await);
    for (source, reason) in [(&ours, "not a classic one"), (&nothing, "without a table \"user\""), (&target, "--from")]
    {
        let outcome = take_over(source, &target).await;
        assert!(matches!(&outcome, Err(Error::Unusable(text)) if text.contains(reason)), "{outcome:?}");
    }
}
