//! `qos` 0: from a connection straight to who is online.
//!
//! At best without waiting for anything. Where the members of a conversation, or the nodes they are on, are not known,
//! the message waits in a lane, and they are looked up for all that has queued up meanwhile. A friend who cannot be
//! reached so gets it through the database.
//!
//! The node of the sender finds the recipients, and the node of each recipient makes sure of it once more: whoever has
//! left, or ended a friendship, did so on the node where its session is.

use crate::bus::{Item, Recipients};
use crate::cluster::NodeId;
use crate::config::limits::LISTED_RECIPIENTS;
use crate::context::Core;
use crate::delivery::batch_queue::{self, Lanes, Waiting};
use crate::delivery::commit::{Job, PendingChat, unavailable};
use crate::delivery::local::{by_node, explain_refusal};
use crate::delivery::routes::Route;
use crate::session::Relayed;
use crate::session::outbound::Parcel;
use crate::storage::{self, Append, Audience, End};
use chat_environment::Tasks;
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::message::ChatMessage;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::time::Instant;

/// Lanes of messages that wait for a look-up, so that a large group does not hold up everybody.
const LANES: usize = 4;

/// Messages whose recipients have to be looked up first.
pub struct Relays {
    lanes: Lanes<Relay>,
    /// Messages of other nodes in the lanes: none that comes later may overtake them.
    arrived: Arc<AtomicUsize>,
}

struct Relay {
    message: ChatMessage,
    origin: Origin,
}

enum Origin {
    /// A client of this node, who is to be told.
    Client(PendingChat),
    /// Another node, for these users here.
    Node(NodeId, Recipients, Arrived),
}

/// One of [`Relays::arrived`], as long as it lives.
struct Arrived(Arc<AtomicUsize>);

impl Drop for Arrived {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl batch_queue::Message for Relay {
    fn conv(&self) -> Conversation {
        self.message.conv
    }

    fn bytes(&self) -> usize {
        self.message.text_bytes()
    }
}

impl Relays {
    /// Starts the tasks; they end when this is dropped.
    pub fn start(tasks: &Tasks, core: &Weak<Core>) -> Self {
        let run = |number, waiting| {
            tasks.spawn(format!("relay {number}"), run(core.clone(), waiting));
        };
        Relays { lanes: Lanes::start(LANES, run), arrived: Arc::default() }
    }

