//! It does not matter at which member something was done, nor whether at several at once.

use crate::support::{MEMBERS, SOON, cluster, log, open, open_at_each, say, text, try_say, two_friends, user};
use chat::cluster::NodeKey;
use chat::storage::{Befriended, Claim, Claimed, Joined, Release, Storage};
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::Who;
use futures_util::future::join_all;
use services::eventually;
use std::collections::BTreeSet;
use std::sync::Arc;

/// First starts of all nodes at once.
const STARTS: &str = "GALERA_STARTS";
/// Times that something is done at one member and looked for at another.
const TIMES: &str = "GALERA_TIMES";

/// How often: what the environment asks for, so that a nightly run can do more.
fn times(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |times| times.parse().expect("a number of times"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_at_different_members_all_come_up() {
    let cluster = cluster();
    for nth in 0..times(STARTS, 3) {
        let database = format!("new_{nth}");
        cluster.create_database(&database).expect("a database is made");
        let urls: Vec<String> = (0..MEMBERS).map(|member| cluster.url_of(member, &database)).collect();
        let opens: Vec<_> = urls.into_iter().map(|url| tokio::spawn(open(url))).collect();
        let mut storages = Vec::new();
        for open in opens {
            storages.push(open.await.expect("every node comes up"));
        }
        two_friends(&storages[nth % MEMBERS]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_done_at_one_member_is_known_at_the_next() {
    let cluster = cluster();
    let storages = open_at_each(&cluster).await;
    let nodes: Vec<NodeKey> = (1..).zip(&storages).map(|(boot, _)| node(boot)).collect();
    for (storage, node) in storages.iter().zip(&nodes) {
        storage.start_node(node).await.expect("starting works");
    }
    let (speaker, _, conv) = two_friends(&storages[0]).await;
    let load: Vec<_> = storages.iter().map(|storage| tokio::spawn(talk(storage.clone(), speaker, conv))).collect();
    for nth in 0..times(TIMES, 50) {
        let (at, next) = (nth % MEMBERS, (nth + 1) % MEMBERS);
        let (here, there) = (&storages[at], &storages[next]);
        let one = user(here, &format!("user {nth}")).await;
        let account = there.account(&Who::Id(one)).await.expect("reading works");
        assert!(account.is_some(), "registered here, logged in there: {nth}");
        let epoch = log_in(here, &nodes[at], one).await;
        let releases = [Release { user: one, epoch }];
        let passed_over = here.release_sessions(&nodes[at], &releases).await.expect("releasing works");
        assert!(passed_over.is_empty(), "{passed_over:?}");
        log_in(there, &nodes[next], one).await;

        let other = user(here, &format!("friend {nth}")).await;
        let done = there.add_friend(&one.into(), other).await.expect("adding a friend works");
        assert!(matches!(done, Befriended::Done(_)), "registered here, befriended there: {nth}");
        assert_eq!(say(here, &text(Conversation::direct(one, other), one, "hello")).await, 1);

        let group = here.create_group(&one.into(), &format!("group {nth}"), "").await.expect("creating works");
        let group = group.expect("the name is free");
        let joined = there.join_group(&other.into(), group, 10).await.expect("joining works");
        assert!(matches!(joined, Joined::Done { .. }), "created here, joined there: {nth}: {joined:?}");
        assert_eq!(say(here, &text(Conversation::Group(group), other, "hello")).await, 1);
    }
    for talking in load {
        assert!(!talking.is_finished(), "the load goes on to the end");
        talking.abort();
    }
}

fn node(boot: i64) -> NodeKey {
    NodeKey { id: format!("node-{boot}").as_str().into(), boot }
}

/// The session's epoch, where nobody else has one. As a login does it, and again as a client that is told errno 11.
async fn log_in(storage: &Arc<dyn Storage>, node: &NodeKey, user: UserId) -> u64 {
    let try_log_in = async || {
        storage.account(&Who::Id(user)).await.expect("reading works");
        let claim = Claim { user, takeover: None, token_generation: None };
        match storage.claim_sessions(node, &[claim]).await.expect("claiming works")[..] {
            [Claimed::Won { epoch }] => Some(epoch),
            [Claimed::Busy] => None,
            ref other => panic!("logged out here, logged in there: {other:?}"),
        }
    };
    eventually(SOON, "a session is won", try_log_in).await
}

/// Load: one message after the other, whatever becomes of it.
async fn talk(storage: Arc<dyn Storage>, user: UserId, conv: Conversation) {
    loop {
        try_say(&storage, &text(conv, user, "load")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_writers_leave_no_gap_and_lose_nothing() {
    let cluster = cluster();
    let storages = open_at_each(&cluster).await;
    let (one, _, conv) = two_friends(&storages[0]).await;
    let writing = storages.iter().enumerate().map(async |(writer, storage)| {
        let mut said = BTreeSet::new();
        for nth in 0..times(TIMES, 50) {
            let message = text(conv, one, &format!("{writer}/{nth}"));
            said.insert((say(storage, &message).await, message.mid));
        }
        said
    });
    let said: BTreeSet<_> = join_all(writing).await.into_iter().flatten().collect();

    assert_eq!(said.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=said.len() as u64).collect::<Vec<_>>());
    // Read where something was just written, so that all of it has come.
    say(&storages[2], &text(conv, one, "last")).await;
    assert_eq!(log(&storages[2], conv).await[..said.len()], said.into_iter().collect::<Vec<_>>());
}
