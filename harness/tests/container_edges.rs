//! Promise: what stands between client and node takes part without changing anything: the client's address in a PROXY
//! header, TLS that ends at the node.
//! Fault: none.

use chat::protocol::conversation::Target;
use harness::container::Cluster;
use harness::users::{Ledger, everybody_logs_in, meet};
use std::sync::Arc;
use std::time::Duration;

/// For what takes one hop over Redis, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn chat_works_with_proxy_protocol_through_nginx() {
    let builder = Cluster::builder().nodes(2).setting("listen.proxy_protocol", "true");
    let cluster = builder.start().await.expect("a cluster of two nodes behind PROXY headers");
    let ledger = Arc::new(Ledger::default());
    let (users, group) = meet(&ledger, &[cluster.address()], 3).await;
    let online = everybody_logs_in(&users, &[vec![cluster.address()]]).await;

    for user in &online {
        user.say_and_wait(Target::Group(group)).await.expect("the message is acknowledged");
    }

    ledger.settle(SOON).await;
}