    /// The way that reads from the database first. Errno 11 while too many wait.
    pub fn look_up(&self, message: ChatMessage, request: PendingChat) {
        if let Err(refused) = self.lanes.submit(Relay { message, origin: Origin::Client(request) }) {
            refused.origin.refuse();
        }
    }
}

impl Origin {
    fn refuse(self) {
        if let Origin::Client(request) = self {
            request.answer(Err(unavailable()));
        }
    }
}

/// The way without waiting: the members are known, and the friend is here or known to be on another node. False: this
/// is not so, and nothing was done.
pub fn at_once(core: &Core, message: &ChatMessage) -> bool {
    let Some(audience) = known_audience(core, message, None) else { return false };
    match message.conv.target_from(message.sender) {
        Target::User(friend) => reach_friend(core, message, friend, audience.version),
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

/// Another node relays a message to users here. To be called for one after the other.
pub fn arrived(core: &Core, from: &NodeId, message: ChatMessage, recipients: Recipients) {
    if core.relays.arrived.load(Ordering::Acquire) == 0
        && let Some(audience) = known_audience(core, &message, Some(&recipients))
    {
        return hand_out(core, from, message, recipients, &audience);
    }
    core.relays.arrived.fetch_add(1, Ordering::AcqRel);
    let origin = Origin::Node(from.clone(), recipients, Arrived(core.relays.arrived.clone()));
    if let Err(refused) = core.relays.lanes.submit(Relay { message, origin }) {
        give_up(core, refused.message);
    }
}

/// A message that could not be relayed takes the way of those that are stored, under the sender's mid.
fn store_instead(core: &Core, message: ChatMessage, request: Option<PendingChat>) {
    let ChatMessage { conv, sender, name, msg, mid, sent_as, .. } = message;
    // Of a message that another node took from its client, that node knows the session.
    let epoch = request.as_ref().and_then(PendingChat::session_epoch);
    let append = Append { conv, sender, mid, msg, sent_as, allowed_under: 0, known_end: End::default(), epoch };
    core.writers.submit(Job { append, sender_name: name, request });
}

/// A message of another node that cannot be relayed now. A group's is forgotten, as it is for whoever is not online.
fn give_up(core: &Core, message: ChatMessage) {
    if let Conversation::Direct(..) = message.conv {
        store_instead(core, message, None);
    }
}

/// Who is in the conversation, if that is known for certain, and says that the sender may post, and that the recipients
/// named may read it: a no may be out of date.
fn known_audience(core: &Core, message: &ChatMessage, named: Option<&Recipients>) -> Option<Audience> {
    let audience = core.audiences.trusted(message.conv, Instant::now(), core.bus.is_connected())?;
    let is_member = |user: &UserId| audience.members.binary_search(user).is_ok();
    let knows_all = match named {
        Some(Recipients::Users(users)) => users.iter().all(is_member),
        Some(Recipients::Members) | None => true,
    };
    (knows_all && audience.may_post(message.sender)).then_some(audience)
}

fn reach_friend(core: &Core, message: &ChatMessage, friend: UserId, version: u64) -> bool {
    if relay_here(core, message, &[friend], version).is_empty() {
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
    let elsewhere = relay_here(core, message, &audience.members, audience.version);
    if audience.members.len() > LISTED_RECIPIENTS {
        return core.tell_peers(|| Item::Relay { message: message.clone(), recipients: Recipients::Members });
    }
    for (node, users) in by_node(core, &elsewhere) {
        core.bus.send(&node, Item::Relay { message: message.clone(), recipients: Recipients::Users(users) });
    }
}

/// Pushes a message of another node to those of its recipients that are in the conversation.
fn hand_out(core: &Core, from: &NodeId, message: ChatMessage, recipients: Recipients, audience: &Audience) {
    let Recipients::Users(mut users) = recipients else {
        relay_here(core, &message, &audience.members, audience.version);
        return;
    };
    users.retain(|user| audience.members.binary_search(user).is_ok());
    let missing = relay_here(core, &message, &users, audience.version);
    if missing.is_empty() {
        return;
    }
    core.bus.send(from, Item::NotHere { users: missing });
    // A friend is no longer where the route said.
    give_up(core, message);
}

/// Relays to those of the users that are here; returns the others, and those whose queue is full.
fn relay_here(core: &Core, message: &ChatMessage, users: &[UserId], version: u64) -> Vec<UserId> {
    // As where stored messages are pushed.
    core.suspend_unless_leased();
    let parcel = Parcel::new(message, users.len());
    let others = users.iter().copied().filter(|user| *user != message.sender);
    let relay = |user: &UserId| core.registry.with(*user, |session| session.relay(&parcel, version));
    others.filter(|user| matches!(relay(user), None | Some(Relayed::Refused))).collect()
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
                let count = refused.map(|relay| fail(&core, relay)).count();
                tracing::warn!(%error, messages = count, "cannot look up whom to relay messages to");
            }
        }
    }
}

fn fail(core: &Core, Relay { message, origin }: Relay) {
    match origin {
        Origin::Client(_) => origin.refuse(),
        Origin::Node(..) => give_up(core, message),
    }
}

/// Reads what is unknown: who is in the conversations, then where they are. Returns for each message the audience,
/// `None` where its sender may not post.
async fn look_up(core: &Core, batch: &[Relay]) -> storage::Result<Vec<Option<Audience>>> {
    let known: Vec<Option<Audience>> = batch.iter().map(|relay| relay.known_audience(core)).collect();
    let unknown = batch.iter().zip(&known).filter(|(_, audience)| audience.is_none());
    let convs: BTreeSet<Conversation> = unknown.map(|(relay, _)| relay.message.conv).collect();
    let read = core.audiences.load_all(convs).await?;
    let audience = |(Relay { message, .. }, known): (&Relay, Option<Audience>)| {
        let read = || read.get(&message.conv).filter(|audience| audience.may_post(message.sender)).cloned();
        known.or_else(read)
    };
    let audiences: Vec<Option<Audience>> = batch.iter().zip(known).map(audience).collect();
    let own = batch.iter().zip(&audiences).filter(|(relay, _)| matches!(relay.origin, Origin::Client(_)));
    let listed = own.filter_map(|(_, audience)| audience.as_ref());
    let listed = listed.filter(|audience| audience.members.len() <= LISTED_RECIPIENTS);
    let users = listed.flat_map(|audience| audience.members.iter().copied());
    core.routes.look_up(users.filter(|user| core.registry.with(*user, |_| ()).is_none())).await?;
    Ok(audiences)
}

impl Relay {
    fn known_audience(&self, core: &Core) -> Option<Audience> {
        let named = match &self.origin {
            Origin::Client(_) => None,
            Origin::Node(_, recipients, _) => Some(recipients),
        };
        known_audience(core, &self.message, named)
    }
}

fn finish(core: &Arc<Core>, Relay { message, origin }: Relay, audience: Option<Audience>) {
    // The lease may have run out while this was looked up.
    if core.suspend_unless_leased() {
        return fail(core, Relay { message, origin });
    }
    let request = match (origin, &audience) {
        (Origin::Client(request), _) => request,
        (Origin::Node(from, recipients, _arrived), Some(audience)) => {
            return hand_out(core, &from, message, recipients, audience);
        }
        // It was on its way when its sender left.
        (Origin::Node(..), None) => return,
    };
    let Some(audience) = audience else { return explain(core, message, request) };
    match message.conv.target_from(message.sender) {
        Target::Group(_) => reach_group(core, &message, &audience),
        Target::User(friend) if reach_friend(core, &message, friend, audience.version) => {}
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
    core.tasks.clone().spawn_short("refusal", async move {
        let why = explain_refusal(&core, message.conv, message.sender).await;
        request.answer(Err(why.unwrap_or_else(|_| unavailable())));
        drop(permit);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::LocalPair;
    use crate::config::{Config, Database, Listen, Password};
    use crate::node::Node;
    use uuid::Uuid;

    const ANN: UserId = 1;
    const BOB: UserId = 2;
    const CONV: Conversation = Conversation::Direct(ANN, BOB);

    async fn node() -> Node {
        let config = Config {
            listen: Listen { host: "127.0.0.1".into(), port: 0, ..Listen::default() },
            database: Database { url: "sqlite::memory:".into(), ..Database::default() },
            password: Password { memory_kib: 8, iterations: 1, ..Password::default() },
            ..Config::default()
        };
        Node::start(config).await.expect("a node starts")
    }

    fn message(text: &str) -> ChatMessage {
        ChatMessage {
            log_epoch: 0,
            conv: CONV,
            seq: 0,
            sender: ANN,
            name: "ann".into(),
            msg: text.into(),
            time: 0,
            mid: Uuid::nil(),
            sent_as: None,
        }
    }

    /// Ann's node relays a message to Bob, who is here.
    fn arrive(core: &Core) {
        arrived(core, &"ann's".into(), message("hello"), Recipients::Users(vec![BOB]));
    }

    async fn looked_up(core: &Core) {
        while core.relays.arrived.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn message_of_a_node_that_knows_better_no_more_is_not_pushed() {
        let node = node().await;
        let (core, mut pair) = (node.core(), LocalPair::new(&node, ANN, BOB));
        arrive(core);
        assert!(pair.take() > 0);

        // The answer to REMOVE_FRIEND has been given here; Ann's node has not heard of it.
        let no_friends = Audience { version: 2, members: [ANN, BOB].into(), open: false };
        core.audiences.learn(CONV, no_friends, Instant::now());
        arrive(core);
        looked_up(core).await;

        assert_eq!(pair.take(), 0);
    }

    #[tokio::test]
    async fn message_that_was_relayed_before_the_friendship_ended_is_not_pushed_after_it() {
        let node = node().await;
        let mut pair = LocalPair::new(&node, ANN, BOB);
        let bob = node.core().registry.get(BOB).expect("Bob is here");
        let message = message("too late");

        bob.relays_from(CONV, 2);

        assert_eq!(bob.relay(&Parcel::new(&message, 1), 1), Relayed::TooLate);
        assert_eq!(pair.take(), 0);
        assert_eq!(bob.relay(&Parcel::new(&message, 1), 2), Relayed::Queued);
    }

    #[tokio::test]
    async fn none_overtakes_one_that_waits_for_a_look_up() {
        let node = node().await;
        let (core, mut pair) = (node.core(), LocalPair::new(&node, ANN, BOB));
        let friends = core.audiences.cached(CONV).expect("the pair are friends");
        core.audiences.doubt(CONV);
        arrive(core);

        core.audiences.learn(CONV, friends, Instant::now());
        arrive(core);

        assert_eq!(pair.take(), 0, "the second waits for the first");
        assert_eq!(core.relays.arrived.load(Ordering::Acquire), 2);
        looked_up(core).await;
    }
}
