//! A client with much waiting that does not read.

use super::beside_a_healthy_pair;
use crate::support::{BUDGET, eventually, fresh_mid, json, within};

const MESSAGES: u64 = 400;
const MESSAGE_BYTES: usize = 50_000;
const QUEUE_BYTES: usize = 256 * 1_024;

#[tokio::test]
async fn twenty_megabytes_for_a_client_that_does_not_read_cost_one_queue_and_lose_nothing() {
    beside_a_healthy_pair(
        |config| config.limits.queue_bytes = QUEUE_BYTES,
        async |cluster| {
            let (mut ann, bob) = cluster.friends().await;
            let toid = bob.id;
            let filler = "x".repeat(MESSAGE_BYTES);
            let mut most_queued = 0;
            for n in 1..=MESSAGES {
                let message = json!({"msgid": 6, "toid": toid, "msg": format!("{n} {filler}"), "mid": fresh_mid()});
                ann.done(message).await;
                most_queued = most_queued.max(cluster.node(0).metrics().queue_bytes.get());
            }
            eventually(BUDGET, "the one who does not read is closed", async || {
                most_queued = most_queued.max(cluster.node(0).metrics().queue_bytes.get());
                cluster.storage.routes(&[toid]).await.expect("routes").is_empty().then_some(())
            })
            .await;

            // One message more than the limit fits, and the healthy pair has a little.
            let bound = (QUEUE_BYTES + 2 * MESSAGE_BYTES) as i64;
            assert!(most_queued <= bound, "{most_queued} bytes were queued");
            drop(bob);
            let mut bob = cluster.connect().await;
            assert_eq!(bob.login("bob").await["offline"], MESSAGES);
            for n in 1..=MESSAGES {
                let push = within("the next message", bob.push()).await;
                assert_eq!(push["seq"], n);
                assert!(push["msg"].as_str().is_some_and(|text| text.starts_with(&format!("{n} "))));
            }
        },
    )
    .await;
}
