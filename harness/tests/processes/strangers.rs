//! Promise: behind the balancer, limits count the clients' own addresses: who guesses passwords locks out nobody else.
//! Fault: none, but a guesser.

use chat::client::{Options, RawConnection};
use harness::processes::Cluster;
use serde_json::{Value, json};
use std::net::SocketAddr;

async fn ask(node: SocketAddr, from: u8, request: &Value) -> Value {
    let options = Options { local_address: Some([127, 0, 0, from].into()), ..Options::new([node.to_string()]) };
    let mut connection = RawConnection::connect(&options).await.expect("nginx accepts");
    connection.send(request).await.expect("nginx takes it");
    connection.next().await.expect("a node answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn guesser_behind_the_balancer_locks_out_nobody_else() {
    let builder = Cluster::builder().nodes(1).setting("limits.failed_logins_per_minute_per_ip", "3");
    let cluster = builder.setting("limits.failed_logins_per_minute", "3").start().await.expect("a cluster of one node");
    let balancer = cluster.address();
    let registered = ask(balancer, 2, &json!({"msgid": 4, "name": "ann", "password": "correct horse"})).await;
    assert_eq!(registered["errno"], 0, "{registered}");
    for errno in [1, 1, 1, 10] {
        let guessed = ask(balancer, 3, &json!({"msgid": 1, "name": "ann", "password": "guess"})).await;
        assert_eq!(guessed["errno"], errno, "{guessed}");
    }

    let login = ask(balancer, 2, &json!({"msgid": 1, "name": "ann", "password": "correct horse"})).await;

    assert_eq!(login["errno"], 0, "{login}");
    // And past the balancer nodes are reached without a header.
    let login = json!({"msgid": 1, "name": "ann", "password": "correct horse", "takeover": true});
    assert_eq!(ask(cluster.node(0).address(), 4, &login).await["errno"], 0);
}
