//! Promise: what is kept no longer goes, on one node of the cluster or another: never what somebody has not received
//! (G2), and HISTORY says where a log begins. All other promises are kept meanwhile.
//! Fault: the node that removes is killed, stands still for longer than its lease, or is drained; the bus is gone.

use crate::suite::stories;
use chat_protocol::conversation::Target;
use harness::cluster::{Cluster, Kind, Running, Setup};
use harness::story::{Plot, ShortLogs, Story};
use harness::users::meet;
use judge::history::Event;
use services::eventually;
use std::time::Duration;

/// A node's first steps, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Longer than a lease (8 s).
const PAST_THE_LEASE: Duration = Duration::from_secs(12);

stories![
    logs_get_shorter_though_the_node_that_removes_is_killed,
    logs_get_shorter_though_the_node_that_removes_stands_still,
    logs_get_shorter_though_the_node_that_removes_is_drained,
    logs_get_shorter_without_a_bus,
    whoever_was_away_for_too_long_is_told_at_another_node_and_gets_the_rest,
];

/// Three nodes that remove what is old while people come and go, and the one that does.
async fn cluster(kind: &dyn Kind) -> (Running, String) {
    let cluster = kind.start(Setup::nodes(3).short_logs()).await.expect("a cluster of three nodes");
    let remover = eventually(SOON, "one node removes", async || remover(&*cluster).await).await;
    (cluster, remover)
}

/// The node that counts the cluster's age also removes. The row has the age, then the boot and the id of that node.
async fn remover(cluster: &dyn Cluster) -> Option<String> {
    let rows = cluster.query("SELECT value FROM meta WHERE name = 'age'").await.ok()?;
    rows.first()?.first()?.split(' ').nth(2).map(str::to_owned)
}

fn story(cluster: &dyn Cluster) -> Story<'_> {
    Story::on(cluster).of(Plot::Offline).users(20).with_short_logs()
}

async fn logs_get_shorter_though_the_node_that_removes_is_killed(kind: &dyn Kind) {
    let (cluster, remover) = cluster(kind).await;
    story(&*cluster).staying_broken().nothing_is_lost_through(&format!("kill {remover}")).await;
}

async fn logs_get_shorter_though_the_node_that_removes_stands_still(kind: &dyn Kind) {
    let (cluster, remover) = cluster(kind).await;
    story(&*cluster).lasting(PAST_THE_LEASE).nothing_is_lost_through(&format!("pause {remover}")).await;
}

async fn logs_get_shorter_though_the_node_that_removes_is_drained(kind: &dyn Kind) {
    let (cluster, remover) = cluster(kind).await;
    story(&*cluster).nothing_is_lost_through(&format!("term {remover}")).await;
}

async fn logs_get_shorter_without_a_bus(kind: &dyn Kind) {
    let (cluster, _) = cluster(kind).await;
    story(&*cluster).staying_broken().nothing_is_lost_through("kill redis").await;
}

async fn whoever_was_away_for_too_long_is_told_at_another_node_and_gets_the_rest(kind: &dyn Kind) {
    let setup = Setup::nodes(2).short_logs().setting("retention.unreceived_days", "1");
    let cluster = kind.start(setup).await.expect("a cluster of two nodes");
    let record = cluster.record();
    let mut logs = ShortLogs::begin(&*cluster, &record).await.expect("the database answers");
    record.note(Event::RemovesUnreceived);
    let (users, group) = meet(&record, &[cluster.entry()], 3).await;
    let [absent, talker, present] = &users[..] else { panic!("three users") };
    let talking = talker.log_in(&cluster.starting_at(0)).await.expect("nobody is online yet");
    let _listening = present.log_in(&cluster.starting_at(0)).await.expect("nobody is online yet");
    for _ in 0..30 {
        talking.say_and_wait(Target::User(absent.id)).await.expect("the message is acknowledged");
        talking.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    }
    eventually(SOON, "who is present has it all", async || (record.delivered() == 30).then_some(())).await;

    logs.make_old().await.expect("the database answers");
    logs.are_short().await.expect("what is old goes, received or not");
    let back = absent.log_in(&cluster.starting_at(1)).await.expect("nobody is online yet");

    record.everything_arrives(SOON).await;
    for log in [Target::User(talker.id), Target::Group(group)] {
        back.read(log).await.expect("a member may read");
    }
    record.drained();
    assert_eq!(logs.removed().await.expect("the database answers"), 20, "ten of each log");
    logs.read_rows(&record).await.expect("the database answers");
    cluster.verify().await.expect("the database is as it must be");
    let summary = record.conclude().expect_valid();
    assert_eq!((summary.acked, summary.delivered), (60, 30 + 20 + 20), "the rest arrives");
}
