//! From a commit to everyone who is to see it now.
//!
//! Sessions on this node get a copy directly; for each other node one item goes on the bus. Whoever cannot be reached
//! is found later by cursor (login) or by the repair, so nothing here waits for, or repeats, anything.

use super::Delivery;
use super::local::{push_here, relay_here};
use super::pending::PendingChat;
use crate::bus::LISTED_RECIPIENTS;
use crate::bus::{Item, Recipients};
use crate::failpoint;
use crate::session::failure::unavailable;
use crate::storage::Append;
use chat_protocol::conversation::UserId;
use chat_protocol::message::ChatMessage;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches a writer may be ahead of its delivery; beyond it the writer waits.
const QUEUE_BATCHES: usize = 16;

/// A stored message, and the `members_version` it was stored under.
pub struct Committed {
    pub message: ChatMessage,
    pub version: u64,
}

/// A message that was not stored since its sender may not post.
pub type Refused = (Append, Option<PendingChat>);

struct Batch {
    committed: Vec<Committed>,
    refused: Vec<Refused>,
}

/// One writer's way out: a task, so that the writer commits on while copies go out.
pub struct FanOut {
    batches: mpsc::Sender<Batch>,
}

impl FanOut {
    /// Starts the task of the writer of this number; it ends when this is dropped.
    pub fn start(delivery: Arc<Delivery>, number: usize) -> Self {
        let (batches, mut queue) = mpsc::channel::<Batch>(QUEUE_BATCHES);
        let tasks = delivery.environment.tasks.clone();
        tasks.spawn(format!("delivery {number}"), async move {
            while let Some(batch) = queue.recv().await {
                deliver(&delivery, batch.committed).await;
                for (append, request) in batch.refused {
                    let Some(request) = request else { continue };
                    let why = delivery.members.why_not(append.conv, append.sender).await;
                    request.answer(Err(why.unwrap_or_else(|_| unavailable())));
                }
            }
        });
        FanOut { batches }
    }

    pub async fn deliver(&self, committed: Vec<Committed>, refused: Vec<Refused>) {
        // The task ends only after the writer, unless it died: then the node ends, and the refused are told by being
        // dropped.
        let _ = self.batches.send(Batch { committed, refused }).await;
    }
}

async fn deliver(delivery: &Arc<Delivery>, committed: Vec<Committed>) {
    delivery.registry.suspend_unless_leased();
    let mut addressed = Vec::with_capacity(committed.len());
    for Committed { message, version } in committed {
        match delivery.members.under(message.conv, version).await {
            Ok(Some(audience)) => addressed.push((message, audience)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, conv = %message.conv, "cannot address a message; the repair will"),
        }
    }
    let users = addressed.iter().filter(|(_, audience)| audience.members.len() <= LISTED_RECIPIENTS);
    let users = users.flat_map(|(_, audience)| audience.members.iter().copied());
    if let Err(error) = delivery.routes.look_up(users.filter(|user| !delivery.registry.is_here(*user))).await {
        tracing::warn!(%error, "cannot look up routes; the repair will deliver");
    }
    for (message, audience) in addressed {
        if let Some(stranger) = failpoint::stranger(&audience.members, || delivery.registry.users()) {
            relay_here(delivery, &message, &[stranger], u64::MAX);
        }
        let elsewhere = push_here(delivery, &message, &audience.members);
        if audience.members.len() > LISTED_RECIPIENTS {
            send_to_all(delivery, &message, audience.version);
        } else {
            send_elsewhere(delivery, &message, audience.version, &elsewhere);
        }
    }
}

fn send_to_all(delivery: &Delivery, message: &ChatMessage, version: u64) {
    for node in delivery.peers.live().iter() {
        let (message, recipients) = (message.clone(), Recipients::Members);
        delivery.bus.send(node, Item::Deliver { message, version, recipients });
    }
}

fn send_elsewhere(delivery: &Delivery, message: &ChatMessage, version: u64, users: &[UserId]) {
    for (node, users) in delivery.routes.by_node(users, &delivery.key.id) {
        let (message, recipients) = (message.clone(), Recipients::Users(users));
        delivery.bus.send(&node, Item::Deliver { message, version, recipients });
    }
}
