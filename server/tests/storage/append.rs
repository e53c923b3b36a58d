//! Appending: order, durability of what is answered, and that a resend changes nothing.

use crate::database::{
    Database, NOBODY, NOW, append, audience, outcomes, say, stored_at, stored_before, text, two_friends, user,
};
use crate::on_every_database;
use chat::storage::{Append, Appended, Error, Joined, Left};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::SentAs;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;

on_every_database!(
    sequence_numbers_count_from_one_in_every_conversation,
    any_text_comes_back_as_it_was,
    mids_are_as_good_as_the_message_they_name,
    repetitions_within_a_batch_are_answered_like_resends,
    mid_of_a_refused_message_is_free,
    resend_is_harmless_after_unfriending_and_leaving,
    whoever_may_not_post_is_refused,
    lost_lease_writes_nothing,
    concurrent_writers_leave_no_gap,
    mixed_batches_of_concurrent_writers_all_arrive,
    joiners_and_leavers_see_a_clean_cut,
    audiences_come_with_a_changed_version,
    same_mid_at_once_is_stored_once,
    large_batches_are_stored_whole,
    message_that_the_database_refuses_fails_no_other,
    batch_of_which_every_message_is_refused_is_settled_message_by_message,
);

fn stored(seqs: &[u64]) -> Vec<Appended> {
    seqs.iter().map(|seq| stored_at(*seq)).collect()
}

async fn sequence_numbers_count_from_one_in_every_conversation(database: Database) {
    let storage = database.open().await;
    let (one, other, direct) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let group = Conversation::Group(group);

    let batch = [text(direct, one, "a"), text(group, one, "b"), text(direct, other, "c"), text(group, one, "d")];
    assert_eq!(outcomes(&storage, &batch).await, stored(&[1, 1, 2, 2]));
    assert_eq!(outcomes(&storage, &[text(direct, one, "e")]).await, stored(&[3]));

    let page = storage.messages_after(direct, 0, 10, usize::MAX).await.expect("reading works");
    let read: Vec<_> = page.messages.iter().map(|message| (message.seq, message.sender, &*message.msg)).collect();
    assert_eq!(read, [(1, one, "a"), (2, other, "c"), (3, one, "e")]);
    assert!(!page.more);
}

async fn any_text_comes_back_as_it_was(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let texts = [
        "",
        "it's \"quoted\" \\ and `ticked`",
        "'; DROP TABLE message; -- ",
        "% _ ? :name $1 {}",
        "line\nline\r\n\ttab",
        "a\0b\0",
        "世界，你好",
        "👩‍👩‍👧‍👦 \u{10FFFF}",
        " trailing and leading ",
        &"long 世 ".repeat(6_000),
        &"x".repeat(1_000_000),
    ];
    let sent_as = SentAs { name: Some("an \"old\" name".into()), time: Some("2024-01-01 10:00:00".into()) };
    let batch: Vec<Append> =
        texts.iter().map(|msg| Append { sent_as: Some(Box::new(sent_as.clone())), ..text(conv, one, msg) }).collect();
    append(&storage, &batch).await;

    let page = storage.messages_after(conv, 0, 100, usize::MAX).await.expect("reading works");
    assert_eq!(page.messages.len(), batch.len());
    for (sent, read) in batch.iter().zip(page.messages) {
        assert_eq!((&sent.msg, sent.mid, &sent.sent_as), (&read.msg, read.mid, &read.sent_as));
        assert_eq!((read.time, &*read.name, read.sender), (NOW, "zhang san", one));
    }
    assert_eq!(outcomes(&storage, &batch).await, (1..=11).map(stored_before).collect::<Vec<_>>());
}

async fn mids_are_as_good_as_the_message_they_name(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let third = user(&storage, "third").await;
    storage.add_friend(&one.into(), third).await.expect("adding a friend works");
    let first = text(conv, one, "first");
    assert_eq!(outcomes(&storage, std::slice::from_ref(&first)).await, stored(&[1]));

    let resend = first.clone();
    let other_text = Append { msg: "First".into(), ..first.clone() };
    let other_conv = Append { conv: Conversation::direct(one, third), ..first.clone() };
    let other_sender = Append { sender: other, ..first.clone() };
    let fresh = text(conv, one, "second");
    let later = NOW + 1;
    let batch = [resend, other_text, other_conv, other_sender, fresh];
    let appended = storage.append(&NOBODY, &batch, later, &|| true).await.expect("appending works");
    let [resend, other_text, other_conv, other_sender, fresh] = appended.outcomes[..] else { panic!("five outcomes") };
    assert_eq!(resend, stored_before(1));
    assert_eq!((other_text, other_conv), (Appended::MidReused, Appended::MidReused));
    assert_eq!((other_sender, fresh), (stored_at(2), stored_at(3)));
}

