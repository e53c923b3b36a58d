//! What is wrong in the database is found and named; what is well is not; and what can only get better is repaired.

use crate::database::{Database, group, node, outcomes, say, session_of, stored_at, text, two_friends, user};
use crate::on_every_database;
use crate::retention::newest_at_any_price;
use chat::storage::verify::{Finding, Part, Wrong, verify_all};
use chat::storage::{self, Error, NodeStart, Storage};
use chat_protocol::conversation::{Conversation, UserId};
use std::sync::Arc;

on_every_database!(
    sound_database_has_no_findings,
    missing_messages_are_told_by_number,
    messages_outside_of_their_log_are_repaired,
    cursor_past_the_end_is_moved_back,
    rows_that_hang_in_the_air_are_found,
    states_that_do_not_fit_the_sessions_are_found,
    everything_is_looked_at_in_pages,
    database_without_our_tables_is_left_as_it_is,
);

async fn findings(storage: &Arc<dyn Storage>, repair: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    verify_all(&**storage, repair, |finding| findings.push(finding)).await.expect("verifying works");
    findings
}

/// What is wrong, and where.
async fn wrongs(storage: &Arc<dyn Storage>) -> Vec<(Wrong, String)> {
    findings(storage, false).await.into_iter().map(|finding| (finding.wrong, finding.what)).collect()
}

/// Two friends with some messages, who are in a group with some more, cut to the newest two.
async fn world(storage: &Arc<dyn Storage>) -> (UserId, UserId, Conversation, Conversation) {
    let (one, other, direct) = two_friends(storage).await;
    let group = group(storage, one, "group").await;
    storage.join_group(&other.into(), group, 10).await.expect("joining works");
    let conv = Conversation::Group(group);
    say(storage, direct, one, 5).await;
    say(storage, conv, other, 5).await;
    storage.shorten(conv, &newest_at_any_price(2)).await.expect("shortening works");
    (one, other, direct, conv)
}

async fn sound_database_has_no_findings(database: Database) {
    let storage = database.open().await;
    assert_eq!(wrongs(&storage).await, []);
    let (one, ..) = world(&storage).await;
    let key = node("one", 1);
    assert_eq!(storage.start_node(&key).await.expect("starting works"), NodeStart::Ready);
    session_of(&storage, &key, one).await;

    let checked = verify_all(&*storage, false, |finding| panic!("{finding:?}")).await.expect("verifying works");

    let expected =
        [(Part::Logs, 2), (Part::Members, 4), (Part::GroupUsers, 2), (Part::Friends, 2), (Part::Sessions, 2)];
    assert_eq!(checked, expected);
}

async fn missing_messages_are_told_by_number(database: Database) {
    let storage = database.open().await;
    let (_, _, direct, group) = world(&storage).await;
    database.execute(&format!("DELETE FROM message WHERE conv = '{direct}' AND seq IN (1, 3, 4)")).await;
    database.execute(&format!("DELETE FROM message WHERE conv = '{group}' AND seq = 5")).await;

    let missing = |conv: Conversation, stretch: &str| (Wrong::MessagesMissing, format!("{conv}: {stretch}"));
    assert_eq!(
        wrongs(&storage).await,
        [missing(direct, "1 to 1"), missing(direct, "3 to 4"), missing(group, "5 to 5")]
    );
    database.execute("DELETE FROM message").await;
    assert_eq!(wrongs(&storage).await, [missing(direct, "1 to 5"), missing(group, "4 to 5")]);
}

async fn messages_outside_of_their_log_are_repaired(database: Database) {
    let storage = database.open().await;
    let (one, _, direct, group) = world(&storage).await;
    database.execute(&format!("UPDATE conversation SET last_seq = 3 WHERE id = '{direct}'")).await;
    database.execute(&format!("UPDATE conversation SET first_seq = 5 WHERE id = '{group}'")).await;

    let found = findings(&storage, true).await;

    let wrongs: Vec<_> = found.iter().map(|finding| (finding.wrong, finding.is_repaired)).collect();
    assert_eq!(wrongs, [(Wrong::MessagesPastEnd, true), (Wrong::MessagesRemoved, true)]);
    assert_eq!(findings(&storage, false).await, []);
    assert_eq!(outcomes(&storage, &[text(direct, one, "next")]).await, [stored_at(6)]);
}

