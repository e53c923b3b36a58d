//! Logs get shorter from their beginning, in small steps, and never past what a rule or a member still needs.

use crate::database::{Database, append, cursors, group, outcomes, say, stored_at, stored_before, text};
use crate::database::{two_friends, user};
use crate::on_every_database;
use chat::storage::{KeepRule, Mark, Moment, Shortened, Storage};
use chat_protocol::conversation::{Conversation, UserId};
use std::sync::Arc;

on_every_database!(
    log_is_cut_to_the_newest_messages,
    old_messages_go_and_young_ones_stay,
    messages_from_before_ages_were_counted_go_by_the_clock,
    what_a_member_has_not_received_stays,
    nobody_waits_for_the_sender,
    hard_limit_goes_past_a_member,
    log_can_be_emptied_and_goes_on,
    reader_who_misses_messages_is_told_where_the_log_begins,
    resend_is_known_as_long_as_the_message_is_there,
    long_logs_take_several_steps,
    logs_are_looked_at_in_pages,
);

/// What every clock and count comes to one day.
const FAR: Moment = Moment { time: i64::MAX, age: i64::MAX };

/// Keeps the newest so many.
fn newest(count: u64) -> KeepRule {
    KeepRule { older_than: None, newest: Some(count), resent_until: None, unreceived_older_than: None }
}

/// The same, whoever has not received the others.
pub fn newest_at_any_price(count: u64) -> KeepRule {
    KeepRule { unreceived_older_than: Some(FAR), ..newest(count) }
}

async fn receive(storage: &Arc<dyn Storage>, conv: Conversation, users: &[UserId], seq: u64) {
    let marks: Vec<Mark> = users.iter().map(|user| Mark { conv, user: *user, seq, log_epoch: 0 }).collect();
    storage.mark_received(None, &marks).await.expect("marking works");
}

async fn shorten(storage: &Arc<dyn Storage>, conv: Conversation, rule: &KeepRule) -> Shortened {
    storage.shorten(conv, rule).await.expect("shortening works")
}

async fn old_logs(storage: &Arc<dyn Storage>, rule: &KeepRule) -> Vec<Conversation> {
    storage.old_logs("", rule).await.expect("looking works").old
}

/// The log, read from its beginning.
async fn log(storage: &Arc<dyn Storage>, conv: Conversation) -> (u64, Vec<u64>) {
    let page = storage.messages_before(conv, None, 1_000, usize::MAX).await.expect("reading works");
    (page.first_seq, page.messages.iter().map(|message| message.seq).collect())
}

async fn log_is_cut_to_the_newest_messages(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 10).await;
    receive(&storage, conv, &[one, other], 10).await;
    assert_eq!(log(&storage, conv).await, (1, (1..=10).collect()));

    assert_eq!(old_logs(&storage, &newest(10)).await, []);
    assert_eq!(old_logs(&storage, &newest(4)).await, [conv]);
    assert_eq!(shorten(&storage, conv, &newest(4)).await, Shortened { removed: 6, unreceived: 0, more: false });

    assert_eq!(log(&storage, conv).await, (7, vec![7, 8, 9, 10]));
    assert_eq!(old_logs(&storage, &newest(4)).await, [], "it is done");
    assert_eq!(shorten(&storage, conv, &newest(4)).await, Shortened::default());
    assert_eq!(cursors(&storage, &[(conv, one), (conv, other)]).await, [Some(10), Some(10)]);
}

async fn old_messages_go_and_young_ones_stay(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    database.execute("UPDATE message SET time = 1, cluster_age = 1000 * seq").await;
    receive(&storage, conv, &[one, other], 3).await;
    // The clock of the node that asks is ahead by ages, and removes nothing by that.
    let is = |age| Some(Moment { age, ..FAR });
    let older_than = |age| KeepRule { older_than: is(age), newest: None, ..newest(0) };

    assert_eq!(old_logs(&storage, &older_than(1_000)).await, []);
    let within_the_window = KeepRule { resent_until: is(1_000), ..older_than(3_000) };
    assert_eq!(shorten(&storage, conv, &within_the_window).await, Shortened::default());
    assert_eq!(old_logs(&storage, &older_than(3_000)).await, [conv]);
    assert_eq!(shorten(&storage, conv, &older_than(3_000)).await.removed, 2);

    assert_eq!(log(&storage, conv).await, (3, vec![3]));
}

