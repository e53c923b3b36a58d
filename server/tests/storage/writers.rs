//! Several writers at once: no gap, no loss, nothing twice.

use crate::database::{Database, outcomes, text, two_friends, user};
use crate::on_every_database;
use chat::storage::{Append, Appended};
use chat_protocol::conversation::Conversation;
use std::collections::BTreeSet;

on_every_database!(
    concurrent_writers_leave_no_gap,
    mixed_batches_of_concurrent_writers_all_arrive,
    same_mid_at_once_is_stored_once,
);

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
