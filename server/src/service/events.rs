//! EVENTs: best effort, for clients that asked for them.

use crate::bus::Item;
use crate::context::Core;
use crate::delivery::local::by_node;
use crate::session::Session;
use crate::storage;
use chat_protocol::conversation::UserId;
use chat_protocol::message::{Event, State};
use std::sync::Arc;

/// Friends that are told of a login or logout.
const TOLD_FRIENDS: u32 = 200;

/// Tells the user's online friends that it came or went. Left out while the node has much of this to do.
pub fn presence(core: &Arc<Core>, session: &Session, online: bool) {
    let Ok(permit) = core.presence_errands.clone().try_acquire_owned() else { return };
    let state = if online { State::Online } else { State::Offline };
    let event = Event::Presence { id: session.user, name: session.name.to_string(), state };
    let (core, user) = (core.clone(), session.user);
    core.tasks.clone().spawn_short("presence", async move {
        let told = match core.storage.online_friends(user, TOLD_FRIENDS).await {
            Ok(friends) => tell_now(&core, friends, &event).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "an event was not told");
        }
        drop(permit);
    });
}

/// Tells users what happened, wherever they are, in the background.
pub fn tell(core: &Arc<Core>, users: Vec<UserId>, event: Event) {
    let Ok(permit) = core.errands.clone().try_acquire_owned() else { return };
    let core = core.clone();
    core.tasks.clone().spawn_short("event", async move {
        if let Err(error) = tell_now(&core, users, &event).await {
            tracing::debug!(%error, "an event was not told");
        }
        drop(permit);
    });
}

async fn tell_now(core: &Core, users: Vec<UserId>, event: &Event) -> storage::Result<()> {
    let elsewhere: Vec<UserId> =
        users.into_iter().filter(|user| core.registry.with(*user, |session| session.tell(event)).is_none()).collect();
    if elsewhere.is_empty() || core.peers().is_empty() {
        return Ok(());
    }
    core.routes.look_up(elsewhere.iter().copied()).await?;
    let event = serde_json::to_string(event).expect("an event is plain data");
    for (node, users) in by_node(core, &elsewhere) {
        core.bus.send(&node, Item::News { event: event.clone(), users });
    }
    Ok(())
}
