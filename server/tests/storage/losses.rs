//! A database that has lost the newest of what it had committed: what comes instead is told apart.

use crate::database::{Database, NOW, append, audience, node, outcomes, say, text, two_friends, user};
use crate::on_every_database;
use chat::storage::{Append, Appended, Change, End, Mark, Position};
use chat_protocol::conversation::Conversation;

on_every_database!(
    log_that_has_lost_its_end_goes_on_in_another_epoch,
    losses_are_found_by_what_is_known,
    version_of_members_that_is_lost_is_never_given_again,
    what_was_received_of_a_lost_end_does_not_count_for_what_came_instead,
    what_was_received_counts_as_far_as_the_log_is_the_same_after_two_losses,
);

/// The database has failed over to a copy without the newest two messages.
async fn lose_the_last_two(database: &Database, conv: Conversation) {
    database.execute(&format!("DELETE FROM message WHERE conv = '{conv}' AND seq > 3")).await;
    database.execute(&format!("UPDATE conversation SET last_seq = 3 WHERE id = '{conv}'")).await;
}

async fn log_that_has_lost_its_end_goes_on_in_another_epoch(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    let before = audience(&storage, conv).await.expect("it exists").version;
    lose_the_last_two(&database, conv).await;
    let known = |log_epoch, seq, msg| Append { known_end: End { log_epoch, seq }, ..text(conv, one, msg) };
    let first = known(0, 5, "first");

    let batch = [first.clone(), known(0, 5, "second"), text(conv, other, "of somebody who knows nothing")];
    let appended = append(&storage, &batch).await;

    let stored = |seq, log_epoch| Appended::Stored { seq, log_epoch };
    assert_eq!(appended.outcomes, [stored(4, 1), stored(5, 1), stored(6, 1)]);
    assert_eq!(appended.losses, [conv]);
    assert!(audience(&storage, conv).await.expect("it exists").version > before, "everybody hears of it");
    let position = storage.cursors(&[(conv, other, 0)]).await.expect("reading works")[0];
    assert_eq!(position, Some(Position { received_seq: 0, log_epoch: 1, epoch_after: 3 }));
    let page = storage.messages_after(conv, 2, 10, usize::MAX).await.expect("reading works");
    let epochs: Vec<_> = page.messages.iter().map(|message| (message.seq, message.log_epoch)).collect();
    assert_eq!(epochs, [(3, 0), (4, 1), (5, 1), (6, 1)]);
    // Who knew of the lost messages, and of what came after, sees no other loss; a resend is what it was.
    let again = append(&storage, &[first, known(1, 6, "third"), known(0, 5, "fourth")]).await;
    let resent = Appended::Duplicate { seq: 4, time: NOW, log_epoch: 1 };
    assert_eq!((&again.outcomes[..], &again.losses[..]), (&[resent, stored(7, 1), stored(8, 1)][..], &[][..]));
    // Even where the other epoch itself was lost, none is used twice.
    database.execute(&format!("UPDATE conversation SET log_epoch = 0, epoch_after = 0 WHERE id = '{conv}'")).await;
    assert_eq!(append(&storage, &[known(1, 8, "fifth")]).await.outcomes, [stored(9, 2)]);
}

async fn losses_are_found_by_what_is_known(database: Database) {
    let storage = database.open().await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let (one, other, conv) = two_friends(&storage).await;
    let third = user(&storage, "third").await;
    storage.add_friend(&third.into(), other).await.expect("befriending works");
    let whole = Conversation::direct(third, other);
    say(&storage, conv, one, 5).await;
    say(&storage, whole, third, 5).await;
    let version = async || audience(&storage, conv).await.expect("it exists").version;
    let known = |conv, version| Change { conv, end: End { log_epoch: 0, seq: 5 }, version };
    let known = [known(conv, version().await), known(whole, 0), known(Conversation::Group(1_000_000), 1)];
    assert_eq!(storage.find_losses(&key, &known).await.expect("looking works"), []);
    lose_the_last_two(&database, conv).await;

    let lost = storage.find_losses(&key, &known).await.expect("looking works");

    let now = Change { conv, end: End { log_epoch: 1, seq: 3 }, version: version().await };
    assert_eq!(lost, [now]);
    assert!(now.version > known[0].version);
    assert_eq!(storage.find_losses(&key, &known).await.expect("looking works"), [], "each is found once");
    assert_eq!(outcomes(&storage, &[text(conv, one, "new")]).await, [Appended::Stored { seq: 4, log_epoch: 1 }]);
}

async fn version_of_members_that_is_lost_is_never_given_again(database: Database) {
    let storage = database.open().await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 1).await;
    let known = Change { conv, end: End { log_epoch: 0, seq: 1 }, version: 7 };

    let lost = storage.find_losses(&key, &[known]).await.expect("looking works");

    assert_eq!(lost, [Change { version: 8, ..known }], "the log has lost nothing");
    assert_eq!(audience(&storage, conv).await.expect("it exists").version, 8);
    // Whoever writes notices as well.
    let written = Append { allowed_under: 11, ..text(conv, one, "allowed under a version that is lost") };
    assert_eq!(outcomes(&storage, &[written]).await, [Appended::Stored { seq: 2, log_epoch: 0 }]);
    assert_eq!(audience(&storage, conv).await.expect("it exists").version, 12);
}

async fn what_was_received_of_a_lost_end_does_not_count_for_what_came_instead(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    lose_the_last_two(&database, conv).await;
    let known = Append { known_end: End { log_epoch: 0, seq: 5 }, ..text(conv, one, "instead of the fourth") };
    append(&storage, &[known, text(conv, one, "instead of the fifth")]).await;
    let received = async |log_epoch| {
        let mark = Mark { conv, user: other, seq: 5, log_epoch };
        storage.mark_received(None, &[mark]).await.expect("marking works");
        storage.cursors(&[(conv, other, 0)]).await.expect("reading works")[0].map(|position| position.received_seq)
    };

    assert_eq!(received(0).await, Some(3), "as far as the log is still the same");
    assert_eq!(received(2).await, Some(3), "of an epoch that the database does not know");
    assert_eq!(received(1).await, Some(5));
}

async fn what_was_received_counts_as_far_as_the_log_is_the_same_after_two_losses(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    lose_the_last_two(&database, conv).await;
    let known = |log_epoch, seq, msg| Append { known_end: End { log_epoch, seq }, ..text(conv, one, msg) };
    append(&storage, &[known(0, 5, "instead of the fourth"), text(conv, one, "instead of the fifth")]).await;
    // The second loses nothing that is in the log, but what somebody knows of.
    append(&storage, &[known(1, 6, "instead of another sixth")]).await;
    let received = async |seq, log_epoch| {
        storage.mark_received(None, &[Mark { conv, user: other, seq, log_epoch }]).await.expect("marking works");
        storage.cursors(&[(conv, other, 0)]).await.expect("reading works")[0].map(|position| position.received_seq)
    };

    assert_eq!(received(5, 0).await, Some(3));
    assert_eq!(received(6, 1).await, Some(5));
    assert_eq!(received(6, 2).await, Some(6));
}