async fn messages_from_before_ages_were_counted_go_by_the_clock(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    database.execute("UPDATE message SET time = 1000 * seq, cluster_age = 0").await;
    receive(&storage, conv, &[one, other], 3).await;
    let older_than = |time| KeepRule { older_than: Some(Moment { time, ..FAR }), newest: None, ..newest(0) };

    assert_eq!(old_logs(&storage, &older_than(1_000)).await, []);
    assert_eq!(shorten(&storage, conv, &older_than(3_000)).await.removed, 2);

    assert_eq!(log(&storage, conv).await, (3, vec![3]));
}

async fn what_a_member_has_not_received_stays(database: Database) {
    let storage = database.open().await;
    let (one, other) = (user(&storage, "one").await, user(&storage, "other").await);
    let group = group(&storage, one, "group").await;
    storage.join_group(&other.into(), group, 10).await.expect("joining works");
    let conv = Conversation::Group(group);
    say(&storage, conv, one, 5).await;
    receive(&storage, conv, &[one], 5).await;

    assert_eq!(old_logs(&storage, &newest(1)).await, []);
    assert_eq!(shorten(&storage, conv, &newest(1)).await, Shortened::default());
    receive(&storage, conv, &[other], 2).await;
    assert_eq!(old_logs(&storage, &newest(1)).await, [conv]);
    assert_eq!(shorten(&storage, conv, &newest(1)).await.removed, 2);
    assert_eq!(log(&storage, conv).await, (3, vec![3, 4, 5]));

    // Who has left keeps nothing.
    storage.leave_group(&other.into(), group).await.expect("leaving works");
    assert_eq!(shorten(&storage, conv, &newest(1)).await.removed, 2);
    storage.leave_group(&one.into(), group).await.expect("leaving works");
    assert_eq!(shorten(&storage, conv, &newest(0)).await.removed, 1);
}

/// A session that only sends saves its cursor when it ends.
async fn nobody_waits_for_the_sender(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    say(&storage, conv, other, 1).await;
    receive(&storage, conv, &[other], 3).await;

    assert_eq!(old_logs(&storage, &newest(0)).await, [conv]);
    assert_eq!(shorten(&storage, conv, &newest(0)).await, Shortened { removed: 3, unreceived: 0, more: false });

    assert_eq!(log(&storage, conv).await, (4, vec![4]), "one has not received that of the other");
    assert_eq!(old_logs(&storage, &newest(0)).await, []);
}

async fn hard_limit_goes_past_a_member(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    receive(&storage, conv, &[one], 5).await;
    receive(&storage, conv, &[other], 1).await;
    assert_eq!(shorten(&storage, conv, &newest(0)).await.removed, 1);

    let rule = newest_at_any_price(2);
    assert_eq!(old_logs(&storage, &rule).await, [conv]);
    assert_eq!(shorten(&storage, conv, &rule).await, Shortened { removed: 2, unreceived: 2, more: false });

    assert_eq!(log(&storage, conv).await, (4, vec![4, 5]));
    let waiting = storage.waiting(&[other]).await.expect("reading works");
    assert_eq!(waiting.iter().map(|waiting| waiting.position.received_seq).collect::<Vec<_>>(), [1]);
    assert_eq!(storage.count_waiting(other, 100).await.expect("counting works"), 2);
}

