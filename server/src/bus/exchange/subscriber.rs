//! The subscribing task: reads this node's channel at all media as fast as they send.
//!
//! It hands over to a [`Reception`], and never waits for the node. A subscription counts as dead when the connection
//! breaks, and also when this node's own heartbeat stays out, which notices the half-open connection and the hanging
//! Redis that no read would. Twice a second it looks who is not heard, and which medium proves nothing any more.

use super::super::backoff::Backoff;
use super::super::envelope::Undecodable;
use super::super::medium::Failure;
use super::super::reception::Reception;
use super::super::{Arrival, BusStats, HEARTBEAT};
use super::{CONNECT_TIMEOUT, Shared};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, SelectAll};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// Between two looks at what is not heard: with `UNHEARD_AFTER`, silence is noticed within three seconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(HEARTBEAT.as_millis() as u64 / 2);
/// Time between two complaints about foreign bytes on the channel: whoever publishes them must not fill the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Subscribes and reads until the bus closes.
pub(super) async fn run(shared: Arc<Shared>, arrivals: mpsc::Sender<Arrival>) {
    let mut subscriber = Subscriber::new(Arc::clone(&shared), arrivals);
    let mut readers: SelectAll<_> =
        (0..shared.ends.len()).map(|at| Reader::new(Arc::clone(&shared), at).events()).collect();
    shared.closing.run_until_cancelled(subscriber.serve(&mut readers)).await;
    shared.is_subscribed.store(false, Ordering::Relaxed);
}

struct Subscriber {
    shared: Arc<Shared>,
    reception: Reception,
    looked_at: Instant,
    worked: Vec<bool>,
    last_complaint: Option<Instant>,
}

enum Event {
    Subscribed,
    Payload(Vec<u8>),
    Broken,
}

impl Subscriber {
    fn new(shared: Arc<Shared>, arrivals: mpsc::Sender<Arrival>) -> Self {
        let seal = shared.bus_key.seal(&shared.outbox.channel(&shared.key.id));
        let (live, stats) = (Arc::clone(&shared.live), Arc::clone(&shared.stats));
        let reception = Reception::new(shared.key.clone(), seal, live, arrivals, stats);
        let worked = vec![false; shared.ends.len()];
        Subscriber { shared, reception, looked_at: Instant::now(), worked, last_complaint: None }
    }

