//! Taking a classic database over: everything in it is there afterwards, or named in the report.

use crate::database::{Database, outcomes, stored_at, text, user};
use crate::on_every_database;
use chat::storage::migrate::{Encoding, HashPassword, MigrationReport, migrate, migrate_as, preview};
use chat::storage::{Appended, Error, Result};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::{GroupPage, Role, SentAs, Who};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

on_every_database!(
    classic_database_is_taken_over_whole,
    database_with_data_is_not_migrated_into,
    failed_migration_writes_nothing_and_can_be_repeated,
    empty_classic_database_is_fine,
    database_filled_over_a_gbk_connection_is_repaired,
    genuine_chinese_is_taken_over_as_it_is,
);

/// As the course has it, in the character set that MySQL 5 gave it.
const CLASSIC: &str = "
CREATE TABLE user (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), password VARCHAR(50),
                   state ENUM('online','offline') DEFAULT 'offline') DEFAULT CHARSET utf8mb3;
CREATE TABLE friend (userid INT NOT NULL, friendid INT NOT NULL);
CREATE TABLE allgroup (id INT PRIMARY KEY AUTO_INCREMENT, groupname VARCHAR(50) NOT NULL,
                       groupdesc VARCHAR(200) DEFAULT '') DEFAULT CHARSET utf8mb3;
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
    for (one, others) in [(13, &[15, 21][..]), (15, &[13]), (21, &[13])] {
        let friends = storage.friends(&[one], 10).await.expect("reading works");
        assert_eq!(friends[0].iter().map(|friend| friend.id).collect::<Vec<_>>(), others, "{one}");
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
    let expected = [stored_at(3), stored_at(2), Appended::NotAllowed];
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

/// What the classic servers do: they speak GBK with the database, and their clients UTF-8 with them. Backslashes of the
/// JSON are left to the SQL.
const OVER_GBK: &str = r#"
SET SESSION sql_mode = '';
SET NAMES gbk;
INSERT INTO user VALUES (13, '张三', '密码', 'online'), (15, 'li si', '666666', 'offline'), (16, '你好吗', '好', 'offline');
INSERT INTO friend VALUES (13, 15), (13, 16);
INSERT INTO allgroup VALUES (1, '群聊', '欢迎!');
INSERT INTO groupuser VALUES (1, 13, 'creator'), (1, 15, 'normal');
INSERT INTO offlinemessage VALUES
 (15, '{"id":13,"msg":"你好","msgid":6,"name":"张三","time":"2024-01-01 10:00:00","toid":15}'),
 (15, '{"id":13,"msg":"say \"你好\"\nbye","msgid":6,"name":"张三","time":"2024-01-01 10:00:01","toid":15}'),
 (15, '{"id":13,"msg":"C:\\new","msgid":6,"name":"张三","time":"2024-01-01 10:00:02","toid":15}'),
 (15, '{"id":13,"msg":"odd one 你好吗","msgid":6,"name":"张三","time":"2024-01-01 10:00:03","toid":15}'),
 (15, '{"groupid":1,"id":13,"msg":"张三你好","msgid":10,"name":"张三","time":"2024-01-01 10:00:04"}');"#;

async fn database_filled_over_a_gbk_connection_is_repaired(target: Database) {
    let source = classic();
    Database::server().execute(&source.name(), OVER_GBK).expect("MariaDB takes the rows");

    let report = take_over(&source, &target).await.expect("it works");

    // Two names and a description, a password, five messages; a byte of 你好吗 is lost each time, and all of 好 that
    // counts.
    assert_eq!((report.repaired, report.repaired_in_part, report.unescaped, report.unrepaired), (8, 2, 2, 1));
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.contains("GBK")), "{problems:?}");
    let storage = target.open().await;
    let account = storage.account(&Who::Name("张三".into())).await.expect("reading works").expect("it exists");
    assert_eq!((account.id, &*account.password), (13, "hash of 密码"));
    assert!(storage.account(&Who::Name("你好\u{FFFD}".into())).await.expect("reading works").is_some());
    let group = &storage.groups(&[13], 5).await.expect("reading works")[0][0];
    assert_eq!((&*group.groupname, &*group.groupdesc), ("群聊", "欢迎!"));
    let page = storage.messages_after(Conversation::direct(13, 15), 0, 10, usize::MAX).await.expect("reading works");
    let texts: Vec<_> = page.messages.iter().map(|message| &*message.msg).collect();
    assert_eq!(texts, ["你好", "say \"你好\"\nbye", "C:\\new", "odd one 你好\u{FFFD}"]);
    assert_eq!(page.messages[0].sent_as.as_ref().and_then(|sent| sent.name.as_deref()), Some("张三"));
    let page = storage.messages_after(Conversation::Group(1), 0, 10, usize::MAX).await.expect("reading works");
    assert_eq!(&*page.messages[0].msg, "张三你好");
}

