//! Bad clients, each beside a healthy pair that chats on: every message of the pair's acknowledged, delivered and in
//! order while the bad one gets its errno, or its connection closed within the deadline that the settings give.

mod floods;
mod frames;
mod pair;
mod silence;
mod slow_reader;

use crate::support::Cluster;
use chat::config::Config;
use pair::Pair;

/// Has `mistreat` do its worst to the first node of a cluster on which a healthy pair chats, before, meanwhile and
/// after.
async fn beside_a_healthy_pair(set: impl Fn(&mut Config), mistreat: impl AsyncFnOnce(&Cluster)) {
    let cluster = Cluster::of(1, |config| {
        // Seconds are the shortest there are.
        config.limits.frame_timeout_s = 1;
        config.limits.write_timeout_s = 1;
        set(config);
    })
    .await;
    let pair = Pair::start(&cluster).await;
    pair.chats_on().await;
    mistreat(&cluster).await;
    pair.chats_on().await;
    pair.stop().await;
}
