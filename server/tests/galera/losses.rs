//! The server in use is lost: another takes its place, and what was acknowledged is there.

use crate::support::{DATABASE, SOON, cluster, log, open, say, text, try_say, two_friends, used};
use services::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_server_is_replaced_and_gone_back_to_once_it_is_steady() {
    let mut cluster = cluster();
    let storage = open(cluster.url(DATABASE)).await;
    let (one, _, conv) = two_friends(&storage).await;
    let mut said = Vec::new();
    for nth in 0..20 {
        let message = text(conv, one, &format!("before {nth}"));
        said.push((say(&storage, &message).await, message.mid));
    }
    assert_eq!(used(&storage), Some(0));

    cluster.kill(0).expect("a member dies");
    let message = text(conv, one, "after");
    said.push((say(&storage, &message).await, message.mid));
    assert_eq!(used(&storage), Some(1));
    assert_eq!(log(&storage, conv).await, said);

    cluster.restart(0).expect("it comes back");
    eventually(SOON, "the preferred server is used again", async || (used(&storage) == Some(0)).then_some(())).await;
    let message = text(conv, one, "at home");
    said.push((say(&storage, &message).await, message.mid));
    assert_eq!(log(&storage, conv).await, said);
    assert!(storage.server_changes() >= 3);
}

/// Its connections stay open, and this user may write on it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn demoted_server_is_left() {
    let cluster = cluster();
    let storage = open(cluster.url(DATABASE)).await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, &text(conv, one, "before")).await;

    cluster.set_read_only(0, true).expect("it takes the setting");
    eventually(SOON, "the demoted server is left", async || (used(&storage) == Some(1)).then_some(())).await;
    assert_eq!(say(&storage, &text(conv, one, "after")).await, 2);
    let servers = storage.servers();
    assert!(servers[0].trouble.as_ref().is_some_and(|why| why.contains("read_only is on")), "{servers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn server_that_hangs_is_left_for_one_that_answers() {
    let cluster = cluster();
    let storage = open(cluster.url(DATABASE)).await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, &text(conv, one, "before")).await;

    cluster.pause(0).expect("a member hangs");
    let message = text(conv, one, "after");
    let seq = say(&storage, &message).await;
    assert_eq!(used(&storage), Some(1));
    cluster.resume(0).expect("it goes on");
    // What was under way at the one that hung comes to nothing.
    assert_eq!(log(&storage, conv).await.last(), Some(&(seq, message.mid)));
    assert_eq!(seq, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn minority_acknowledges_nothing() {
    let cluster = cluster();
    let storage = open(cluster.url(DATABASE)).await;
    let (one, _, conv) = two_friends(&storage).await;
    say(&storage, &text(conv, one, "before")).await;

    for member in [1, 2] {
        cluster.pause(member).expect("a member hangs");
    }
    let mut sent = Vec::new();
    eventually(SOON, "the one that is left knows that it is alone", async || {
        let message = text(conv, one, "into the void");
        assert_eq!(try_say(&storage, &message).await, None);
        sent.push(message);
        used(&storage).is_none().then_some(())
    })
    .await;
    assert_eq!(try_say(&storage, &sent[0]).await, None);
    for member in [1, 2] {
        cluster.resume(member).expect("it goes on");
    }

    let mut seqs = Vec::new();
    for message in &sent {
        seqs.push(say(&storage, message).await);
    }
    seqs.sort_unstable();
    let all: Vec<u64> = log(&storage, conv).await.iter().map(|(seq, _)| *seq).collect();
    assert_eq!((seqs, all.len()), (all[1..].to_vec(), sent.len() + 1), "each is there once");
}
