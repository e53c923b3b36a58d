//! From a commit to everyone who is to see it now.
//!
//! Sessions on this node get a copy directly; for each other node one item goes on the bus. Whoever cannot be reached
//! is found later by cursor (login) or by the sweep, so nothing here waits for, or repeats, anything.

use crate::bus::{Item, Recipients};
use crate::cluster::NodeId;
use crate::config::limits::LISTED_RECIPIENTS;
use crate::context::Core;
use crate::delivery::commit::{PendingChat, unavailable};
use crate::delivery::routes::Route;
use crate::failpoint::{self, Failpoint};
use crate::session;
use crate::session::outbound::Parcel;
use crate::storage::{self, Append};
use chat_environment::Tasks;
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{ChatMessage, Who};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
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
pub struct Delivery {
    batches: mpsc::Sender<Batch>,
}

impl Delivery {
    /// Starts the task of the writer of this number; it ends when this is dropped.
    pub fn start(tasks: &Tasks, number: usize, core: Weak<Core>) -> Self {
        let (batches, mut queue) = mpsc::channel::<Batch>(QUEUE_BATCHES);
        tasks.spawn(format!("delivery {number}"), async move {
            while let Some(batch) = queue.recv().await {
                let Some(core) = core.upgrade() else { return };
                deliver(&core, batch.committed).await;
                for (append, request) in batch.refused {
                    let Some(request) = request else { continue };
                    let why = explain_refusal(&core, append.conv, append.sender).await;
                    request.answer(Err(why.unwrap_or_else(|_| unavailable())));
                }
            }
        });
        Delivery { batches }
    }

    pub async fn deliver(&self, committed: Vec<Committed>, refused: Vec<Refused>) {
        // The task ends only after the writer, unless it died: then the node ends, and the refused are told by being
        // dropped.
        let _ = self.batches.send(Batch { committed, refused }).await;
    }
}

async fn deliver(core: &Arc<Core>, committed: Vec<Committed>) {
    core.suspend_unless_leased();
    let mut addressed = Vec::with_capacity(committed.len());
    for Committed { message, version } in committed {
        match core.audiences.under(message.conv, version).await {
            Ok(Some(audience)) => addressed.push((message, audience)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, conv = %message.conv, "cannot address a message; the sweep will"),
        }
    }
    let users = addressed.iter().filter(|(_, audience)| audience.members.len() <= LISTED_RECIPIENTS);
    let users = users.flat_map(|(_, audience)| audience.members.iter().copied());
    if let Err(error) = core.routes.look_up(users.filter(|user| core.registry.with(*user, |_| ()).is_none())).await {
        tracing::warn!(%error, "cannot look up routes; the sweep will deliver");
    }
    for (message, audience) in addressed {
        if failpoint::hits(Failpoint::PushMisdeliver) {
            misdeliver(core, &message, &audience.members);
        }
        let elsewhere = push_here(core, &message, &audience.members);
        if audience.members.len() > LISTED_RECIPIENTS {
            send_to_all(core, &message, audience.version);
        } else {
            send_elsewhere(core, &message, audience.version, &elsewhere);
        }
    }
}

/// Offers a stored message to those of `users` that have a session here; returns those that have none.
pub fn push_here(core: &Core, message: &ChatMessage, users: &[UserId]) -> Vec<UserId> {
    // Whatever was waited for before: a session is pushed nothing while the lease is in doubt.
    core.suspend_unless_leased();
    let parcel = Parcel::new(message, users.len());
    let mut elsewhere = Vec::new();
    for user in users {
        let found = core.registry.with(*user, |session| match session.deliver(&parcel) {
            session::Delivery::Done => true,
            session::Delivery::Behind => {
                core.catch_up.request(session.clone(), message.conv);
                true
            }
            session::Delivery::Gone => false,
        });
        if found != Some(true) {
            elsewhere.push(*user);
        }
    }
    elsewhere
}

/// `push::misdeliver`: pushes a message to somebody here who is no recipient.
fn misdeliver(core: &Core, message: &ChatMessage, members: &[UserId]) {
    let parcel = Parcel::new(message, 1);
    let mut others = core.registry.all().into_iter().filter(|session| !members.contains(&session.user));
    others.any(|session| session.relay(&parcel, u64::MAX) == session::Relayed::Queued);
}

fn send_to_all(core: &Core, message: &ChatMessage, version: u64) {
    for node in core.peers().iter() {
        let (message, recipients) = (message.clone(), Recipients::Members);
        core.bus.send(node, Item::Deliver { message, version, recipients });
    }
}

fn send_elsewhere(core: &Core, message: &ChatMessage, version: u64, users: &[UserId]) {
    for (node, users) in by_node(core, users) {
        let (message, recipients) = (message.clone(), Recipients::Users(users));
        core.bus.send(&node, Item::Deliver { message, version, recipients });
    }
}

/// Those of the users that are on other nodes, as far as known.
pub fn by_node(core: &Core, users: &[UserId]) -> BTreeMap<NodeId, Vec<UserId>> {
    let mut nodes: BTreeMap<NodeId, Vec<UserId>> = BTreeMap::new();
    for &user in users {
        if let Route::Node(node) = core.routes.cached(user)
            && node != core.key.id
        {
            nodes.entry(node).or_default().push(user);
        }
    }
    nodes
}

/// Errno 5, 6 or 7: why a user may not post in a conversation, or read it.
pub async fn explain_refusal(core: &Core, conv: Conversation, sender: UserId) -> storage::Result<Failure> {
    Ok(match conv.target_from(sender) {
        Target::Group(_) => match core.audiences.any(conv).await? {
            None => Errno::NoSuchGroup.into(),
            Some(_) => Failure::new(Errno::NotAllowed, "not a member of this group"),
        },
        Target::User(other) => match core.storage.account(&Who::Id(other)).await? {
            None => Errno::NoSuchUser.into(),
            Some(_) => Failure::new(Errno::NotAllowed, "not a friend"),
        },
    })
}
