//! `qos` 0: from a connection straight to who is online.
//!
//! At best without waiting for anything. Where the members of a conversation, or the nodes they are on, are not known, the
//! message waits in a lane, and they are looked up for all that has queued up meanwhile. A friend who cannot be reached so
//! gets it through the database.

use crate::bus::{Item, Recipients};
use crate::core::Core;
use crate::delivery::{by_node, explain_refusal};
use crate::inbox::relay_here;
use crate::lanes::{self, Lanes, Waiting};
use crate::limits::LISTED_RECIPIENTS;
use crate::protocol::conversation::{Conversation, Target, UserId};
use crate::protocol::message::ChatMessage;
use crate::routes::Route;
use crate::storage::{self, Append, Audience};
use crate::writer::{Job, PendingChat, unavailable};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// Lanes of messages that wait for a look-up, so that a large group does not hold up everybody.
const LANES: usize = 4;

/// Messages whose recipients have to be looked up first.
pub struct Relays {
    lanes: Lanes<Relay>,
}

/// A message, and whom to tell.
struct Relay {
    message: ChatMessage,
    request: PendingChat,
}

impl lanes::Message for Relay {
    fn conv(&self) -> Conversation {
        self.message.conv
    }

    fn bytes(&self) -> usize {
        self.message.text_bytes()
    }
}

impl Relays {
    /// Starts the tasks; they end when this is dropped.
    pub fn start(core: &Weak<Core>) -> Self {
        let run = |waiting| {
            tokio::spawn(run(core.clone(), waiting));
        };
        Relays { lanes: Lanes::start(LANES, run) }
    }

    /// The way that reads from the database first. Errno 11 while too many wait.
    pub fn look_up(&self, message: ChatMessage, request: PendingChat) {
        if let Err(refused) = self.lanes.submit(Relay { message, request }) {
            refused.request.answer(Err(unavailable()));
        }
    }
}

/// The way without waiting: the members are known, and the friend is here or known to be on another node. False: this is
/// not so, and nothing was done.
pub fn at_once(core: &Core, message: &ChatMessage) -> bool {
    let Some(audience) = known_audience(core, message) else { return false };
    match message.conv.target_from(message.sender) {
        Target::User(friend) => reach_friend(core, message, friend),
        Target::Group(_) => {
            let known = |user: &UserId| core.routes.cached(*user) != Route::Unknown;
            let small = audience.members.len() <= LISTED_RECIPIENTS;
            let here = |user: &UserId| core.registry.with(*user, |_| ()).is_some();
            if small && !audience.members.iter().all(|user| here(user) || known(user)) {
                return false;
            }
            reach_group(core, message, &audience);
            true
        }
    }
}

/// A message that could not be relayed takes the way of those that are stored, under the sender's mid.
pub fn store_instead(core: &Core, message: ChatMessage, request: Option<PendingChat>) {
    let ChatMessage { conv, sender, name, msg, mid, sent_as, .. } = message;
    let append = Append { conv, sender, mid, msg, sent_as, allowed_under: 0 };
    core.writers.submit(Job { append, sender_name: name, request });
}

fn known_audience(core: &Core, message: &ChatMessage) -> Option<Audience> {
    core.audiences.cached(message.conv).filter(|audience| audience.may_post(message.sender))
}

fn reach_friend(core: &Core, message: &ChatMessage, friend: UserId) -> bool {
    if relay_here(core, message, &[friend]).is_empty() {
        return true;
    }
    match core.routes.cached(friend) {
        Route::Node(node) if node != core.key.id => {
            let recipients = Recipients::Users(vec![friend]);
            core.bus.send(&node, Item::Relay { message: message.clone(), recipients });
            true
        }
        _ => false,
    }
}

fn reach_group(core: &Core, message: &ChatMessage, audience: &Audience) {
    let elsewhere = relay_here(core, message, &audience.members);
    if audience.members.len() > LISTED_RECIPIENTS {
        return core.tell_peers(|| Item::Relay { message: message.clone(), recipients: Recipients::Members });
    }
    for (node, users) in by_node(core, &elsewhere) {
        core.bus.send(&node, Item::Relay { message: message.clone(), recipients: Recipients::Users(users) });
    }
}

async fn run(core: Weak<Core>, mut waiting: Waiting<Relay>) {
    while let Some(batch) = waiting.batch().await {
        let Some(core) = core.upgrade() else { return };
        match look_up(&core, &batch).await {
            Ok(audiences) => {
                for (relay, audience) in batch.into_iter().zip(audiences) {
                    finish(&core, relay, audience);
                }
            }
            Err(error) => {
                // Whoever has queued up meanwhile would only wait for the same.
                let refused = batch.into_iter().chain(waiting.rest());
                let count = refused.map(|relay| relay.request.answer(Err(unavailable()))).count();
                tracing::warn!(%error, messages = count, "cannot look up whom to relay messages to");
            }
        }
    }
}

/// Reads what is unknown: who is in the conversations, then where they are. Returns for each message the audience, `None`
/// where its sender may not post.
async fn look_up(core: &Core, batch: &[Relay]) -> storage::Result<Vec<Option<Audience>>> {
    // A cached audience without the sender may be out of date.
    let unknown = batch.iter().filter(|relay| known_audience(core, &relay.message).is_none());
    let convs: BTreeSet<Conversation> = unknown.map(|relay| relay.message.conv).collect();
    let read = core.audiences.load_all(convs).await?;
    let audience = |Relay { message, .. }: &Relay| {
        let read = || read.get(&message.conv).filter(|audience| audience.may_post(message.sender)).cloned();
        known_audience(core, message).or_else(read)
    };
    let audiences: Vec<Option<Audience>> = batch.iter().map(audience).collect();
    let listed = audiences.iter().flatten().filter(|audience| audience.members.len() <= LISTED_RECIPIENTS);
    let users = listed.flat_map(|audience| audience.members.iter().copied());
    core.routes.look_up(users.filter(|user| core.registry.with(*user, |_| ()).is_none())).await?;
    Ok(audiences)
}

fn finish(core: &Arc<Core>, Relay { message, request }: Relay, audience: Option<Audience>) {
    let Some(audience) = audience else { return explain(core, message, request) };
    match message.conv.target_from(message.sender) {
        Target::Group(_) => reach_group(core, &message, &audience),
        Target::User(friend) if reach_friend(core, &message, friend) => {}
        Target::User(_) => return store_instead(core, message, Some(request)),
    }
    request.answer(Ok(None));
}

/// Says why the sender may not post there. Errno 11 while too many ask.
fn explain(core: &Arc<Core>, message: ChatMessage, request: PendingChat) {
    let Ok(permit) = core.errands.clone().try_acquire_owned() else {
        return request.answer(Err(unavailable()));
    };
    let core = core.clone();
    tokio::spawn(async move {
        let why = explain_refusal(&core, message.conv, message.sender).await;
        request.answer(Err(why.unwrap_or_else(|_| unavailable())));
        drop(permit);
    });
}
