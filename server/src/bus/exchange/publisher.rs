//! The publishing task of one medium: everything that queued up during the previous publish goes out in the next.
//!
//! One batch is under way at a time, with one envelope for each node that is reached through this medium. What was in
//! a failed batch, and what nobody listened to, goes back to the outbox, which knows another medium for it or gives it
//! up.

use super::super::backoff::Backoff;
use super::super::envelope;
use super::super::medium::{Failure, Letter, Publisher};
use super::super::outbox::Parcel;
use super::super::{BusStats, HEARTBEAT};
use super::{CONNECT_TIMEOUT, Shared};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// A batch that is not answered within this counts as failed and its connection as broken.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes until the bus closes.
pub(super) async fn run(shared: Arc<Shared>, at: usize) {
    let mut backoff = Backoff::new(shared.environment.clone());
    let mut was_connected = false;
    loop {
        let result = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            connection = connect(&shared, at) => connection,
        };
        let result = match result {
            Ok(connection) => {
                BusStats::add(&shared.stats.reconnects, usize::from(was_connected));
                was_connected = true;
                shared.outbox.note(|media| media.connected(at, true));
                publish_all(&shared, at, connection, &mut backoff).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return };
        let wait = backoff.wait();
        tracing::debug!(%error, ?wait, "cannot publish to {}", shared.ends[at].medium.name());
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn connect(shared: &Shared, at: usize) -> Result<Box<dyn Publisher>, Failure> {
    let too_slow = |_| Failure("connecting took too long".into());
    timeout(CONNECT_TIMEOUT, shared.ends[at].medium.connect()).await.map_err(too_slow)?
}

/// Publishes through one connection until it fails; `Ok` when the bus closes and all is sent.
async fn publish_all(
    shared: &Shared,
    at: usize,
    mut connection: Box<dyn Publisher>,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_heartbeat = tokio::select! {
            biased;
            () = shared.closing.cancelled() => break,
            _ = heartbeat.tick() => true,
            () = shared.outbox.ready(at) => false,
        };
        if is_heartbeat {
            shared.ends[at].echo.sent();
        }
        let parcels = shared.outbox.take(at, is_heartbeat, Instant::now());
        publish(shared, at, connection.as_mut(), parcels).await?;
        backoff.reset();
    }
    loop {
        let parcels = shared.outbox.take(at, false, Instant::now());
        if parcels.is_empty() {
            return Ok(());
        }
        publish(shared, at, connection.as_mut(), parcels).await?;
    }
}

async fn publish(
    shared: &Shared,
    at: usize,
    connection: &mut dyn Publisher,
    parcels: Vec<Parcel>,
) -> Result<(), Failure> {
    if parcels.is_empty() {
        return Ok(());
    }
    let letters = parcels.iter().map(|parcel| letter(shared, parcel)).collect();
    let started = Instant::now();
    let too_slow = |_| Failure("publishing took too long".into());
    match timeout(PUBLISH_TIMEOUT, connection.publish(letters)).await.map_err(too_slow).flatten() {
        Ok(listeners) => {
            BusStats::set_micros(&shared.stats.last_publish_micros, started.elapsed());
            published(shared, at, parcels, &listeners);
            Ok(())
        }
        Err(error) => {
            failed(shared, at, parcels, &error);
            Err(error)
        }
    }
}

fn letter(shared: &Shared, parcel: &Parcel) -> Letter {
    let seal = shared.bus_key.seal(&parcel.channel);
    let envelope = envelope::encode(&seal, &shared.key, parcel.number, &parcel.items);
    Letter { channel: Arc::clone(&parcel.channel), envelope }
}

fn published(shared: &Shared, at: usize, parcels: Vec<Parcel>, listeners: &[u64]) {
    let stats = &shared.stats;
    BusStats::add(&stats.sent_envelopes, parcels.len());
    for (place, parcel) in parcels.into_iter().enumerate() {
        if parcel.items.is_empty() || listeners.get(place) != Some(&0) {
            BusStats::add(&stats.sent_items, parcel.items.len());
            shared.outbox.settled(&parcel);
            continue;
        }
        // A node that listens nowhere has gone, or reads the log when it is there.
        shared.outbox.unheard(&parcel.to, at, Instant::now());
        shared.outbox.failed(parcel);
    }
}

fn failed(shared: &Shared, at: usize, parcels: Vec<Parcel>, error: &Failure) {
    let stats = &shared.stats;
    BusStats::add(&stats.publish_failures, 1);
    shared.ends[at].echo.forget();
    shared.outbox.note(|media| media.connected(at, false));
    let mut given_up = 0;
    for parcel in parcels {
        let items = parcel.items.len();
        given_up += if shared.outbox.failed(parcel) { items } else { 0 };
    }
    BusStats::add(&stats.dropped_items, given_up);
    tracing::warn!(%error, given_up, "publish to {} failed, it is left", shared.ends[at].medium.name());
}