async fn log_can_be_emptied_and_goes_on(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    receive(&storage, conv, &[one, other], 3).await;
    assert_eq!(shorten(&storage, conv, &newest(0)).await.removed, 3);
    assert_eq!(log(&storage, conv).await, (4, vec![]));
    assert_eq!(old_logs(&storage, &newest(0)).await, []);

    assert_eq!(outcomes(&storage, &[text(conv, other, "next")]).await, [stored_at(4)]);

    assert_eq!(log(&storage, conv).await, (4, vec![4]));
}

async fn reader_who_misses_messages_is_told_where_the_log_begins(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 6).await;
    shorten(&storage, conv, &newest_at_any_price(2)).await;
    let read = async |after, limit| {
        let page = storage.messages_after(conv, after, limit, usize::MAX).await.expect("reading works");
        (page.first_seq, page.messages.iter().map(|message| message.seq).collect::<Vec<_>>())
    };

    assert_eq!(read(2, 1).await, (5, vec![5]));
    assert_eq!(read(4, 10).await, (0, vec![5, 6]), "nothing is missing, so nobody asks");
    assert_eq!(read(6, 10).await, (5, vec![]));
    let certain = storage.certain_messages_after(conv, 1, 10, usize::MAX).await.expect("reading works");
    assert_eq!((certain.page.first_seq, certain.last_seq), (5, 6));
    let page = storage.messages_before(conv, None, 1, usize::MAX).await.expect("reading works");
    assert_eq!((page.more, page.first_seq), (true, 0));
    let page = storage.messages_before(conv, Some(5), 10, usize::MAX).await.expect("reading works");
    assert_eq!((page.messages.len(), page.more, page.first_seq), (0, false, 5));
}

async fn resend_is_known_as_long_as_the_message_is_there(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let (first, second) = (text(conv, one, "first"), text(conv, one, "second"));
    append(&storage, &[first.clone(), second.clone()]).await;
    receive(&storage, conv, &[one, other], 2).await;
    let rule = KeepRule { resent_until: Some(Moment { age: 1, ..FAR }), ..newest(1) };
    assert_eq!(shorten(&storage, conv, &rule).await.removed, 0, "it may still be sent again");
    assert_eq!(outcomes(&storage, std::slice::from_ref(&first)).await, [stored_before(1)]);

    assert_eq!(shorten(&storage, conv, &newest(1)).await.removed, 1);

    assert_eq!(outcomes(&storage, &[first, second]).await, [stored_at(3), stored_before(2)]);
}

async fn long_logs_take_several_steps(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 600).await;
    receive(&storage, conv, &[one, other], 600).await;

    let (mut steps, mut removed) = (0, 0);
    loop {
        let shortened = shorten(&storage, conv, &newest(10)).await;
        (steps, removed) = (steps + 1, removed + shortened.removed);
        assert_eq!(log(&storage, conv).await.1.len() as u64, 600 - removed, "nothing is left behind");
        if !shortened.more {
            break;
        }
    }

    assert!(steps > 1 && removed == 590, "{steps} steps, {removed} messages");
}

async fn logs_are_looked_at_in_pages(database: Database) {
    let storage = database.open().await;
    let one = user(&storage, "one").await;
    let mut expected = Vec::new();
    for nth in 0..300 {
        let conv = Conversation::Group(group(&storage, one, &format!("group {nth}")).await);
        expected.push(conv.to_string());
    }
    let batch: Vec<_> = expected.iter().map(|conv| text(conv.parse().expect("a conversation"), one, "hello")).collect();
    append(&storage, &batch).await;
    // A name that is nobody's holds up nobody else's.
    database.execute("INSERT INTO conversation (id, last_seq) VALUES ('g2x', 5)").await;
    expected.sort();

    let (mut found, mut after, mut pages): (Vec<String>, Arc<str>, u32) = (Vec::new(), "".into(), 0);
    loop {
        let page = storage.old_logs(&after, &newest_at_any_price(0)).await.expect("looking works");
        found.extend(page.old.iter().map(Conversation::to_string));
        pages += 1;
        match page.last {
            Some(last) => after = last,
            None => break,
        }
    }

    assert_eq!((found, pages), (expected, 2));
}
