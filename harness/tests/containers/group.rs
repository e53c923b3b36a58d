//! Promise: all of it holds on a replication group of MySQL too, and service goes on without its preferred member.
//! Fault: the member that takes the writes takes no more, and is killed.

use harness::cluster::{Cluster, Setup};
use harness::containers::{Containers, Flavour};
use harness::fault::Fault;
use harness::story::Story;
use std::time::Duration;

/// Longer than the group takes to put a dead member out, so that service is back before the member is.
const PUT_OUT: Duration = Duration::from_secs(12);
/// How many take part: three database servers have enough to do on a small machine.
const USERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_on_a_replication_group() {
    let setup = Setup::nodes(2).database(Flavour::GroupReplication(3));
    let cluster = Containers::builder(setup).start().await.expect("a cluster on a replication group");
    let members = "SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE'";
    assert_eq!(cluster.query(members).await.expect("the database answers"), [["3"]]);

    Story::on(&*cluster).users(USERS).nothing_is_lost_through("switchover").await;
    Story::on(&*cluster).users(USERS).lasting(PUT_OUT).nothing_is_lost_through("kill database-1").await;

    assert_eq!(cluster.query(members).await.expect("the database answers"), [["3"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_that_a_group_cannot_have_is_explained() {
    let setup = Setup::nodes(1).database(Flavour::GroupReplication(1));
    let cluster = Containers::builder(setup).start().await.expect("a cluster on a group of one");
    for (fault, why) in
        [("clock database-1 +10s", "only a Galera member's"), ("switchover", "no member but database-1")]
    {
        let fault: Fault = fault.parse().expect("it is a fault");
        let refused = format!("{:#}", fault.inflict(&*cluster).await.err().expect("it cannot be inflicted"));
        assert!(refused.contains(why), "{fault}: {refused}");
    }
}
