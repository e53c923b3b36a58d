//! What a healthy pair of friends notices of hostile clients: the latency of its messages before, and while a crowd
//! does its worst.
//!
//! `cargo bench -p chat --bench hostile` prints both distributions and the ratio of their p99, which should stay below
//! five. Latency counts from the moment a message was due to be sent, so that a stalled sender hides nothing. Clients
//! and node share one process and its cores: the crowd's own work is part of what the pair suffers.

#[allow(dead_code, unused_imports, reason = "shared with the tests of a node, which use all of it")]
#[path = "../tests/node/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{Cluster, Peer, Value, fresh_mid, json};
use tokio::time::Instant;

/// Between two messages of the pair.
const PERIOD: Duration = Duration::from_millis(5);
/// Wait of a hostile client after it has been closed.
const AGAIN: Duration = Duration::from_millis(5);
/// Requests that a flooding client has under way.
const AT_ONCE: usize = 50;
const SILENT: usize = 500;

fn main() {
    // `cargo bench` says so; run as a test it only shows that it works.
    let seconds = if std::env::args().any(|argument| argument == "--bench") { 10 } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(Duration::from_secs(seconds)));
}

async fn measure(time: Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = support::cluster::database_in(directory.path()).await;
    let cluster = Arc::new(Cluster::on(storage, |config| config.limits.write_timeout_s = 1).await);
    let mut pair = Pair::of(&cluster).await;

    let before = pair.chat_for(time).await;
    let crowd = Crowd::start(&cluster).await;
    let during = pair.chat_for(time).await;
    let attacks = crowd.stop().await;

    println!("{:<8} {:>9} {:>9} {:>9} {:>9}", "", "messages", "p50 µs", "p99 µs", "max µs");
    for (name, latencies) in [("before", &before), ("during", &during)] {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(latencies, part).as_micros());
        println!("{name:<8} {:>9} {p50:>9} {p99:>9} {max:>9}", latencies.len());
    }
    let ratio = quantile(&during, 0.99).as_secs_f64() / quantile(&before, 0.99).as_secs_f64();
    println!("attacks: {attacks}; p99 during / before: {ratio:.2} (should stay below 5)");
}

/// Of sorted values, which are at least one.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

struct Pair {
    sender: Peer,
    receiver: Peer,
}

impl Pair {
    async fn of(cluster: &Cluster) -> Pair {
        let (sender, receiver) = cluster.friends().await;
        Pair { sender, receiver }
    }

    /// Sends on schedule, whatever happens; returns the latencies, sorted.
    async fn chat_for(&mut self, time: Duration) -> Vec<Duration> {
        let messages = (time.as_micros() / PERIOD.as_micros()) as u32;
        let start = Instant::now();
        let toid = self.receiver.id;
        let sending = async {
            for n in 0..messages {
                tokio::time::sleep_until(start + PERIOD * n).await;
                let message = json!({"msgid": 6, "toid": toid, "msg": n.to_string(), "mid": fresh_mid()});
                self.sender.raw.send(&message).await.expect("the node reads");
            }
            for _ in 0..messages {
                assert_eq!(self.sender.frame().await["errno"], 0);
            }
        };
        let receiving = async {
            let mut latencies = Vec::with_capacity(messages as usize);
            for n in 0..messages {
                let push = self.receiver.push().await;
                assert_eq!(push["msg"], n.to_string(), "lost, repeated or out of order");
                latencies.push((start + PERIOD * n).elapsed());
            }
            latencies
        };
        let ((), mut latencies) = tokio::join!(sending, receiving);
        latencies.sort_unstable();
        latencies
    }
}

/// Everybody who does not wish the pair well.
struct Crowd {
    stop: Arc<AtomicBool>,
    attacks: Arc<AtomicU64>,
    members: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    async fn start(cluster: &Arc<Cluster>) -> Crowd {
        let mut crowd = Crowd { stop: Arc::default(), attacks: Arc::default(), members: Vec::new() };
        let victim = cluster.account("victim").await;
        let group = cluster.user("owner").await.create_group("closed").await;
        for n in 0..2 {
            let name = format!("mallory {n}");
            cluster.account(&name).await;
            crowd.join(cluster, move |cluster| guess_passwords(cluster, victim));
            crowd.join(cluster, send_broken_frames);
            crowd.join(cluster, move |cluster| flood(cluster, name.clone(), group));
        }
        crowd.join(cluster, say_nothing);
        crowd.join(cluster, drip);
        crowd
    }

    /// One more that attacks over and over.
    fn join<F>(&mut self, cluster: &Arc<Cluster>, attack: impl Fn(Arc<Cluster>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let (cluster, stop, attacks) = (cluster.clone(), self.stop.clone(), self.attacks.clone());
        self.members.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                attack(cluster.clone()).await;
                attacks.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(AGAIN).await;
            }
        }));
    }

    /// Returns how many attacks there were.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for member in self.members {
            member.await.expect("an attacker does not fail");
        }
        self.attacks.load(Ordering::Relaxed)
    }
}

async fn guess_passwords(cluster: Arc<Cluster>, victim: u64) {
    let mut peer = cluster.connect().await;
    ask_at_once(&mut peer, json!({"msgid": 1, "id": victim, "password": "guess"})).await;
}

async fn flood(cluster: Arc<Cluster>, name: String, group: u64) {
    let mut peer = cluster.connect().await;
    peer.take_over(&name).await;
    for request in [json!({"msgid": 10, "groupid": group, "msg": "spam"}), json!({"msgid": 17, "groupid": group})] {
        ask_at_once(&mut peer, request).await;
    }
}

async fn ask_at_once(peer: &mut Peer, mut request: Value) {
    for _ in 0..AT_ONCE {
        request["mid"] = fresh_mid().into();
        peer.send(request.clone()).await;
    }
    for _ in 0..AT_ONCE {
        assert_ne!(peer.frame().await["errno"], 0);
    }
}

async fn send_broken_frames(cluster: Arc<Cluster>) {
    let deep = [&[0, 0, 0x4E, 0x20][..], "[".repeat(20_000).as_bytes()].concat();
    for bytes in [&[0, 0, 0, 0][..], &[0xFF; 64], &[0, 0xFF, 0xFF, 0xFF], b"\xfe\xff\xff\xff\xff\xff", &deep] {
        let mut peer = cluster.connect().await;
        peer.raw.send_bytes(bytes).await.expect("sends");
        peer.raw.expect_close().await.expect("closes");
    }
}

async fn say_nothing(cluster: Arc<Cluster>) {
    let mut silent = Vec::with_capacity(SILENT);
    for _ in 0..SILENT {
        silent.push(cluster.connect().await);
    }
}

async fn drip(cluster: Arc<Cluster>) {
    let mut peer = cluster.connect().await;
    for byte in [0, 0, 0, 100].into_iter().chain([b'x'; 50]) {
        peer.raw.send_bytes(&[byte]).await.expect("sends");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
