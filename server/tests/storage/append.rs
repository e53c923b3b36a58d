//! Appending: order, durability of what is answered, and that a resend changes nothing.

use crate::database::{
    Database, NOBODY, NOW, append, audience, outcomes, say, stored_at, stored_before, text, two_friends, user,
};
use crate::on_every_database;
use chat::storage::{Append, Appended, Error, Joined, Left};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::SentAs;
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
    joiners_and_leavers_see_a_clean_cut,
    audiences_come_with_a_changed_version,
    large_batches_are_stored_whole,
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
    assert!(matches!(storage.leave_group(&other.into(), group).await.expect("leaving works"), Left::Done { .. }));

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
        assert!(matches!(storage.leave_group(&joiner.into(), group).await.expect("leaving works"), Left::Done { .. }));
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