async fn cursor_past_the_end_is_moved_back(database: Database) {
    let storage = database.open().await;
    let (one, other, direct, _) = world(&storage).await;
    database.execute(&format!("UPDATE member SET received_seq = 9 WHERE conv = '{direct}' AND userid = {other}")).await;

    let what = format!("user {other} of {direct}: has received 9, and the log ends at 5");
    assert_eq!(wrongs(&storage).await, [(Wrong::CursorPastEnd, what)]);
    assert!(findings(&storage, true).await[0].is_repaired);

    assert_eq!(wrongs(&storage).await, []);
    say(&storage, direct, one, 1).await;
    let waiting = storage.waiting(&[other]).await.expect("reading works");
    assert!(waiting.iter().any(|waiting| waiting.conv == direct && waiting.position.received_seq == 5));
}

async fn rows_that_hang_in_the_air_are_found(database: Database) {
    let storage = database.open().await;
    let (one, other, direct, group) = world(&storage).await;
    for sql in [
        format!("DELETE FROM member WHERE conv = '{group}' AND userid = {one}"),
        format!("DELETE FROM friend WHERE userid = {one}"),
        format!("DELETE FROM groupuser WHERE userid = {other}"),
        format!("DELETE FROM conversation WHERE id = '{direct}'"),
        "INSERT INTO conversation (id) VALUES ('nobody')".to_owned(),
        "INSERT INTO conversation (id, first_seq) VALUES ('g77', 3)".to_owned(),
        "INSERT INTO node (id, gone) VALUES ('strange', 1)".to_owned(),
    ] {
        database.execute(&sql).await;
    }

    let found = wrongs(&storage).await.into_iter().map(|(wrong, _)| wrong).collect::<Vec<_>>();

    assert_eq!(
        found,
        [
            Wrong::LogBounds,
            Wrong::ConversationName,
            Wrong::MessagesOfNoConversation,
            Wrong::MemberOfNoConversation,
            Wrong::MemberOfNoConversation,
            Wrong::MemberNotInGroup,
            Wrong::GroupUserNoMember,
            Wrong::FriendOneSided,
            Wrong::FriendWithoutConversation,
            Wrong::NodeCount,
        ]
    );
}

async fn states_that_do_not_fit_the_sessions_are_found(database: Database) {
    let storage = database.open().await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let (one, other) = (user(&storage, "one").await, user(&storage, "other").await);
    session_of(&storage, &key, one).await;
    session_of(&storage, &key, other).await;
    assert_eq!(wrongs(&storage).await, []);

    database.execute(&format!("DELETE FROM user WHERE id = {other}")).await;
    storage.stop_node(&key).await.expect("stopping works");

    let stale = format!("user {one} is shown online, and has none");
    let gone = format!("user {other}, who has a session row");
    assert_eq!(wrongs(&storage).await, [(Wrong::StateStale, stale), (Wrong::UserGone, gone)]);
}

async fn everything_is_looked_at_in_pages(database: Database) {
    let storage = database.open().await;
    let one = user(&storage, "one").await;
    for nth in 0..600 {
        group(&storage, one, &format!("group {nth}")).await;
    }
    let last = Conversation::Group(group(&storage, one, "last").await);
    say(&storage, last, one, 1_200).await;
    database.execute("INSERT INTO message (conv, seq, sender, mid, time, body) VALUES ('g0', 1, 1, 'x', 1, '')").await;
    database.execute("UPDATE conversation SET last_seq = 1 WHERE id = 'g99'").await;

    let mut found = Vec::new();
    let checked = verify_all(&*storage, false, |finding| found.push(finding.what)).await.expect("verifying works");

    assert_eq!(checked[0], (Part::Logs, 601));
    assert_eq!(found, ["g0: 1 messages", "g99: 1 to 1"]);
}

async fn database_without_our_tables_is_left_as_it_is(database: Database) {
    match storage::open_existing(&database.config).await {
        Err(Error::Unusable(text)) => assert!(text.contains("none of our tables") || text.contains("no database")),
        other => panic!("{:?}", other.map(|_| ())),
    }
    database.open().await;
    storage::open_existing(&database.config).await.expect("now it has them");
}
