//! What happens when the database is slow, blocked, or gone: every call ends in time, nothing is half done, and a
//! resend finds what was stored.

use crate::database::{
    Database, NOBODY, NOW, SOON, append, node, outcomes, say, stored_at, stored_before, text, two_friends,
};
use crate::on_every_database;
use chat::storage::{self, Append, Appended, Error, Mark, Storage};
use chat_protocol::conversation::Conversation;
use services::eventually;
use services::mariadb::Mariadb;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

on_every_database!(abandoned_calls_leave_nothing_half_done);

async fn abandoned_calls_leave_nothing_half_done(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let mut sent = Vec::new();
    for round in 0..40 {
        let batch: Vec<Append> = (0..5).map(|nth| text(conv, one, &format!("{round}/{nth}"))).collect();
        // Cut off at a different point each time, be it before, in the middle or after.
        let patience = Duration::from_micros(round * 60);
        let _ = tokio::time::timeout(patience, storage.append(&NOBODY, &batch, NOW, &|| true)).await;
        let _ = tokio::time::timeout(patience, storage.add_friend(&one.into(), other)).await;
        sent.extend(batch);
    }

    let stored = outcomes(&storage, &sent).await;

    let page = storage.messages_after(conv, 0, 1_000, usize::MAX).await.expect("reading works");
    assert!(page.messages.iter().map(|message| message.seq).eq(1..=200));
    let seq_of: HashMap<_, _> = page.messages.iter().map(|message| (message.mid, message.seq)).collect();
    for (message, outcome) in sent.iter().zip(stored) {
        let (Appended::Stored { seq, .. } | Appended::Duplicate { seq, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(seq_of[&message.mid], seq);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blocked_conversation_does_not_hold_up_the_others() {
    let database = Database::mariadb();
    let storage = database.open().await;
    let (one, _, blocked) = two_friends(&storage).await;
    let mut free = Vec::new();
    for name in ["first", "second"] {
        let group =
            storage.create_group(&one.into(), name, "").await.expect("creating works").expect("the name is free");
        free.push(Conversation::Group(group));
    }
    let holder = database.hold(&format!("conversation WHERE id = '{blocked}'")).await;

    let batch = [text(free[0], one, "a"), text(blocked, one, "b"), text(free[1], one, "c"), text(blocked, one, "d")];
    let stored = stored_at(1);
    assert_eq!(outcomes(&storage, &batch).await, [stored, Appended::Blocked, stored, Appended::Blocked]);

    drop(holder);
    let duplicate = stored_before(1);
    assert_eq!(outcomes(&storage, &batch).await, [duplicate, stored, duplicate, stored_at(2)]);
}

/// A LEAVE whose client has given up, on a connection that hangs: its COMMIT arrives late.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settled_conversation_is_read_after_a_transaction_that_ends_late() {
    let database = Database::mariadb();
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let mut holder = database.hold(&format!("conversation WHERE id = '{conv}'")).await;
    let leave = format!("DELETE FROM member WHERE conv = '{conv}' AND userid = {other}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(leave)).execute(&mut holder).await.expect("the row is there");

    let settling = tokio::spawn({
        let storage = storage.clone();
        async move { storage.settled(conv, other).await }
    });
    eventually(SOON, "it waits for the lock", async || {
        let waiting = "SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
        (!database.texts(waiting).await.is_empty()).then_some(())
    })
    .await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("MariaDB commits");

    let settled = settling.await.expect("no panic").expect("reading works").expect("it exists");
    assert_eq!((settled.position, &settled.audience.members[..]), (None, &[one][..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn call_that_runs_out_of_time_gives_its_locks_up() {
    let mut database = Database::mariadb();
    database.config = chat::config::Database { timeout_ms: 500, connections: 1, ..database.config.clone() };
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let group = Conversation::Group(group);
    let holder = database.hold(&format!("conversation WHERE id = '{group}'")).await;

    // It locks the one conversation, waits for the other, and is cut off.
    let batch = [text(conv, one, "a"), text(group, one, "b")];
    let outcome = storage.append(&NOBODY, &batch, NOW, &|| true).await;
    assert!(matches!(&outcome, Err(Error::Unavailable(text)) if text.contains("500 ms")), "{outcome:?}");

    eventually(SOON, "the lock is given up and the pool is whole again", async || {
        storage.append(&NOBODY, &[text(conv, other, "c")], NOW, &|| true).await.ok()
    })
    .await;
    drop(holder);
    assert!(matches!(append(&storage, &batch).await.outcomes[..], [_, Appended::Stored { seq: 1, .. }]));
}

async fn recovers(storage: &Arc<dyn Storage>, batch: &[Append]) -> Vec<Appended> {
    eventually(SOON, "the database is used again", async || {
        storage.append(&NOBODY, batch, NOW, &|| true).await.ok().map(|appended| appended.outcomes)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn server_that_dies_or_hangs_is_unavailable_until_it_is_back() {
    let mut server = Mariadb::start().expect("MariaDB should start");
    let mut database = Database::on(&server);
    database.config.timeout_ms = 1_000;
    let storage = storage::open(&database.config).await.expect("the database opens");
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;

    server.kill().expect("MariaDB dies");
    let message = [text(conv, one, "into the void")];
    let outcome = storage.append(&NOBODY, &message, NOW, &|| true).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    server.restart().expect("MariaDB starts again");
    assert_eq!(recovers(&storage, &message).await, [stored_at(4)]);

    server.pause().expect("MariaDB hangs");
    let message = [text(conv, one, "into the silence")];
    let outcome = storage.append(&NOBODY, &message, NOW, &|| true).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    let outcome = storage.waiting(&[one]).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    server.resume().expect("MariaDB goes on");
    // What hung may have been carried out.
    let outcome = recovers(&storage, &message).await[0];
    let is_fifth = matches!(outcome, Appended::Stored { seq: 5, .. } | Appended::Duplicate { seq: 5, .. });
    assert!(is_fifth, "{outcome:?}");
    say(&storage, conv, one, 1).await;
}

/// A limit on every SELECT would hide members and messages; a COMMIT that begins the next transaction would leave what
/// is done outside of one without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_server_sets_for_everybody_changes_no_statement_of_ours() {
    let server = Mariadb::start().expect("MariaDB should start");
    server.execute("", "SET GLOBAL sql_select_limit = 1, GLOBAL completion_type = 1").expect("MariaDB takes it");
    let database = Database::on(&server);
    let storage = storage::open(&database.config).await.expect("the database opens");

    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;

    let page = storage.messages_after(conv, 0, 10, usize::MAX).await.expect("reading works");
    assert_eq!(page.messages.len(), 3);
    assert_eq!(storage.count_waiting(other, 10).await.expect("counting works"), 3);
}

/// Prepared again for each batch, statements would cost several times what they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_are_prepared_once_whatever_the_size_of_a_batch() {
    let server = Mariadb::start().expect("MariaDB should start");
    let mut database = Database::on(&server);
    database.config.connections = 1;
    let storage = storage::open(&database.config).await.expect("the database opens");
    let (one, other, conv) = two_friends(&storage).await;
    let work = async |sizes: std::ops::Range<usize>| {
        for size in sizes {
            say(&storage, conv, one, size).await;
            let marks: Vec<Mark> =
                (0..size).map(|_| Mark { conv, user: other, seq: 1_000_000, log_epoch: 0 }).collect();
            storage.mark_received(None, &marks).await.expect("marking works");
            storage.routes(&(1..=size as u64).collect::<Vec<_>>()).await.expect("reading works");
        }
    };
    let prepared = || {
        let status = server.execute("", "SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'").expect("MariaDB answers");
        status.split_whitespace().last().and_then(|count| count.parse::<u32>().ok()).expect("a number")
    };
    work(1..65).await;
    let before = prepared();
    work(1..65).await;
    assert_eq!(prepared(), before);
}

/// The call has given up, the transaction has not: as with a COMMIT that hangs on its way for longer than anybody
/// waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commit_that_outlives_its_call_is_found_by_a_later_look() {
    let mut database = Database::mariadb();
    database.config = chat::config::Database { timeout_ms: 500, ..database.config.clone() };
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let seen = storage.changes(None).await.expect("reading works").seen;
    // It stands for the transaction itself, which holds the row until it commits.
    let mut hanging = database.hold(&format!("conversation WHERE id = '{conv}'")).await;
    storage.append(&key, &[text(conv, one, "a")], NOW, &|| true).await.expect_err("it runs out of time");

    storage.renew_lease(&key, false).await.expect("renewing works");
    let looked = storage.changes(Some(&seen)).await.expect("reading works");
    assert_eq!(looked.changed, []);
    let commit = format!("UPDATE conversation SET last_seq = 1, changed_by = 1, change_number = 1 WHERE id = '{conv}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(commit)).execute(&mut hanging).await.expect("it holds the row");
    sqlx::raw_sql("COMMIT").execute(&mut hanging).await.expect("at last");

    let changed = storage.changes(Some(&looked.seen)).await.expect("reading works");
    assert_eq!(changed.changed.iter().map(|change| change.conv).collect::<Vec<_>>(), [conv]);
    // Now it is known to be over, and not looked for any more.
    storage.renew_lease(&key, false).await.expect("renewing works");
    let settled = storage.changes(Some(&changed.seen)).await.expect("reading works");
    assert_eq!(storage.changes(Some(&settled.seen)).await.expect("reading works").changed, []);
}
