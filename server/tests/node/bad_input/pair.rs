//! Two friends who chat without a pause, and notice at once when anything is lost, repeated, out of order or refused.

use crate::support::{BUDGET, Cluster, Peer, eventually, json, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two messages: a lively conversation that leaves the machine to the test.
const PAUSE: Duration = Duration::from_millis(2);
/// Messages that must come through for the pair to be called well.
const ENOUGH: u64 = 20;

pub struct Pair {
    state: Arc<State>,
    sender: JoinHandle<()>,
    receiver: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    delivered: AtomicU64,
}

impl Pair {
    pub async fn start(cluster: &Cluster) -> Pair {
        let (mut sender, receiver) = (cluster.user("healthy sender").await, cluster.user("healthy receiver").await);
        sender.befriend(receiver.id).await;
        let state = Arc::new(State::default());
        let friend = receiver.id;
        Pair {
            sender: tokio::spawn(send(sender, friend, state.clone())),
            receiver: tokio::spawn(receive(receiver, state.clone())),
            state,
        }
    }

    /// Some more messages come through.
    pub async fn chats_on(&self) {
        let before = self.state.delivered.load(Ordering::Relaxed);
        eventually(BUDGET, "the healthy pair chats on", async || {
            assert!(!self.sender.is_finished() && !self.receiver.is_finished(), "the healthy pair broke off");
            (self.state.delivered.load(Ordering::Relaxed) >= before + ENOUGH).then_some(())
        })
        .await;
    }

    /// Ends the chat; everything that was said has arrived.
    pub async fn stop(self) {
        self.state.stop.store(true, Ordering::Relaxed);
        within("the last message is acknowledged", self.sender).await.expect("every message was acknowledged");
        within("the last message is delivered", self.receiver).await.expect("every message came once and in order");
    }
}

async fn send(mut sender: Peer, friend: u64, state: Arc<State>) {
    let mut n = 0;
    loop {
        n += 1;
        let last = state.stop.load(Ordering::Relaxed);
        let text = format!("{n}{}", if last { " last" } else { "" });
        let ack = sender.done(json!({"msgid": 6, "toid": friend, "msg": text})).await;
        assert_eq!(ack["seq"], n);
        state.acknowledged.store(n, Ordering::Relaxed);
        if last {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn receive(mut receiver: Peer, state: Arc<State>) {
    for n in 1u64.. {
        let push = receiver.push().await;
        assert_eq!(push["seq"], n);
        receiver.received(&push).await;
        state.delivered.store(n, Ordering::Relaxed);
        if push["msg"].as_str().is_some_and(|text| text.ends_with(" last")) {
            return;
        }
    }
}
