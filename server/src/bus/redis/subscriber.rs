//! The subscribing task: reads this node's channel as fast as Redis sends.
//!
//! It hands over to a [`Reception`], and never waits for the node.
//! A subscription counts as dead when the connection breaks, and also when this node's own heartbeat stays out, which
//! notices the half-open connection and the hanging Redis that no read would.

use super::super::backoff::Backoff;
use super::super::envelope::Undecodable;
use super::super::reception::Reception;
use super::super::{Arrival, BusStats};
use super::{CONNECT_TIMEOUT, Shared};
use ::redis::aio::PubSubStream;
use ::redis::{ErrorKind, RedisError, RedisResult};
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// The own heartbeat is out for this long: subscribe anew. Several heartbeats, so that a short stall costs nothing.
const HEARTBEAT_OVERDUE: Duration = Duration::from_secs(5);
/// Time between two complaints about foreign bytes on the channel: whoever publishes them must not fill the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Subscriber {
    shared: Arc<Shared>,
    reception: Reception,
    last_complaint: Option<Instant>,
}

impl Subscriber {
    pub(super) fn new(shared: Arc<Shared>, arrivals: mpsc::Sender<Arrival>) -> Self {
        let seal = shared.bus_key.seal(&shared.outbox.channel(&shared.key.id));
        let (live, stats) = (Arc::clone(&shared.live), Arc::clone(&shared.stats));
        let reception = Reception::new(shared.key.clone(), seal, live, arrivals, stats);
        Subscriber { shared, reception, last_complaint: None }
    }

    /// Subscribes and reads until the bus closes.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.closing.run_until_cancelled(self.keep_subscribed()).await;
        shared.is_subscribed.store(false, Ordering::Relaxed);
    }

    async fn keep_subscribed(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut backoff = Backoff::new(shared.environment.clone());
        let mut was_subscribed = false;
        // Each outage is told once, not each attempt in it.
        let mut is_told = false;
        loop {
            let error = match self.reception.inbox.alongside(subscribe(&shared)).await {
                Ok(stream) => {
                    tracing::info!(again = was_subscribed, "subscribed at redis");
                    BusStats::add(&shared.stats.reconnects, usize::from(was_subscribed));
                    (was_subscribed, is_told) = (true, false);
                    self.read(stream, &mut backoff).await
                }
                Err(error) => error,
            };
            let wait = backoff.wait();
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(%error, "not subscribed at redis, messages between nodes wait for the log to be read");
            }
            self.reception.inbox.alongside(tokio::time::sleep(wait)).await;
        }
    }

    /// Reads one subscription to its end; why it ended.
    async fn read(&mut self, mut stream: PubSubStream, backoff: &mut Backoff) -> RedisError {
        let shared = Arc::clone(&self.shared);
        shared.is_subscribed.store(true, Ordering::Relaxed);
        self.reception.inbox.resubscribed();
        let mut overdue_at = Instant::now() + HEARTBEAT_OVERDUE;
        let reason = loop {
            match self.reception.inbox.alongside(timeout_at(overdue_at, stream.next())).await {
                Ok(Some(message)) => {
                    if self.accept(message.get_payload_bytes()) {
                        overdue_at = Instant::now() + HEARTBEAT_OVERDUE;
                        backoff.reset();
                    }
                }
                Ok(None) => break "the connection broke",
                Err(_) => break "the own heartbeat is overdue",
            }
        };
        shared.is_subscribed.store(false, Ordering::Relaxed);
        shared.echo.forget();
        RedisError::from((ErrorKind::Io, reason))
    }

    /// Takes one payload; whether it is this node's own.
    fn accept(&mut self, payload: &[u8]) -> bool {
        let is_own = match self.reception.take(payload) {
            Ok(is_own) => is_own,
            Err(error) => {
                self.complain(&error);
                return false;
            }
        };
        if let Some(took) = is_own.then(|| self.shared.echo.came_back()).flatten() {
            BusStats::set_micros(&self.shared.stats.round_trip_micros, took);
        }
        is_own
    }

    fn complain(&mut self, error: &Undecodable) {
        let stats = &self.shared.stats;
        if self.last_complaint.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.last_complaint = Some(Instant::now());
            let total = stats.undecodable.load(Ordering::Relaxed) + stats.forged.load(Ordering::Relaxed);
            tracing::warn!(%error, total, "ignored a payload on this node's channel, no envelope of this cluster");
        }
    }
}

async fn subscribe(shared: &Shared) -> RedisResult<PubSubStream> {
    let subscribing = async {
        let mut subscription = shared.client.get_async_pubsub().await?;
        subscription.subscribe(&*shared.outbox.channel(&shared.key.id)).await?;
        Ok(subscription.into_on_message())
    };
    let too_slow = |_| RedisError::from((ErrorKind::Io, "subscribing took too long"));
    timeout(CONNECT_TIMEOUT, subscribing).await.map_err(too_slow)?
}
