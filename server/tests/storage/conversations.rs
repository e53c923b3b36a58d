//! Reading logs, cursors, and what changed since.

use crate::database::{
    Database, NOW, at, audience, cursors, group, node, outcomes, say, session_of, text, two_friends, user,
};
use crate::on_every_database;
use chat::storage::{Joined, Mark, Storage, Waiting};
use chat_protocol::conversation::Conversation;
use std::sync::Arc;

on_every_database!(
    log_is_paged_forward,
    log_is_paged_backward,
    pages_stop_at_their_bytes_but_never_empty,
    cursors_only_move_forward_and_not_past_the_end,
    many_cursors_move_at_once,
    waiting_tells_all_that_is_behind,
    count_leaves_out_ones_own_and_stops,
    changes_tell_what_is_new_without_a_clock,
    changes_of_a_node_that_is_gone_are_seen_once,
    new_runs_are_told_once_and_only_so_many_ended_ones_are_followed,
    many_changes_are_seen_though_an_old_one_is_not_settled,
    audiences_of_many_are_read_at_once,
    unknown_conversations_are_nothing_special,
    certain_page_says_where_the_log_ends,
);

async fn seqs_after(storage: &Arc<dyn Storage>, conv: Conversation, after: u64, limit: u32) -> (Vec<u64>, bool) {
    let page = storage.messages_after(conv, after, limit, usize::MAX).await.expect("reading works");
    (page.messages.iter().map(|message| message.seq).collect(), page.more)
}

async fn seqs_before(
    storage: &Arc<dyn Storage>,
    conv: Conversation,
    before: Option<u64>,
    limit: u32,
) -> (Vec<u64>, bool) {
    let page = storage.messages_before(conv, before, limit, usize::MAX).await.expect("reading works");
    (page.messages.iter().map(|message| message.seq).collect(), page.more)
}

async fn log_is_paged_forward(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    assert_eq!(seqs_after(&storage, conv, 0, 2).await, (vec![1, 2], true));
    assert_eq!(seqs_after(&storage, conv, 2, 3).await, (vec![3, 4, 5], false));
    assert_eq!(seqs_after(&storage, conv, 4, 3).await, (vec![5], false));
    assert_eq!(seqs_after(&storage, conv, 5, 3).await, (vec![], false));
    assert_eq!(seqs_after(&storage, conv, u64::MAX, 3).await, (vec![], false));
}

async fn log_is_paged_backward(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    assert_eq!(seqs_before(&storage, conv, None, 2).await, (vec![4, 5], true));
    assert_eq!(seqs_before(&storage, conv, Some(4), 2).await, (vec![2, 3], true));
    assert_eq!(seqs_before(&storage, conv, Some(2), 2).await, (vec![1], false));
    assert_eq!(seqs_before(&storage, conv, Some(1), 2).await, (vec![], false));
    assert_eq!(seqs_before(&storage, conv, Some(u64::MAX), 9).await, (vec![1, 2, 3, 4, 5], false));
}

async fn pages_stop_at_their_bytes_but_never_empty(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let batch: Vec<_> = (0..6).map(|_| text(conv, one, &"x".repeat(10_000))).collect();
    outcomes(&storage, &batch).await;
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = storage.messages_after(conv, after, 10, 25_000).await.expect("reading works");
        assert!(page.messages.len() <= 2);
        after = page.messages.last().expect("pages are not empty").seq;
        read.extend(page.messages.iter().map(|message| message.seq));
        if !page.more {
            break;
        }
    }
    assert_eq!(read, [1, 2, 3, 4, 5, 6]);
    let page = storage.messages_before(conv, None, 10, 1).await.expect("reading works");
    assert_eq!((page.messages.len(), page.messages[0].seq, page.more), (1, 6, true));
}

