//! Promise: whoever has the right password, or a token, gets in, whatever strangers do meanwhile.

use crate::support::peer::options;
use crate::support::{Cluster, PASSWORD, Peer, fresh_mid, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// More than there are places for hashes to wait.
const STRANGERS: usize = 300;
/// Logins while they are at it.
const LOGINS: usize = 5;

async fn from(cluster: &Cluster, last: u8) -> Peer {
    let local_address = Some([127, 0, 0, last].into());
    Peer::connect_with(&chat_client::Options { local_address, ..options(cluster.address(0)) }).await
}

/// Has strangers at 127.0.0.`last` register without end; returns once as many as there are have asked.
async fn strangers_register(cluster: &Arc<Cluster>, last: u8) -> JoinSet<()> {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut strangers = JoinSet::new();
    for _ in 0..STRANGERS {
        let (cluster, asked) = (cluster.clone(), asked.clone());
        strangers.spawn(async move {
            let mut peer = from(&cluster, last).await;
            loop {
                peer.send(json!({"msgid": 4, "name": fresh_mid(), "password": "x"})).await;
                asked.fetch_add(1, Ordering::Relaxed);
                peer.frame().await;
            }
        });
    }
    while asked.load(Ordering::Relaxed) < STRANGERS {
        tokio::task::yield_now().await;
    }
    strangers
}

async fn password_opens_while_strangers_at(last: u8) {
    let cluster = Cluster::of(1, |config| config.password.memory_kib = 2_048).await;
    let cluster = Arc::new(cluster);
    cluster.account("ann").await;
    let _strangers = strangers_register(&cluster, last).await;

    let mut ann = from(&cluster, 1).await;
    for _ in 0..LOGINS {
        ann.login("ann").await;
        ann.log_out().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn right_password_opens_while_strangers_register() {
    password_opens_while_strangers_at(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn right_password_opens_while_strangers_at_the_same_address_register() {
    password_opens_while_strangers_at(1).await;
}

#[tokio::test]
async fn token_opens_whatever_others_guess() {
    let cluster = Cluster::of(1, |config| config.limits.failed_logins_per_minute = 3).await;
    let mut ann = cluster.user("ann").await;
    let token = ann.token.clone();
    ann.log_out().await;
    let mut thief = cluster.connect().await;
    for _ in 0..3 {
        thief.refused(json!({"msgid": 1, "name": "ann", "password": "guess"}), 1).await;
    }
    thief.refused(json!({"msgid": 1, "name": "ann", "password": PASSWORD}), 10).await;

    ann.login_with(json!({"name": "ann", "token": token})).await;
}

#[tokio::test]
async fn bad_tokens_take_no_guess_away() {
    let cluster = Cluster::of(1, |config| config.limits.failed_logins_per_minute = 1).await;
    cluster.account("ann").await;
    let mut thief = cluster.connect().await;
    for _ in 0..10 {
        thief.refused(json!({"msgid": 1, "name": "ann", "token": "guess"}), 1).await;
    }

    cluster.login("ann").await;
}

#[tokio::test]
async fn one_address_cannot_guess_at_many_users_nor_lock_out_who_lives_there() {
    let cluster = Cluster::of(1, |config| config.limits.failed_logins_per_minute_per_ip = 5).await;
    for name in ["ann", "bob", "cem"] {
        cluster.account(name).await;
    }
    cluster.login("ann").await.log_out().await;
    let mut thief = cluster.connect().await;
    for name in ["bob", "cem", "nobody", "bob", "cem"] {
        thief.refused(json!({"msgid": 1, "name": name, "password": "guess"}), 1).await;
    }

    let reply = thief.refused(json!({"msgid": 1, "name": "bob", "password": PASSWORD}), 10).await;

    assert!(reply["retry_ms"].as_u64().is_some_and(|wait| (1..=12_000).contains(&wait)), "{reply}");
    from(&cluster, 2).await.login("bob").await;
    cluster.login("ann").await;
}

#[tokio::test]
async fn beyond_the_registrations_of_an_hour_comes_errno_10_for_that_address_only() {
    let cluster = Cluster::of(1, |config| config.limits.registrations_per_hour_per_ip = 3).await;
    let register = |name: &str| json!({"msgid": 4, "name": name, "password": PASSWORD});
    let mut stranger = cluster.connect().await;
    stranger.done(register("ann")).await;
    // Otherwise all names could be tried.
    stranger.refused(register("ann"), 8).await;
    stranger.done(register("bob")).await;

    let reply = stranger.refused(register("cem"), 10).await;

    assert!(reply["retry_ms"].as_u64().is_some_and(|wait| wait <= 1_200_000), "{reply}");
    from(&cluster, 2).await.done(register("cem")).await;
    stranger.login("ann").await;
}

#[tokio::test]
async fn ipv6_counts_by_network_and_mapped_ipv4_as_ipv4() {
    let cluster = Cluster::of(1, |config| {
        config.listen.proxy_protocol = true;
        config.limits.registrations_per_hour_per_ip = 1;
    })
    .await;
    let register = async |address: &str| {
        let mut peer = cluster.connect().await;
        let family = if address.contains(':') { "6" } else { "4" };
        let header = format!("PROXY TCP{family} {address} {address} 1000 12345\r\n");
        peer.raw.send_bytes(header.as_bytes()).await.expect("sends");
        peer.ask(json!({"msgid": 4, "name": fresh_mid(), "password": "x"})).await["errno"].clone()
    };
    for (address, errno) in [
        ("2001:db8:1:2::1", 0),
        ("2001:db8:1:2:3::4", 10),
        ("2001:db8:1:3::1", 0),
        ("::ffff:192.0.2.1", 0),
        ("192.0.2.1", 10),
        ("192.0.2.2", 0),
    ] {
        assert_eq!(register(address).await, errno, "{address}");
    }
}
