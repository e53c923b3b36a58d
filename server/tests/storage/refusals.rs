//! Messages that the database refuses: each is answered for itself, and no other suffers.

use crate::database::{Database, outcomes, stored_at, text, two_friends};
use crate::on_every_database;
use chat::storage::{Append, Appended};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::SentAs;

on_every_database!(
    message_that_the_database_refuses_fails_no_other,
    batch_of_which_every_message_is_refused_is_settled_message_by_message,
);

/// From here on the database takes no message with this text.
async fn refuse(database: &Database, body: &str) {
    let sql = match database.config.url.starts_with("mysql") {
        true => format!("ALTER TABLE message ADD CONSTRAINT refused CHECK (body <> '{body}')"),
        false => format!(
            "CREATE TRIGGER refused BEFORE INSERT ON message WHEN NEW.body = '{body}' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ),
    };
    database.execute(&sql).await;
}

async fn message_that_the_database_refuses_fails_no_other(database: Database) {
    let storage = database.open().await;
    let (one, other, direct) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let group = Conversation::Group(group);
    refuse(&database, "poison").await;
    let poisoned = [3, 4, 77, 255];
    let batch: Vec<Append> = (0..256)
        .map(|nth| {
            let (conv, sender) =
                if nth % 3 == 0 { (group, one) } else { (direct, if nth % 2 == 0 { one } else { other }) };
            let body = if poisoned.contains(&nth) { "poison".to_owned() } else { format!("message {nth}") };
            text(conv, sender, &body)
        })
        .collect();

    let outcomes_of = outcomes(&storage, &batch).await;

    for (nth, outcome) in outcomes_of.iter().enumerate() {
        let is_refused = matches!(outcome, Appended::Unstorable);
        assert_eq!(is_refused, poisoned.contains(&nth), "message {nth}: {outcome:?}");
    }
    for conv in [direct, group] {
        let page = storage.messages_after(conv, 0, 1_000, usize::MAX).await.expect("reading works");
        let sent = batch.iter().filter(|message| message.conv == conv && &*message.msg != "poison");
        assert!(page.messages.iter().map(|message| &message.msg).eq(sent.map(|message| &message.msg)), "in order");
        assert!(page.messages.iter().map(|message| message.seq).eq(1..=page.messages.len() as u64), "without a gap");
    }
    let again = outcomes(&storage, &batch).await;
    assert!(again.iter().zip(&outcomes_of).all(|pair| matches!(
        pair,
        (Appended::Duplicate { seq, .. }, Appended::Stored { seq: stored, .. }) if seq == stored
    ) || matches!(
        pair,
        (Appended::Unstorable, Appended::Unstorable)
    )));
}

async fn batch_of_which_every_message_is_refused_is_settled_message_by_message(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    refuse(&database, "poison").await;
    let message = text(conv, one, "poison");
    let mut batch: Vec<Append> = (0..20).map(|_| text(conv, one, "poison")).collect();
    batch.extend([message.clone(), message]);

    assert!(outcomes(&storage, &batch).await.iter().all(|outcome| *outcome == Appended::Unstorable));

    assert_eq!(outcomes(&storage, &[text(conv, one, "food")]).await, [stored_at(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_fit_its_column_fails_no_other() {
    let database = Database::mariadb();
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let long = |bytes| SentAs { name: Some("x".repeat(bytes)), time: None };
    let classic = |bytes| Append { sent_as: Some(Box::new(long(bytes))), ..text(conv, one, "classic") };
    let batch = [text(conv, one, "a"), classic(60_000), classic(70_000), text(conv, one, "b")];

    let stored = stored_at;
    assert_eq!(outcomes(&storage, &batch).await, [stored(1), stored(2), Appended::Unstorable, stored(3)]);
}