async fn cursors_only_move_forward_and_not_past_the_end(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let stranger = user(&storage, "stranger").await;
    say(&storage, conv, one, 10).await;
    let mark = async |user, seq| {
        storage.mark_received(None, &[Mark { conv, user, seq, log_epoch: 0 }]).await.expect("marking works")
    };
    let cursor = async |user| cursors(&storage, &[(conv, user)]).await[0];
    mark(other, 7).await;
    assert_eq!((cursor(other).await, cursor(one).await), (Some(7), Some(0)));
    mark(other, 3).await;
    assert_eq!(cursor(other).await, Some(7));
    mark(other, 1_000).await;
    assert_eq!(cursor(other).await, Some(10));
    mark(stranger, 5).await;
    assert_eq!(cursor(stranger).await, None);
    storage.mark_received(None, &[]).await.expect("marking nothing works");
}

async fn many_cursors_move_at_once(database: Database) {
    let storage = database.open().await;
    let one = user(&storage, "one").await;
    let mut convs = Vec::new();
    for nth in 0..70 {
        let group = storage.create_group(&one.into(), &format!("group {nth}"), "").await.expect("creating works");
        convs.push(Conversation::Group(group.expect("the name is free")));
    }
    for conv in &convs {
        say(&storage, *conv, one, 3).await;
    }
    let mut marks: Vec<Mark> = convs.iter().map(|conv| Mark { conv: *conv, user: one, seq: 2, log_epoch: 0 }).collect();
    // Of two for the same cursor, the further counts.
    marks.push(Mark { seq: 1, ..marks[0] });
    marks.push(Mark { seq: 3, ..marks[1] });
    storage.mark_received(None, &marks).await.expect("marking works");

    let mut of: Vec<_> = convs.iter().rev().map(|conv| (*conv, one)).collect();
    of.insert(0, (Conversation::Group(1_000_000), one));
    let mut expected = vec![Some(2); 71];
    (expected[0], expected[69]) = (None, Some(3));
    assert_eq!(cursors(&storage, &of).await, expected);
    assert_eq!(cursors(&storage, &[]).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cursors_are_found_by_their_keys_however_many() {
    let database = Database::mariadb();
    let storage = database.open().await;
    let first = user(&storage, "first").await;
    let conv = Conversation::Group(group(&storage, first, "group").await);
    say(&storage, conv, first, 5).await;
    let members: Vec<String> = (1..=500).map(|nth| format!("('{conv}', {})", first + nth)).collect();
    database.execute(&format!("INSERT INTO member (conv, userid) VALUES {}", members.join(", "))).await;

    for (seq, count) in [(1, 1), (2, 2), (3, 3), (4, 64)] {
        let mark = |nth| Mark { conv, user: first + nth, seq, log_epoch: 0 };
        let marks: Vec<Mark> = (1..=count).map(mark).collect();
        let rows_read = database.count_rows_read("member");
        storage.mark_received(None, &marks).await.expect("marking works");
        let read = rows_read();
        assert!((count..=4 * count).contains(&read), "{read} rows were read for {count} cursors");
        assert_eq!(cursors(&storage, &[(conv, first + count)]).await, [Some(seq)]);
    }
}

async fn waiting_tells_all_that_is_behind(database: Database) {
    let storage = database.open().await;
    let (one, other, direct) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let conv = Conversation::Group(group);
    assert!(matches!(storage.join_group(&other.into(), group, 10).await, Ok(Joined::Done { .. })));
    say(&storage, direct, one, 2).await;
    say(&storage, conv, other, 4).await;
    storage
        .mark_received(None, &[Mark { conv: direct, user: one, seq: 2, log_epoch: 0 }])
        .await
        .expect("marking works");
    storage.mark_received(None, &[Mark { conv, user: one, seq: 1, log_epoch: 0 }]).await.expect("marking works");

    let mut waiting = storage.waiting(&[one, other, other + 1]).await.expect("reading works");
    waiting.sort_by_key(|waiting| (waiting.user, waiting.conv));
    let expected = [
        Waiting { user: one, conv, position: at(1), last_seq: 4 },
        Waiting { user: other, conv: direct, position: at(0), last_seq: 2 },
        Waiting { user: other, conv, position: at(0), last_seq: 4 },
    ];
    assert_eq!(waiting, expected);
    assert_eq!(storage.waiting(&[]).await.expect("reading works"), []);
}

async fn count_leaves_out_ones_own_and_stops(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 3).await;
    say(&storage, conv, other, 4).await;
    let count = async |user, most| storage.count_waiting(user, most).await.expect("counting works");
    assert_eq!((count(one, 100).await, count(other, 100).await), (4, 3));
    assert_eq!((count(one, 2).await, count(one, 4).await, count(other + 1, 10).await), (2, 4, 0));
    storage.mark_received(None, &[Mark { conv, user: one, seq: 5, log_epoch: 0 }]).await.expect("marking works");
    assert_eq!(count(one, 100).await, 2);
}

async fn changes_tell_what_is_new_without_a_clock(database: Database) {
    let storage = database.open().await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let (one, other, direct) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let joiner = session_of(&storage, &key, other).await;
    let start = storage.changes(None).await.expect("reading works");
    assert_eq!(start.changed, []);

    storage
        .append(&key, &[text(direct, one, "a"), text(direct, one, "b")], NOW, &|| true)
        .await
        .expect("appending works");
    assert!(matches!(storage.join_group(&joiner, group, 10).await, Ok(Joined::Done { .. })));

    let changes = storage.changes(Some(&start.seen)).await.expect("reading works");
    let mut changed: Vec<_> =
        changes.changed.iter().map(|change| (change.conv, change.end.seq, change.version)).collect();
    changed.sort_unstable();
    let version = async |conv| audience(&storage, conv).await.expect("it exists").version;
    let group = Conversation::Group(group);
    assert_eq!(changed, [(direct, 2, version(direct).await), (group, 0, version(group).await)]);
    assert!(!changes.more);
    // Seen for good once the node has said that nothing with a lower number is under way.
    let again = storage.changes(Some(&changes.seen)).await.expect("reading works");
    assert_eq!(again.changed.len(), 2);
    storage.renew_lease(&key, false).await.expect("renewing works");
    let seen = storage.changes(Some(&again.seen)).await.expect("reading works").seen;
    assert_eq!(storage.changes(Some(&seen)).await.expect("reading works").changed, []);
}

async fn changes_of_a_node_that_is_gone_are_seen_once(database: Database) {
    let storage = database.open().await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let (one, _, direct) = two_friends(&storage).await;
    let start = storage.changes(None).await.expect("reading works");
    storage.append(&key, &[text(direct, one, "a")], NOW, &|| true).await.expect("appending works");
    storage.stop_node(&key).await.expect("stopping works");

    let changes = storage.changes(Some(&start.seen)).await.expect("reading works");

    assert_eq!(changes.changed.len(), 1);
    assert_eq!(storage.changes(Some(&changes.seen)).await.expect("reading works").changed, []);
}

async fn new_runs_are_told_once_and_only_so_many_ended_ones_are_followed(database: Database) {
    let storage = database.open().await;
    storage.start_node(&node("one", 1)).await.expect("starting works");
    let mut seen = storage.changes(None).await.expect("reading works").seen;
    for boot in 2..=40 {
        storage.stop_node(&node("one", boot - 1)).await.expect("stopping works");
        storage.start_node(&node("one", boot)).await.expect("starting works");

        let changes = storage.changes(Some(&seen)).await.expect("reading works");

        assert!(changes.has_new_run);
        seen = changes.seen;
        assert!(!storage.changes(Some(&seen)).await.expect("reading works").has_new_run);
    }
    let followed: Vec<i64> = seen.into_keys().collect();
    assert_eq!(followed, (8..=40).collect::<Vec<_>>(), "the run that lives, and the newest 32 before it");
}

async fn many_changes_are_seen_though_an_old_one_is_not_settled(database: Database) {
    let storage = database.open().await;
    let key = node("one", 1);
    storage.start_node(&key).await.expect("starting works");
    let creator = session_of(&storage, &key, user(&storage, "creator").await).await;
    let start = storage.changes(None).await.expect("reading works");
    let rows: Vec<String> =
        (1..=5_000).map(|nth| format!("('g{}', 0, 1, 1, {})", nth + 100_000, nth / 10 + 1)).collect();
    let columns = "conversation (id, last_seq, members_version, changed_by, change_number)";
    for rows in rows.chunks(500) {
        database.execute(&format!("INSERT INTO {columns} VALUES {}", rows.join(", "))).await;
    }
    storage.create_group(&creator, "group", "").await.expect("creating works");

    let changes = storage.changes(Some(&start.seen)).await.expect("reading works");

    assert_eq!((changes.changed.len(), changes.more), (5_001, false));
}

async fn audiences_of_many_are_read_at_once(database: Database) {
    let storage = database.open().await;
    let (one, other, direct) = two_friends(&storage).await;
    let third = user(&storage, "wang wu").await;
    let parted = Conversation::direct(one, third);
    storage.add_friend(&one.into(), third).await.expect("adding a friend works");
    storage.remove_friend(&third.into(), one).await.expect("removing works");
    let (full, left) = (group(&storage, one, "full").await, group(&storage, other, "left").await);
    assert!(matches!(storage.join_group(&third.into(), full, 10).await, Ok(Joined::Done { .. })));
    storage.leave_group(&other.into(), left).await.expect("leaving works");
    let (full, left) = (Conversation::Group(full), Conversation::Group(left));
    let unknown = [Conversation::Group(1_000_000), Conversation::direct(other, third)];
    let asked = [&[direct, full, parted, left, direct][..], &unknown].concat();

    let read = storage.audiences(&asked).await.expect("reading works");

    let read: Vec<_> = read.iter().map(|(conv, audience)| (*conv, audience.members.to_vec(), audience.open)).collect();
    let mut expected = [
        (direct, vec![one, other], true),
        (parted, vec![one, third], false),
        (full, vec![one, third], true),
        (left, vec![], true),
    ];
    expected.sort_unstable();
    assert_eq!(read, expected);
    assert!(storage.audiences(&[]).await.expect("reading works").is_empty());
}

async fn unknown_conversations_are_nothing_special(database: Database) {
    let storage = database.open().await;
    for conv in [Conversation::Group(1), Conversation::direct(1, 2), Conversation::direct((1 << 53) - 2, (1 << 53) - 1)]
    {
        assert_eq!(audience(&storage, conv).await, None);
        assert_eq!(seqs_after(&storage, conv, 0, 10).await, (vec![], false));
        assert_eq!(seqs_before(&storage, conv, None, 10).await, (vec![], false));
        storage.mark_received(None, &[Mark { conv, user: 1, seq: 1, log_epoch: 0 }]).await.expect("marking works");
    }
}

async fn certain_page_says_where_the_log_ends(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    say(&storage, conv, one, 5).await;
    storage.mark_received(None, &[Mark { conv, user: other, seq: 2, log_epoch: 0 }]).await.expect("marking works");

    let certain = storage.certain_messages_after(conv, 1, 2, usize::MAX).await.expect("reading works");
    let settled = storage.settled(conv, other).await.expect("reading works").expect("it exists");

    assert!(certain.page.messages.iter().map(|message| message.seq).eq([2, 3]));
    assert_eq!((certain.page.more, certain.last_seq), (true, 5));
    assert_eq!(settled.position, Some(at(2)));
    assert_eq!(Some(settled.audience), audience(&storage, conv).await);
    let stranger = storage.settled(conv, other + 1).await.expect("reading works").expect("it exists");
    assert_eq!(stranger.position, None);
    assert_eq!(storage.settled(Conversation::Group(1), one).await.expect("reading works"), None);
}
