//! The publishing task: everything that queued up during the previous publish goes out in the next.
//!
//! One pipeline is under way at a time, with one PUBLISH per receiving node. Nothing is published twice: what was in a
//! failed pipeline is given up, and its used-up numbers tell the receivers.

use super::super::backoff::Backoff;
use super::super::envelope;
use super::super::outbox::Parcel;
use super::super::{BusStats, HEARTBEAT};
use super::{CONNECT_TIMEOUT, Shared};
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// A pipeline that is not answered within this counts as failed and its connection as broken.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes until the bus closes.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(shared.environment.clone());
    let mut was_connected = false;
    loop {
        let result = tokio::select! {
            connection = connect(&shared) => connection,
            () = shared.closing.cancelled() => return,
        };
        let result = match result {
            Ok(connection) => {
                if was_connected {
                    BusStats::add(&shared.stats.reconnects, 1);
                }
                was_connected = true;
                publish_all(&shared, connection, &mut backoff).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return };
        let wait = backoff.wait();
        tracing::debug!(%error, ?wait, "cannot publish to redis");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.closing.cancelled() => return,
        }
    }
}

async fn connect(shared: &Shared) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(PUBLISH_TIMEOUT));
    shared.client.get_multiplexed_async_connection_with_config(&config).await
}

/// Publishes through one connection until it fails; `Ok` when the bus closes and all is sent.
async fn publish_all(shared: &Shared, mut connection: MultiplexedConnection, backoff: &mut Backoff) -> RedisResult<()> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_heartbeat = tokio::select! {
            _ = heartbeat.tick() => true,
            () = shared.outbox.ready() => false,
            () = shared.closing.cancelled() => break,
        };
        if is_heartbeat {
            shared.echo.sent();
        }
        publish(shared, &mut connection, &shared.outbox.take(is_heartbeat)).await?;
        backoff.reset();
    }
    loop {
        let parcels = shared.outbox.take(false);
        if parcels.is_empty() {
            return Ok(());
        }
        publish(shared, &mut connection, &parcels).await?;
    }
}

async fn publish(shared: &Shared, connection: &mut MultiplexedConnection, parcels: &[Parcel]) -> RedisResult<()> {
    if parcels.is_empty() {
        return Ok(());
    }
    let mut pipeline = ::redis::Pipeline::with_capacity(parcels.len());
    for parcel in parcels {
        let seal = shared.bus_key.seal(&parcel.channel);
        let envelope = envelope::encode(&seal, &shared.key, parcel.number, &parcel.items);
        pipeline.cmd("PUBLISH").arg(&*parcel.channel).arg(envelope);
    }
    let items = parcels.iter().map(|parcel| parcel.items.len()).sum();
    let stats = &shared.stats;
    let started = Instant::now();
    match pipeline.exec_async(connection).await {
        Ok(()) => {
            BusStats::set_micros(&stats.last_publish_micros, started.elapsed());
            BusStats::add(&stats.sent_envelopes, parcels.len());
            BusStats::add(&stats.sent_items, items);
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, items, "publish failed, receivers read the log instead");
            BusStats::add(&stats.publish_failures, 1);
            BusStats::add(&stats.dropped_items, items);
            shared.echo.forget();
            Err(error)
        }
    }
}