async fn repetitions_within_a_batch_are_answered_like_resends(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let message = text(conv, one, "once");
    let other = Append { msg: "twice".into(), ..message.clone() };
    let batch = [message.clone(), message.clone(), other.clone(), text(conv, one, "next"), message.clone()];
    let again = stored_before(1);
    assert_eq!(outcomes(&storage, &batch).await, [stored_at(1), again, Appended::MidReused, stored_at(2), again]);
    // Now the first is a duplicate as well.
    assert_eq!(outcomes(&storage, &[message.clone(), message, other]).await, [again, again, Appended::MidReused]);
}

async fn mid_of_a_refused_message_is_free(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let stranger = Conversation::direct(one, one + 1_000);
    let refused = text(stranger, one, "hello");
    let lawful = Append { conv, ..refused.clone() };
    let batch = [refused.clone(), refused, lawful];
    let not_allowed = Appended::NotAllowed;
    assert_eq!(outcomes(&storage, &batch).await, [not_allowed, not_allowed, stored_at(1)]);
}

async fn resend_is_harmless_after_unfriending_and_leaving(database: Database) {
    let storage = database.open().await;
    let (one, other, direct) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    assert!(matches!(storage.join_group(&other.into(), group, 10).await, Ok(Joined::Done { .. })));
    let batch = [text(direct, other, "to a friend"), text(Conversation::Group(group), other, "to a group")];
    assert_eq!(outcomes(&storage, &batch).await, stored(&[1, 1]));

    assert!(storage.remove_friend(&one.into(), other).await.expect("removing works"));
    assert_eq!(storage.leave_group(&other.into(), group).await.expect("leaving works"), Left::Done);

    let again = stored_before(1);
    assert_eq!(outcomes(&storage, &batch).await, [again, again]);
    let changed = batch.clone().map(|message| Append { msg: "changed".into(), ..message });
    assert_eq!(outcomes(&storage, &changed).await, [Appended::MidReused; 2]);
    let fresh = batch.map(|message| Append { mid: Uuid::now_v7(), ..message });
    assert_eq!(outcomes(&storage, &fresh).await, [Appended::NotAllowed; 2]);
}

async fn whoever_may_not_post_is_refused(database: Database) {
    let storage = database.open().await;
    let (one, other, conv) = two_friends(&storage).await;
    let stranger = user(&storage, "stranger").await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let batch = [
        text(conv, stranger, "between friends"),
        text(Conversation::direct(one, stranger), stranger, "to nobody's friend"),
        text(Conversation::Group(group), other, "not a member"),
        text(Conversation::Group(group + 1), one, "no such group"),
        text(conv, one, "fine"),
    ];
    let refused = Appended::NotAllowed;
    assert_eq!(outcomes(&storage, &batch).await, [refused, refused, refused, refused, stored_at(1)]);
}

async fn lost_lease_writes_nothing(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let message = text(conv, one, "too late");
    let asked = AtomicUsize::new(0);
    let fence = || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    let outcome = storage.append(&NOBODY, std::slice::from_ref(&message), NOW, &fence).await;
    assert!(matches!(outcome, Err(Error::LeaseLost)), "{outcome:?}");
    assert_eq!(asked.into_inner(), 1);
    let page = storage.messages_after(conv, 0, 10, usize::MAX).await.expect("reading works");
    assert_eq!(page.messages, []);
    assert_eq!(outcomes(&storage, &[message]).await, stored(&[1]));
}

async fn concurrent_writers_leave_no_gap(database: Database) {
    const WRITERS: usize = 4;
    const BATCHES: usize = 10;
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let storage = storage.clone();
        writers.push(tokio::spawn(async move {
            let mut seqs = Vec::new();
            for nth in 0..BATCHES {
                let batch: Vec<Append> =
                    (0..=nth).map(|part| text(conv, one, &format!("{writer}/{nth}/{part}"))).collect();
                for outcome in outcomes(&storage, &batch).await {
                    let Appended::Stored { seq, .. } = outcome else { panic!("{outcome:?}") };
                    // What was answered can be read at once, and everything before it.
                    let page = storage.messages_after(conv, seq - 1, 1, usize::MAX).await.expect("reading works");
                    assert_eq!(page.messages[0].seq, seq);
                    seqs.push(seq);
                }
            }
            assert!(seqs.is_sorted());
            seqs
        }));
    }
    let mut seqs = BTreeSet::new();
    for writer in writers {
        seqs.extend(writer.await.expect("no writer panics"));
    }
    let total = (WRITERS * BATCHES * (BATCHES + 1) / 2) as u64;
    assert_eq!(seqs, (1..=total).collect());
}

