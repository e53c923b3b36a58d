//! How a node comes to rest: its clients are sent elsewhere, what they leave is saved, the lease is given back.
//!
//! Each step is taken whatever became of those before it, and takes a bounded time: a task may have died, the database
//! may hang, and a second signal may ask for the end at once.

use super::farewell::send_away;
use crate::context::Context;
use crate::net::open::Open;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long connections that were cut have to save their cursors.
const CUT_PATIENCE: Duration = Duration::from_secs(3);
/// How often a draining node looks whether its connections have gone, and whether it still has its lease.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// What one of the last steps may take. Without it the last cursors are lost, and those messages come again, or the
/// lease runs out by itself.
const STEP_PATIENCE: Duration = Duration::from_secs(5);
/// The same once the shutdown is forced.
const FORCED_PATIENCE: Duration = Duration::from_secs(1);
/// Tries to give the lease back, and the rest between them.
const STOP_TRIES: u32 = 3;
const STOP_RETRY: Duration = Duration::from_millis(500);

/// Sends every client elsewhere and saves what they leave. Whatever happens to the lease meanwhile, nobody acts without
/// it. `name_is_lost`: another run of this node has begun.
pub async fn drain(context: &Arc<Context>, open: &Open, name_is_lost: bool) {
    let draining = async {
        let _ = context.environment.tasks.watch("drain", send_away_and_wait(context, open, name_is_lost)).await;
        let _ = context.environment.tasks.watch("drain", cut_the_rest(open)).await;
        step(context, "cursors", context.cursor_saver.save_all(context.storage.as_ref(), &context.key)).await;
    };
    tokio::select! {
        () = draining => {}
        never = suspend_in_time(context) => match never {},
    }
}

/// Others need not wait for the lease to run out. Nothing may be committed or pushed from here on.
pub async fn give_lease_back(context: &Context) {
    context.lease.give_up();
    context.registry.all().iter().for_each(|session| session.suspend());
    step(context, "lease", async {
        for left in (0..STOP_TRIES).rev() {
            match context.storage.stop_node(&context.key).await {
                Ok(()) => return,
                Err(error) if left == 0 => {
                    tracing::warn!(%error, "cannot give the lease back; it runs out by itself");
                }
                Err(_) => sleep(STOP_RETRY).await,
            }
        }
    })
    .await;
}

pub async fn close_database(context: &Context) {
    if let Err(error) = context.storage.close().await {
        tracing::warn!(%error, "the database could not be closed in good order; nothing is lost");
    }
}

/// Does one of the last steps, unless it takes too long.
pub async fn step(context: &Context, name: &'static str, work: impl Future<Output = ()>) {
    let too_long = async {
        tokio::select! {
            () = sleep(STEP_PATIENCE) => {}
            () = async {
                context.shutdown.forced().await;
                sleep(FORCED_PATIENCE).await;
            } => {}
        }
    };
    tokio::select! {
        _ = context.environment.tasks.watch(name, work) => {}
        () = too_long => tracing::warn!(step = name, "a step of the shutdown takes too long and is left out"),
    }
}

/// The first half of the grace time is for spreading clients over the other nodes; the second is for those that are
/// slow to go.
async fn send_away_and_wait(context: &Arc<Context>, open: &Open, name_is_lost: bool) {
    let grace = Duration::from_secs(context.config.get().limits.drain_s);
    let give_up_at = Instant::now() + grace;
    let connections = open.all();
    tracing::info!(connections = connections.len(), ?grace, "draining");
    send_away(context, &connections, grace / 2, name_is_lost).await;
    while !open.is_empty() && Instant::now() < give_up_at && !context.shutdown.is_forced() {
        sleep(DRAIN_POLL).await;
    }
}

async fn cut_the_rest(open: &Open) {
    if open.is_empty() {
        return;
    }
    tracing::warn!(connections = open.len(), "closing connections that did not go in time");
    open.all().iter().for_each(|outbound| outbound.cut());
    let give_up_at = Instant::now() + CUT_PATIENCE;
    while !open.is_empty() && Instant::now() < give_up_at {
        sleep(DRAIN_POLL).await;
    }
}

/// Suspends the sessions when the lease ends, as its keeper does; but that may be the task that has died.
async fn suspend_in_time(context: &Context) -> Infallible {
    loop {
        sleep(context.lease.left().max(DRAIN_POLL)).await;
        context.registry.suspend_unless_leased();
    }
}
