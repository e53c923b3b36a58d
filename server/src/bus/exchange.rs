//! One node's end of a bus that goes over several media, each of which may fail in any way.
//!
//! It publishes through the first medium that works, in an order of each channel's own, and listens to all. Two kinds
//! of tasks, each with connections of its own that it makes anew, with growing waits, whenever they break: a publisher
//! for each medium sends what has queued up and a heartbeat a second; the subscriber reads this node's channel at all
//! media and never waits for anyone. What comes twice is dropped by its number. A medium is left when publishing fails
//! or nobody listens there, which costs no envelope, and when the own heartbeats do not come back. What a peer had to
//! tell that is heard through none is looked for in the log.

mod echo;
mod publisher;
mod subscriber;
#[cfg(test)]
mod tests;

use super::medium::Medium;
use super::numbering::LiveRuns;
use super::outbox::Outbox;
use super::routing::Media;
use super::signature::BusKey;
use super::{ARRIVALS, Arrival, Bus, BusStats, Item, Link};
use crate::cluster::{ClusterSecret, NodeId, NodeKey};
use async_trait::async_trait;
use chat_environment::{Died, Environment};
use echo::Echo;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A connection or subscription that takes longer to be usable counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What [`Bus::close`] takes at most.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// What channel names begin with, unless a setting says otherwise.
pub(super) const CHANNEL_PREFIX: &str = "chat";

/// Starts a node's end of the bus; must be called inside a Tokio runtime, with at least one medium.
pub(super) fn start(
    media: Vec<Box<dyn Medium>>,
    prefix: &str,
    key: &NodeKey,
    secret: &ClusterSecret,
    environment: &Environment,
) -> (Arc<dyn Bus>, mpsc::Receiver<Arrival>) {
    let stats = Arc::new(BusStats::default());
    let states = Media::new(media.iter().map(|medium| medium.name().to_owned()));
    let ends = media.into_iter().map(|medium| End { medium, resubscribe: Notify::new(), echo: Echo::new() });
    let shared = Arc::new(Shared {
        environment: environment.clone(),
        key: key.clone(),
        bus_key: BusKey::new(secret),
        live: Arc::default(),
        ends: ends.collect(),
        outbox: Outbox::new(key.id.clone(), prefix.to_owned(), states, Arc::clone(&stats)),
        stats,
        is_subscribed: AtomicBool::new(false),
        closing: CancellationToken::new(),
    });
    let (sender, arrivals) = mpsc::channel(ARRIVALS);
    let mut tasks = vec![environment.tasks.spawn("bus subscriber", subscriber::run(Arc::clone(&shared), sender))];
    for at in 0..shared.ends.len() {
        tasks.push(environment.tasks.spawn("bus publisher", publisher::run(Arc::clone(&shared), at)));
    }
    (Arc::new(Exchange { shared, tasks: Mutex::new(tasks) }), arrivals)
}

struct Exchange {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<Result<(), Died>>>>,
}

/// What the bus and its tasks have in common.
struct Shared {
    environment: Environment,
    key: NodeKey,
    bus_key: BusKey,
    live: Arc<LiveRuns>,
    ends: Box<[End]>,
    outbox: Outbox,
    stats: Arc<BusStats>,
    /// At one medium at least.
    is_subscribed: AtomicBool,
    /// Ends all tasks; the publishers send what is queued first.
    closing: CancellationToken,
}

/// This node's end of one medium.
struct End {
    medium: Box<dyn Medium>,
    /// Nothing comes back through the subscription.
    resubscribe: Notify,
    echo: Echo,
}

#[async_trait]
impl Bus for Exchange {
    fn describe(&self) -> String {
        let names: Vec<&str> = self.shared.ends.iter().map(|end| end.medium.name()).collect();
        names.join(", ")
    }

    fn send(&self, to: &NodeId, item: Item) {
        self.shared.outbox.send(to, item);
    }

    fn set_peers(&self, peers: &[NodeKey]) {
        self.shared.live.set(peers);
        let peers: Vec<NodeId> = peers.iter().map(|peer| peer.id.clone()).collect();
        self.shared.outbox.set_peers(&peers);
    }

    fn is_connected(&self) -> bool {
        self.shared.is_subscribed.load(Ordering::Relaxed)
    }

    fn links(&self) -> Vec<Link> {
        let (now, channels) = (Instant::now(), self.shared.outbox.channels());
        let link = |((at, end), channels): ((usize, &End), usize)| {
            let works = self.shared.outbox.media(|media| media.works(at, now));
            Link { name: end.medium.name().to_owned(), works, channels }
        };
        self.shared.ends.iter().enumerate().zip(channels).map(link).collect()
    }

    fn stats(&self) -> &BusStats {
        &self.shared.stats
    }

    async fn close(&self) {
        self.shared.closing.cancel();
        let deadline = Instant::now() + CLOSE_WITHIN;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for mut task in tasks {
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}