    async fn serve(&mut self, readers: &mut SelectAll<BoxStream<'static, (usize, Event)>>) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    _ = look.tick() => None,
                    event = readers.next() => event,
                }
            };
            match self.reception.inbox.alongside(next).await {
                None => self.look(Instant::now()),
                Some((at, event)) => self.handle(at, event),
            }
        }
    }

    fn handle(&mut self, at: usize, event: Event) {
        let shared = Arc::clone(&self.shared);
        match event {
            Event::Payload(payload) => return self.accept(at, &payload),
            Event::Subscribed => {
                // Where another subscription held meanwhile, numbers tell what was lost.
                if !shared.outbox.media(|media| media.is_any_subscribed()) {
                    self.reception.inbox.resubscribed();
                }
                shared.outbox.note(|media| media.subscribed(at, Instant::now()));
            }
            Event::Broken => {
                shared.outbox.note(|media| media.unsubscribed(at));
                shared.ends[at].echo.forget();
            }
        }
        shared.is_subscribed.store(shared.outbox.media(|media| media.is_any_subscribed()), Ordering::Relaxed);
    }

    fn accept(&mut self, at: usize, payload: &[u8]) {
        let (shared, now) = (&self.shared, Instant::now());
        let from = match self.reception.take(payload, now) {
            Ok(Some(from)) => from,
            Ok(None) => return,
            Err(error) => return self.complain(&error),
        };
        shared.outbox.heard(&from.id, at, now);
        if from != shared.key {
            return;
        }
        // The first proof lets channels move here; those that follow change nothing.
        match shared.outbox.media(|media| media.works(at, now)) {
            true => shared.outbox.echoed(at, now),
            false => shared.outbox.note(|media| media.echoed(at, now)),
        }
        if let Some(took) = shared.ends[at].echo.came_back() {
            BusStats::set_micros(&shared.stats.round_trip_micros, took);
        }
    }

    /// Looks what is not heard any more. A process that stood still looks only once it has read what waited meanwhile.
    fn look(&mut self, now: Instant) {
        let since = now.saturating_duration_since(std::mem::replace(&mut self.looked_at, now));
        if since > LOOK_INTERVAL + HEARTBEAT {
            return;
        }
        self.reception.look(now);
        for at in self.shared.outbox.note(|media| media.take_overdue(now)) {
            self.shared.ends[at].resubscribe.notify_one();
        }
        for (at, worked) in self.worked.iter_mut().enumerate() {
            let works = self.shared.outbox.media(|media| media.works(at, now));
            let name = self.shared.ends[at].medium.name();
            match (std::mem::replace(worked, works), works) {
                (false, true) => tracing::info!("{name} works, the bus uses it"),
                (true, false) => tracing::warn!("{name} does not work, the bus leaves it"),
                _ => {}
            }
        }
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

/// Keeps this node's channel subscribed at one medium.
struct Reader {
    shared: Arc<Shared>,
    at: usize,
    backoff: Backoff,
    subscription: Option<BoxStream<'static, Vec<u8>>>,
    was_subscribed: bool,
    /// Before the next attempt.
    wait: Duration,
    /// Each outage is told once, not each attempt in it.
    is_told: bool,
}

impl Reader {
    fn new(shared: Arc<Shared>, at: usize) -> Self {
        let backoff = Backoff::new(shared.environment.clone());
        let (subscription, wait) = (None, Duration::ZERO);
        Reader { shared, at, backoff, subscription, was_subscribed: false, wait, is_told: false }
    }

    fn events(self) -> BoxStream<'static, (usize, Event)> {
        let at = self.at;
        let next = move |mut reader: Reader| async move { Some(((at, reader.next().await), reader)) };
        stream::unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Event {
        let Some(subscription) = &mut self.subscription else { return self.subscribed().await };
        let reason = tokio::select! {
            biased;
            () = self.shared.ends[self.at].resubscribe.notified() => "the own heartbeat is overdue",
            payload = subscription.next() => match payload {
                Some(payload) => {
                    self.backoff.reset();
                    return Event::Payload(payload);
                }
                None => "the connection broke",
            },
        };
        self.subscription = None;
        self.failed(&Failure(reason.into()));
        Event::Broken
    }

    /// Tries until it is subscribed.
    async fn subscribed(&mut self) -> Event {
        loop {
            tokio::time::sleep(self.wait).await;
            match subscribe(&self.shared, self.at).await {
                Ok(subscription) => {
                    let again = std::mem::replace(&mut self.was_subscribed, true);
                    tracing::info!(again, "subscribed at {}", self.shared.ends[self.at].medium.name());
                    BusStats::add(&self.shared.stats.reconnects, usize::from(again));
                    self.is_told = false;
                    self.subscription = Some(subscription);
                    return Event::Subscribed;
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &Failure) {
        self.wait = self.backoff.wait();
        if !std::mem::replace(&mut self.is_told, true) {
            let name = self.shared.ends[self.at].medium.name();
            tracing::warn!(%error, "not subscribed at {name}: what comes through no other waits in the log");
        }
    }
}

async fn subscribe(shared: &Shared, at: usize) -> Result<BoxStream<'static, Vec<u8>>, Failure> {
    let channel = shared.outbox.channel(&shared.key.id);
    let too_slow = |_| Failure("subscribing took too long".into());
    timeout(CONNECT_TIMEOUT, shared.ends[at].medium.subscribe(&channel)).await.map_err(too_slow)?
}