async fn mixed_batches_of_concurrent_writers_all_arrive(database: Database) {
    let storage = database.open().await;
    let one = user(&storage, "one").await;
    let mut convs = Vec::new();
    for nth in 0..12 {
        let group = storage.create_group(&one.into(), &format!("group {nth}"), "").await.expect("creating works");
        convs.push(Conversation::Group(group.expect("the name is free")));
    }
    let mut writers = Vec::new();
    for writer in 0..4_usize {
        let (storage, convs) = (storage.clone(), convs.clone());
        writers.push(tokio::spawn(async move {
            for nth in 0..10_usize {
                // Each writer names the conversations in another order.
                let batch: Vec<Append> = (0..convs.len())
                    .map(|at| text(convs[(at * (writer + 1) + nth) % convs.len()], one, "hello"))
                    .collect();
                for outcome in outcomes(&storage, &batch).await {
                    assert!(matches!(outcome, Appended::Stored { .. }), "{outcome:?}");
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    let mut total = 0;
    for conv in convs {
        let page = storage.messages_after(conv, 0, 1_000, usize::MAX).await.expect("reading works");
        assert!(page.messages.iter().map(|message| message.seq).eq(1..=page.messages.len() as u64));
        total += page.messages.len();
    }
    assert_eq!(total, 4 * 10 * 12);
}

async fn joiners_and_leavers_see_a_clean_cut(database: Database) {
    let storage = database.open().await;
    let (creator, joiner, _) = two_friends(&storage).await;
    let group =
        storage.create_group(&creator.into(), "group", "").await.expect("creating works").expect("the name is free");
    let conv = Conversation::Group(group);
    let talk = tokio::spawn({
        let storage = storage.clone();
        async move {
            for _ in 0..30 {
                // Before each message the members may have changed, and the commit must see that.
                let appended = append(&storage, &[text(conv, creator, "on and on")]).await;
                let (_, audience) = &appended.audiences[0];
                assert!(matches!(appended.outcomes[..], [Appended::Stored { .. }]));
                assert!(audience.members.contains(&creator) && audience.members.len() <= 2);
            }
        }
    });
    while !talk.is_finished() {
        assert!(matches!(storage.join_group(&joiner.into(), group, 10).await, Ok(Joined::Done { .. })));
        let outcome = outcomes(&storage, &[text(conv, joiner, "in")]).await[0];
        assert!(matches!(outcome, Appended::Stored { .. }), "{outcome:?}");
        assert_eq!(storage.leave_group(&joiner.into(), group).await.expect("leaving works"), Left::Done);
        assert_eq!(outcomes(&storage, &[text(conv, joiner, "out")]).await, [Appended::NotAllowed]);
    }
    talk.await.expect("the talk does not panic");
}

async fn audiences_come_with_a_changed_version(database: Database) {
    let storage = database.open().await;
    let (one, other, direct) = two_friends(&storage).await;
    let group =
        storage.create_group(&one.into(), "group", "").await.expect("creating works").expect("the name is free");
    let group = Conversation::Group(group);
    let direct_version = audience(&storage, direct).await.expect("it exists").version;
    let group_audience = audience(&storage, group).await.expect("it exists");

    let batch = [
        Append { allowed_under: direct_version, ..text(direct, one, "known") },
        Append { allowed_under: group_audience.version - 1, ..text(group, one, "old") },
    ];
    let appended = append(&storage, &batch).await;
    assert_eq!(appended.outcomes, stored(&[1, 1]));
    assert_eq!(appended.audiences, [(group, group_audience)]);

    storage.remove_friend(&other.into(), one).await.expect("removing works");
    let appended = append(&storage, &[Append { mid: Uuid::now_v7(), ..batch[0].clone() }]).await;
    assert_eq!(appended.outcomes, [Appended::NotAllowed]);
    let (_, audience) = &appended.audiences[0];
    assert!(!audience.open && audience.version > direct_version);
    assert_eq!(*audience.members, [one.min(other), one.max(other)]);
}

async fn same_mid_at_once_is_stored_once(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    for _ in 0..5 {
        let message = text(conv, one, "impatient");
        let mut senders = Vec::new();
        for _ in 0..4 {
            let (storage, message) = (storage.clone(), message.clone());
            senders.push(tokio::spawn(async move {
                // Among others, so that what is not repeated has to go again.
                let batch = [text(conv, one, "before"), message, text(conv, one, "after")];
                outcomes(&storage, &batch).await
            }));
        }
        let (mut stored, mut seqs) = (0, BTreeSet::new());
        for sender in senders {
            let outcomes = sender.await.expect("no sender panics");
            assert!(matches!(outcomes[0], Appended::Stored { .. }) && matches!(outcomes[2], Appended::Stored { .. }));
            match outcomes[1] {
                Appended::Stored { seq, .. } => {
                    stored += 1;
                    seqs.insert(seq);
                }
                Appended::Duplicate { seq, .. } => {
                    seqs.insert(seq);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((stored, seqs.len()), (1, 1));
    }
}

async fn large_batches_are_stored_whole(database: Database) {
    let storage = database.open().await;
    let (one, _, conv) = two_friends(&storage).await;
    for count in [1, 2, 3, 127, 128, 129, 255, 256, 300] {
        say(&storage, conv, one, count).await;
    }
    let total = storage.messages_before(conv, None, 1, usize::MAX).await.expect("reading works").messages[0].seq;
    assert_eq!(total, 1 + 2 + 3 + 127 + 128 + 129 + 255 + 256 + 300);
    assert_eq!(outcomes(&storage, &[]).await, []);
}

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

    assert_eq!(outcomes(&storage, &[text(conv, one, "food")]).await, stored(&[1]));
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
