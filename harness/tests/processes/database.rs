//! Promise: what was acknowledged is durable (G1) and delivered once and in order (G2, G3), nobody has two sessions
//! (G6), and service resumes by itself; meanwhile senders are told errno 11.
//! Fault: the database is killed and restarted, or paused for less and for more than a lease (8 s).

use chat::client::Error;
use chat::protocol::conversation::Target;
use chat::protocol::errno::Errno;
use harness::processes::Cluster;
use harness::users::{Chat, Online, Record, everybody_logs_in, meet};
use services::eventually;
use std::time::{Duration, Instant};

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Until a node has given up on its database: its own limit for a call is 5 s.
const NOTICED: Duration = Duration::from_secs(15);
/// The database's recovery, the lease, and a look into the log (every 10 s).
const RECOVERED: Duration = Duration::from_secs(40);

async fn cluster() -> Cluster {
    Cluster::builder().nodes(2).own_database_server().start().await.expect("a cluster of two nodes")
}

async fn chat_goes_on(record: &Record, budget: Duration) {
    let start = Instant::now();
    eventually(budget, "new messages are acknowledged", async || (record.acked_since(start) >= 50).then_some(())).await;
    eprintln!("new messages are acknowledged after {:?}", start.elapsed());
}

/// A sender that does not try again by itself is told errno 11.
async fn sender_is_told(probe: &Online, to: Target) {
    let refused = async || match probe.say_and_wait(to).await {
        Err(Error::Refused(failure)) if failure.errno == Errno::Unavailable => failure.retry,
        _ => None,
    };
    eventually(NOTICED, "a sender gets errno 11 with a time to wait", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_database_loses_no_acknowledged_message() {
    let mut cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users[..3], &[cluster.from_node(0), cluster.from_node(1)]).await;
    let probe = users[3].log_in_once(&cluster.from_node(0)).await.expect("nobody is online yet");
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON).await;

    cluster.kill_database();
    sender_is_told(&probe, Target::Group(group)).await;
    cluster.restart_database();

    chat_goes_on(&record, RECOVERED).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_paused_for_less_than_a_lease_keeps_every_session() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users, &[cluster.from_node(0), cluster.from_node(1)]).await;
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON).await;

    let paused = cluster.pause_database();
    let start = Instant::now();
    // The fault is its length, here: less than a lease, more than a renewal.
    tokio::time::sleep(Duration::from_secs(4)).await;
    paused.resume();

    assert!(start.elapsed() < Duration::from_secs(6), "the machine is too busy to pause for less than a lease");
    chat_goes_on(&record, SOON).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
    assert!(online.iter().all(|user| user.logins() == 1), "nobody had to log in again");
}

#[tokio::test(flavor = "multi_thread")]
async fn database_paused_for_more_than_a_lease_suspends_sessions_and_resumes_them() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 4).await;
    let online = everybody_logs_in(&users[..3], &[cluster.from_node(0), cluster.from_node(1)]).await;
    let probe = users[3].log_in_once(&cluster.from_node(0)).await.expect("nobody is online yet");
    let chat = Chat::start(&online, group);
    chat_goes_on(&record, SOON).await;

    let paused = cluster.pause_database();
    for node in cluster.nodes() {
        let claim = format!("{} has no lease", node.id());
        eventually(NOTICED, &claim, async || node.lacks("lease").await.ok()?.then_some(())).await;
    }
    sender_is_told(&probe, Target::Group(group)).await;
    paused.resume();

    chat_goes_on(&record, RECOVERED).await;
    chat.stop().await;
    cluster.settle(&record, RECOVERED).await;
    assert!(online.iter().all(|user| user.logins() == 1), "nobody had to log in again");
}
