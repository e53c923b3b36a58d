//! Who is online where, and how large conversations are.

use crate::database::{Database, group, node, say, two_friends, user};
use crate::on_every_database;
use crate::sessions::{call_gone, claim, start};
use chat::storage::{LogSize, NodeSessions, Online};
use chat_protocol::conversation::Conversation;

on_every_database!(online_users_are_listed_in_pages, nodes_are_counted_that_live, largest_logs_come_first);

async fn online_users_are_listed_in_pages(database: Database) {
    let storage = database.open().await;
    let (one, other, gone) = (node("one", 1), node("other", 1), node("gone", 1));
    for key in [&one, &other, &gone] {
        start(&storage, key).await;
    }
    let mut expected = Vec::new();
    for nth in 0..6 {
        let (name, key) = (format!("user {nth}"), [&one, &other, &gone][nth % 3]);
        let user = user(&storage, &name).await;
        claim(&storage, key, user, false).await;
        if *key != gone {
            expected.push(Online { user, name: name.into(), node: key.id.clone() });
        }
    }
    user(&storage, "offline").await;
    call_gone(&storage, &gone).await;

    let all = storage.online(None, 0, 10).await.expect("reading works");
    let page = storage.online(None, expected[0].user, 2).await.expect("reading works");
    let at_other = storage.online(Some(&other.id), 0, 10).await.expect("reading works");

    assert_eq!(all, expected);
    assert_eq!(page, expected[1..3]);
    assert_eq!(at_other, [expected[1].clone(), expected[3].clone()]);
    assert_eq!(storage.online(Some(&"nobody".into()), 0, 10).await.expect("reading works"), []);
}

async fn nodes_are_counted_that_live(database: Database) {
    let storage = database.open().await;
    let (one, other, gone) = (node("one", 2), node("other", 1), node("gone", 1));
    for key in [&one, &other, &gone] {
        start(&storage, key).await;
    }
    for (nth, key) in [&one, &one, &gone].into_iter().enumerate() {
        let user = user(&storage, &format!("user {nth}")).await;
        claim(&storage, key, user, false).await;
    }
    call_gone(&storage, &gone).await;

    let nodes = storage.node_sessions().await.expect("reading works");

    // Whoever called it gone is a node as well.
    let nodes: Vec<_> = nodes.into_iter().filter(|node| &*node.key.id.0 != "observer").collect();
    assert_eq!(nodes, [NodeSessions { key: one, sessions: 2 }, NodeSessions { key: other, sessions: 0 }]);
}

async fn largest_logs_come_first(database: Database) {
    let storage = database.open().await;
    let (one, _, direct) = two_friends(&storage).await;
    let (small, large) = (group(&storage, one, "small").await, group(&storage, one, "large 组").await);
    say(&storage, direct, one, 2).await;
    say(&storage, Conversation::Group(large), one, 3).await;

    let sizes = storage.largest_logs(10).await.expect("reading works");

    let size = |conv, name: Option<&str>, members, last_seq| LogSize {
        conv,
        name: name.map(Into::into),
        members,
        first_seq: 1,
        last_seq,
    };
    let expected = [
        size(Conversation::Group(large), Some("large 组"), 1, 3),
        size(direct, None, 2, 2),
        size(Conversation::Group(small), Some("small"), 1, 0),
    ];
    assert_eq!(sizes, expected);
    assert_eq!(sizes.iter().map(LogSize::messages).collect::<Vec<_>>(), [3, 2, 0]);
    assert_eq!(storage.largest_logs(1).await.expect("reading works"), expected[..1]);
}