async fn genuine_chinese_is_taken_over_as_it_is(target: Database) {
    let source = classic();
    Database::server().execute(&source.name(), &OVER_GBK.replace("NAMES gbk", "NAMES utf8mb4")).expect("rows");

    let report = take_over(&source, &target).await.expect("it works");

    assert_eq!((report.repaired, report.repaired_in_part, report.unescaped, report.unrepaired), (0, 0, 2, 0));
    assert_eq!(report.problems, []);
    let storage = target.open().await;
    for (id, name, password) in [(13, "张三", "密码"), (16, "你好吗", "好")] {
        let account = storage.account(&Who::Name(name.into())).await.expect("reading works").expect("it exists");
        assert_eq!((account.id, account.password), (id, format!("hash of {password}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encoding_that_is_said_is_not_looked_for() {
    let source = classic();
    Database::server().execute(&source.name(), OVER_GBK).expect("MariaDB takes the rows");
    let target = Database::sqlite();

    let report = migrate_as(Encoding::Utf8, &source.config.url, &target.config, reversed(), &|_, _| {}).await;

    assert_eq!(report.expect("it works").repaired, 0);
    let stored = Who::Name("寮犱笁".into());
    assert!(target.open().await.account(&stored).await.expect("reading works").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_says_what_would_happen_and_writes_nothing() {
    let source = classic();
    Database::server().execute(&source.name(), OVER_GBK).expect("MariaDB takes the rows");

    let seen = preview(Encoding::Auto, &source.config.url, Duration::from_secs(20)).await.expect("it works");

    let example = seen.examples.first().expect("an example").to_string();
    assert!(example.contains("寮犱笁 -> 张三"), "{example}");
    assert!(seen.examples.iter().all(|example| !example.after.contains("密码")), "a password");
    assert_eq!(seen, take_over(&source, &Database::sqlite()).await.expect("it works"));
    assert_eq!(source.tables().await, ["allgroup", "friend", "groupuser", "offlinemessage", "user"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_found_whatever_their_case_and_two_of_one_name_are_not_guessed() {
    let source = Database::mariadb();
    let renamed = |sql: &str| {
        [("user", "User"), ("allgroup", "AllGroup"), ("groupuser", "GroupUser"), ("friend", "Friend")].iter().fold(
            sql.replace("offlinemessage", "OfflineMessage"),
            |sql, (old, new)| {
                sql.replace(&format!("TABLE {old} "), &format!("TABLE {new} "))
                    .replace(&format!("INTO {old} "), &format!("INTO {new} "))
            },
        )
    };
    Database::server().execute(&source.name(), &renamed(CLASSIC)).expect("MariaDB takes the tables");
    Database::server().execute(&source.name(), &renamed(ROWS)).expect("MariaDB takes the rows");
    assert_eq!(
        source.tables().await,
        ["AllGroup", "Friend", "GroupUser", "OfflineMessage", "User"],
        "it tells them apart"
    );

    let report = take_over(&source, &Database::sqlite()).await.expect("it works");
    let counts = (report.users, report.friendships, report.groups, report.group_members, report.messages);
    assert_eq!(counts, (4, 2, 2, 4, 4));

    Database::server().execute(&source.name(), "CREATE TABLE friend (userid INT)").expect("MariaDB takes the table");
    let outcome = take_over(&source, &Database::sqlite()).await;
    assert!(matches!(&outcome, Err(Error::Unusable(text)) if text.contains("Friend")), "{outcome:?}");
}

/// The tables of the browsers' GBK, which we undo with, and of the databases' agree on every pair that a database
/// knows.
#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_bytes_that_the_database_reads_as_gbk_is_found_again() {
    let source = classic();
    // Two characters are six bytes, and so three pairs.
    let texts: Vec<String> = ('\u{4e00}'..='\u{9fa5}').map(|one| format!("{one}{one}")).collect();
    for (chunk, number) in texts.chunks(1_000).zip(0..) {
        let rows: Vec<_> =
            (1..).zip(chunk).map(|(id, text)| format!("({}, '{text}', 'x', 'offline')", number * 1_000 + id)).collect();
        let sql = format!("SET SESSION sql_mode = ''; SET NAMES gbk; INSERT INTO user VALUES {}", rows.join(","));
        Database::server().execute(&source.name(), &sql).expect("MariaDB takes the rows");
    }
    let target = Database::sqlite();
    let report = take_over(&source, &target).await.expect("it works");

    let storage = target.open().await;
    let mut whole = 0;
    for (id, text) in (1..).zip(&texts) {
        let account = storage.account(&Who::Id(id)).await.expect("reading works").expect("it exists");
        if account.name == *text {
            whole += 1;
        } else {
            let about = format!("id {id}, name");
            assert!(report.problems.iter().any(|problem| problem.row == about), "{id} {text} {}", account.name);
        }
    }
    assert_eq!(whole, report.repaired);
    assert!(whole > texts.len() / 2, "{whole}");
}
