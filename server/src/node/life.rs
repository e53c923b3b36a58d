//! A node's life after its start: until it is told to drain, loses its name, or one of its tasks.

use super::Error;
use super::background::Background;
use super::drain;
use super::lock::NodeLock;
use crate::context::Context;
use crate::net::open::Open;
use crate::shutdown::Shutdown;
use crate::storage;
use chat_environment::Died;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub async fn run(
    context: Arc<Context>,
    open: Arc<Open>,
    accepting: JoinHandle<Result<(), Died>>,
    mut background: Background,
    lock: Option<NodeLock>,
) -> Result<(), Error> {
    // Also if this panics: nobody shall be served by a node without it.
    let forced_at_last = ForcedAtLast(context.shutdown.clone());
    let result = service_ends(&context, &mut background).await;
    if let Err(error) = &result {
        tracing::error!(%error, "the node ends by itself");
    }
    context.shutdown.drain();
    let _ = accepting.await;
    let name_is_lost = matches!(result, Err(Error::NameTaken(_)));
    drain::drain(&context, &open, name_is_lost).await;
    background.lease_keeper.abort();
    if !name_is_lost {
        drain::give_lease_back(&context).await;
    }
    drain::step(&context, "bus", context.bus.close()).await;
    drain::step(&context, "database", drain::close_database(&context)).await;
    drop(forced_at_last);
    // Not before nothing is done in the node's name any more.
    drop(lock);
    background.others.iter().for_each(JoinHandle::abort);
    tracing::info!(node = %context.key.id, "stopped");
    // A task may also have died since.
    result.and_then(|()| context.environment.tasks.dead().map_or(Ok(()), |died| Err(died.into())))
}

/// Waits until the node is to stop; why, if nobody told it.
async fn service_ends(context: &Context, background: &mut Background) -> Result<(), Error> {
    tokio::select! {
        died = context.environment.tasks.died() => Err(died.into()),
        () = context.shutdown.draining() => Ok(()),
        ended = &mut background.lease_keeper => match ended {
            Ok(Ok(Err(storage::Error::NodeReplaced(id)))) => Err(Error::NameTaken(id)),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(died)) => Err(died.into()),
            Ok(Ok(Ok(()))) | Err(_) => Ok(()),
        },
    }
}

/// Forces the shutdown when dropped.
struct ForcedAtLast(Shutdown);

impl Drop for ForcedAtLast {
    fn drop(&mut self) {
        self.0.force();
    }
}
