//! Handles what arrives on the bus.

use crate::bus::{Arrival, Item, Recipients};
use crate::cluster::NodeId;
use crate::context::Core;
use crate::delivery::local::push_here;
use crate::delivery::relay;
use crate::storage::{End, Release};
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::{ChatMessage, Event};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Runs until the bus closes.
pub async fn run(core: Arc<Core>, mut arrivals: mpsc::Receiver<Arrival>) {
    while let Some(arrival) = arrivals.recv().await {
        match arrival {
            Arrival::Items { from, items } => {
                core.suspend_unless_leased();
                for item in items {
                    handle(&core, &from, item).await;
                }
            }
            Arrival::Lost { from } => {
                tracing::debug!(%from, "something was lost on the bus, looking into the log");
                core.audiences.pulse.broken(Instant::now());
                core.sweep_now.notify_one();
            }
            Arrival::Resubscribed => {
                core.audiences.pulse.broken(Instant::now());
                core.sweep_everything();
            }
        }
    }
}

async fn handle(core: &Arc<Core>, from: &NodeId, item: Item) {
    match item {
        Item::Deliver { message, version, recipients } => deliver(core, from, &message, version, recipients).await,
        Item::Relay { message, recipients } => relay::arrived(core, from, message, recipients),
        Item::NotHere { users } => users.iter().for_each(|user| core.routes.not_at(*user, from)),
        Item::Online { users } => users.iter().for_each(|user| core.routes.moved(*user, from)),
        Item::Yield { user, epoch } => yield_session(core, Release { user, epoch }),
        Item::Yielded { user } => {
            core.routes.forget(user);
            core.yielded.notify_waiters();
        }
        Item::Changed { conv, version } => core.audiences.changed(conv, version),
        Item::Ping { asked_at } => core.bus.send(from, Item::Pong { asked_at, boot: core.key.boot }),
        Item::Pong { asked_at, boot } => core.audiences.pulse.answered(from, boot, asked_at, Instant::now()),
        Item::News { event, users } => match serde_json::from_str::<Event>(&event) {
            Ok(event) => tell(core, &event, &users),
            Err(error) => tracing::debug!(%error, %from, "an event that cannot be read"),
        },
    }
}

fn tell(core: &Core, event: &Event, users: &[UserId]) {
    for user in users {
        core.registry.with(*user, |session| session.tell(event));
    }
}

async fn deliver(core: &Arc<Core>, from: &NodeId, message: &ChatMessage, version: u64, recipients: Recipients) {
    core.ends.saw(message.conv, End::of(message));
    match recipients {
        Recipients::Users(users) => {
            let missing = push_here(core, message, &users);
            if !missing.is_empty() {
                core.bus.send(from, Item::NotHere { users: missing });
            }
        }
        Recipients::Members => {
            for user in members(core, message.conv, version).await.iter() {
                push_here(core, message, std::slice::from_ref(user));
            }
        }
    }
}

/// The members under this version; nobody where they cannot be read (the sweep delivers then).
async fn members(core: &Core, conv: Conversation, version: u64) -> Arc<[UserId]> {
    match core.audiences.under(conv, version).await {
        Ok(Some(audience)) => audience.members,
        Ok(None) => Arc::from([]),
        Err(error) => {
            tracing::warn!(%error, %conv, "cannot read the members; the sweep will deliver");
            core.sweep_now.notify_one();
            Arc::from([])
        }
    }
}

/// Another node's client logs in with `takeover`: end the session here, free its row, and say so.
pub fn yield_session(core: &Arc<Core>, asked: Release) {
    if yield_now(core, asked) {
        return;
    }
    let core = core.clone();
    core.tasks.clone().spawn_short("yielding", async move {
        // Its login may be just about to show: wait for it.
        let _turn = core.registry.login_turn(asked.user).await;
        if !yield_now(&core, asked) {
            // A row that no session stands behind: one that could not be freed when its session ended.
            core.seats.release(asked, Vec::new()).await;
            core.tell_peers(|| Item::Yielded { user: asked.user });
        }
    });
}

/// Ends the session if it is here; its connection then frees the row and tells the others.
fn yield_now(core: &Core, asked: Release) -> bool {
    let session = core.registry.get(asked.user).filter(|session| session.epoch == asked.epoch);
    session.inspect(|session| session.yield_to_other_node()).is_some()
}
