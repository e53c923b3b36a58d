//! Promise: a load balancer in trouble costs a reconnect and no message (G2).
//! Fault: nginx is cut off from a node, both ways or one way, killed, and told to reload.

use chat::protocol::conversation::Target;
use harness::containers::{Cluster, Story};
use harness::fault::Fault;
use harness::users::meet;
use std::time::Duration;

async fn cluster() -> Cluster {
    Cluster::builder().nodes(3).start().await.expect("a cluster of three nodes")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_a_node_is_cut_off_from_nginx() {
    let cluster = cluster().await;
    // Longer than clients take to find out (6 s).
    let story = || Story::on(&cluster).lasting(Duration::from_secs(8));
    story().nothing_is_lost_through(Fault::cut("nginx", "node-1")).await;
    let mute: Fault = "cut-from node-2 nginx".parse().expect("it is a fault");
    story().nothing_is_lost_through(mute).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_message_is_lost_when_nginx_is_killed() {
    let cluster = cluster().await;
    Story::on(&cluster).lasting(Duration::from_secs(2)).nothing_is_lost_through(Fault::Kill("nginx".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_of_nginx_keeps_open_connections() {
    let cluster = cluster().await;
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.address()], 2).await;
    let online = users[0].log_in(&[cluster.address()]).await.expect("nobody is online yet");

    Fault::Reload.inflict(&cluster).await.expect("nginx can be told").heal().await.expect("there is nothing to heal");
    let other = users[1].log_in(&[cluster.address()]).await.expect("nobody is online yet");
    online.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    other.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");

    assert_eq!((online.logins(), other.logins()), (1, 1), "nobody had to reconnect");
    cluster.settle(&record, Duration::from_secs(20)).await;
}
