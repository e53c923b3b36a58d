//! Promise: an operator who reloads the load balancer disturbs nobody.
//! Fault: nginx reads its configuration again.

use crate::suite::{heal, inflict, stories};
use chat_protocol::conversation::Target;
use harness::cluster::{Kind, Setup};
use harness::users::meet;
use std::time::Duration;

stories![reload_of_nginx_keeps_open_connections];

async fn reload_of_nginx_keeps_open_connections(kind: &dyn Kind) {
    let cluster = kind.start(Setup::nodes(3)).await.expect("a cluster of three nodes");
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 2).await;
    let online = users[0].log_in(&[cluster.entry()]).await.expect("nobody is online yet");

    heal(inflict(&*cluster, "reload").await).await;
    let other = users[1].log_in(&[cluster.entry()]).await.expect("nobody is online yet");
    online.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    other.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");

    assert_eq!((online.logins(), other.logins()), (1, 1), "nobody had to reconnect");
    cluster.settle(&record, Duration::from_secs(20)).await;
}
