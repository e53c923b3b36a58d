//! `qos` 0: from a connection straight to who is online.
//!
//! At best without waiting for anything. Where the members of a conversation, or the nodes they are on, are not known,
//! the message waits in a queue, and they are looked up for all that has queued up meanwhile. A friend who cannot be
//! reached so gets it through the database.
//!
//! The node of the sender finds the recipients, and the node of each recipient makes sure of it once more: whoever has
//! left, or ended a friendship, did so on the node where its session is.

use super::Delivery;
use super::batch_queue::{self, BatchQueues, Batches};
use super::commit::{Job, Writers};
use super::errands::Purpose;
use super::local::relay_here;
use super::pending::PendingChat;
use super::routes::Route;
use crate::bus::LISTED_RECIPIENTS;
use crate::bus::{Item, Recipients};
use crate::cluster::NodeId;
use crate::session::failure::unavailable;
use crate::storage::{self, Append, Audience, End};
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::message::ChatMessage;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// Queues of messages that wait for a look-up, so that a large group does not hold up everybody.
const QUEUES: usize = 4;

/// The ways of relayed messages.
pub struct Relays {
    ways: Ways,
    /// Messages whose recipients have to be looked up first.
    queues: BatchQueues<Relay>,
    /// Messages of other nodes in the queues: none that comes later may overtake them.
    arrived: Arc<AtomicUsize>,
}

/// What a relayed message can do: reach those who are here, and on other nodes, or be stored instead.
#[derive(Clone)]
struct Ways {
    delivery: Arc<Delivery>,
    writers: Arc<Writers>,
}

struct Relay {
    message: ChatMessage,
    source: Source,
}

enum Source {
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
    pub fn start(delivery: &Arc<Delivery>, writers: &Arc<Writers>) -> Self {
        let ways = Ways { delivery: delivery.clone(), writers: writers.clone() };
        let run = |number, waiting| {
            delivery.environment.tasks.spawn(format!("relay {number}"), ways.clone().run(waiting));
        };
        let queues = BatchQueues::start(QUEUES, run);
        Relays { ways, queues, arrived: Arc::default() }
    }

    /// The way without waiting: the members are known, and the friend is here or known to be on another node. False:
    /// this is not so, and nothing was done.
    pub fn at_once(&self, message: &ChatMessage) -> bool {
        let Some(audience) = self.ways.known_audience(message, None) else { return false };
        match message.conv.target_from(message.sender) {
            Target::User(friend) => self.ways.reach_friend(message, friend, audience.version),
            Target::Group(_) => {
                let known = |user: &UserId| self.ways.delivery.routes.cached(*user) != Route::Unknown;
                let small = audience.members.len() <= LISTED_RECIPIENTS;
                let here = |user: &UserId| self.ways.delivery.registry.is_here(*user);
                if small && !audience.members.iter().all(|user| here(user) || known(user)) {
                    return false;
                }
                self.ways.reach_group(message, &audience);
                true
            }
        }
    }

    /// The way that reads from the database first. Errno 11 while too many wait.
    pub fn look_up(&self, message: ChatMessage, request: PendingChat) {
        if let Err(refused) = self.queues.submit(Relay { message, source: Source::Client(request) }) {
            refused.source.refuse();
        }
    }

    /// Another node relays a message to users here. To be called for one after the other.
    pub fn arrived(&self, from: &NodeId, message: ChatMessage, recipients: Recipients) {
        if self.arrived.load(Ordering::Acquire) == 0
            && let Some(audience) = self.ways.known_audience(&message, Some(&recipients))
        {
            return self.ways.hand_out(from, message, recipients, &audience);
        }
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let source = Source::Node(from.clone(), recipients, Arrived(self.arrived.clone()));
        if let Err(refused) = self.queues.submit(Relay { message, source }) {
            self.ways.give_up(refused.message);
        }
    }
}

impl Source {
    fn refuse(self) {
        if let Source::Client(request) = self {
            request.answer(Err(unavailable()));
        }
    }
}

impl Ways {
    async fn run(self, mut waiting: Batches<Relay>) {
        while let Some(batch) = waiting.batch().await {
            match self.look_up(&batch).await {
                Ok(audiences) => {
                    for (relay, audience) in batch.into_iter().zip(audiences) {
                        self.finish(relay, audience);
                    }
                }
                Err(error) => {
                    // Whoever has queued up meanwhile would only wait for the same.
                    let refused = batch.into_iter().chain(waiting.rest());
                    let count = refused.map(|relay| self.fail(relay)).count();
                    tracing::warn!(%error, messages = count, "cannot look up whom to relay messages to");
                }
            }
        }
    }

    /// Reads what is unknown: who is in the conversations, then where they are. Returns for each message the audience,
    /// `None` where its sender may not post.
    async fn look_up(&self, batch: &[Relay]) -> storage::Result<Vec<Option<Audience>>> {
        let known: Vec<Option<Audience>> = batch.iter().map(|relay| self.known_audience_of(relay)).collect();
        let unknown = batch.iter().zip(&known).filter(|(_, audience)| audience.is_none());
        let convs: BTreeSet<Conversation> = unknown.map(|(relay, _)| relay.message.conv).collect();
        let read = self.delivery.members.load_all(convs).await?;
        let audience = |(Relay { message, .. }, known): (&Relay, Option<Audience>)| {
            let read = || read.get(&message.conv).filter(|audience| audience.may_post(message.sender)).cloned();
            known.or_else(read)
        };
        let audiences: Vec<Option<Audience>> = batch.iter().zip(known).map(audience).collect();
        let own = batch.iter().zip(&audiences).filter(|(relay, _)| matches!(relay.source, Source::Client(_)));
        let listed = own.filter_map(|(_, audience)| audience.as_ref());
        let listed = listed.filter(|audience| audience.members.len() <= LISTED_RECIPIENTS);
        let users = listed.flat_map(|audience| audience.members.iter().copied());
        self.delivery.routes.look_up(users.filter(|user| !self.delivery.registry.is_here(*user))).await?;
        Ok(audiences)
    }

    fn finish(&self, Relay { message, source }: Relay, audience: Option<Audience>) {
        // The lease may have run out while this was looked up.
        if self.delivery.registry.suspend_unless_leased() {
            return self.fail(Relay { message, source });
        }
        let request = match (source, &audience) {
            (Source::Client(request), _) => request,
            (Source::Node(from, recipients, _arrived), Some(audience)) => {
                return self.hand_out(&from, message, recipients, audience);
            }
            // It was on its way when its sender left.
            (Source::Node(..), None) => return,
        };
        let Some(audience) = audience else { return self.explain(message, request) };
        match message.conv.target_from(message.sender) {
            Target::Group(_) => self.reach_group(&message, &audience),
            Target::User(friend) if self.reach_friend(&message, friend, audience.version) => {}
            Target::User(_) => return self.store_instead(message, Some(request)),
        }
        request.answer(Ok(None));
    }

    fn fail(&self, Relay { message, source }: Relay) {
        match source {
            Source::Client(_) => source.refuse(),
            Source::Node(..) => self.give_up(message),
        }
    }

    /// Who is in the conversation, if that is known for certain, and says that the sender may post, and that the
    /// recipients named may read it: a no may be out of date.
    fn known_audience(&self, message: &ChatMessage, named: Option<&Recipients>) -> Option<Audience> {
        let audience = self.delivery.members.trusted(message.conv, Instant::now(), self.delivery.bus.is_connected())?;
        let is_member = |user: &UserId| audience.members.binary_search(user).is_ok();
        let knows_all = match named {
            Some(Recipients::Users(users)) => users.iter().all(is_member),
            Some(Recipients::Members) | None => true,
        };
        (knows_all && audience.may_post(message.sender)).then_some(audience)
    }

    fn known_audience_of(&self, relay: &Relay) -> Option<Audience> {
        let named = match &relay.source {
            Source::Client(_) => None,
            Source::Node(_, recipients, _) => Some(recipients),
        };
        self.known_audience(&relay.message, named)
    }

    fn reach_friend(&self, message: &ChatMessage, friend: UserId, version: u64) -> bool {
        if relay_here(&self.delivery, message, &[friend], version).is_empty() {
            return true;
        }
        match self.delivery.routes.cached(friend) {
            Route::Node(node) if node != self.delivery.key.id => {
                let recipients = Recipients::Users(vec![friend]);
                self.delivery.bus.send(&node, Item::Relay { message: message.clone(), recipients });
                true
            }
            _ => false,
        }
    }

    fn reach_group(&self, message: &ChatMessage, audience: &Audience) {
        let elsewhere = relay_here(&self.delivery, message, &audience.members, audience.version);
        if audience.members.len() > LISTED_RECIPIENTS {
            let item = || Item::Relay { message: message.clone(), recipients: Recipients::Members };
            return self.delivery.peers.tell(item);
        }
        for (node, users) in self.delivery.routes.by_node(&elsewhere, &self.delivery.key.id) {
            let item = Item::Relay { message: message.clone(), recipients: Recipients::Users(users) };
            self.delivery.bus.send(&node, item);
        }
    }

    /// Pushes a message of another node to those of its recipients that are in the conversation.
    fn hand_out(&self, from: &NodeId, message: ChatMessage, recipients: Recipients, audience: &Audience) {
        let Recipients::Users(mut users) = recipients else {
            relay_here(&self.delivery, &message, &audience.members, audience.version);
            return;
        };
        users.retain(|user| audience.members.binary_search(user).is_ok());
        let missing = relay_here(&self.delivery, &message, &users, audience.version);
        if missing.is_empty() {
            return;
        }
        self.delivery.bus.send(from, Item::NotHere { users: missing });
        // A friend is no longer where the route said.
        self.give_up(message);
    }

    /// A message of another node that cannot be relayed now. A group's is forgotten, as it is for whoever is not
    /// online.
    fn give_up(&self, message: ChatMessage) {
        if let Conversation::Direct(..) = message.conv {
            self.store_instead(message, None);
        }
    }

    /// A message that could not be relayed takes the way of those that are stored, under the sender's mid.
    fn store_instead(&self, message: ChatMessage, request: Option<PendingChat>) {
        let ChatMessage { conv, sender, name, msg, mid, sent_as, .. } = message;
        // Of a message that another node took from its client, that node knows the session.
        let epoch = request.as_ref().and_then(PendingChat::session_epoch);
        let append = Append { conv, sender, mid, msg, sent_as, allowed_under: 0, known_end: End::default(), epoch };
        self.writers.submit(Job { append, sender_name: name, request });
    }

    /// Says why the sender may not post there. Errno 11 while too many ask.
    fn explain(&self, message: ChatMessage, request: PendingChat) {
        let delivery = self.delivery.clone();
        let say = |request: PendingChat| async move {
            let why = delivery.members.why_not(message.conv, message.sender).await;
            request.answer(Err(why.unwrap_or_else(|_| unavailable())));
        };
        if let Err(request) = self.delivery.errands.run(Purpose::Refusal, request, say) {
            request.answer(Err(unavailable()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::LocalPair;
    use crate::config::{Config, Database, Listen, Password};
    use crate::node::Node;
    use crate::session::Relayed;
    use crate::session::outbound::Parcel;
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
    fn arrive(relays: &Relays) {
        relays.arrived(&"ann's".into(), message("hello"), Recipients::Users(vec![BOB]));
    }

    async fn looked_up(relays: &Relays) {
        while relays.arrived.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn message_of_a_node_that_knows_better_no_more_is_not_pushed() {
        let node = node().await;
        let (context, mut pair) = (node.context(), LocalPair::new(&node, ANN, BOB));
        arrive(&context.relays);
        assert!(pair.take() > 0);

        // The answer to REMOVE_FRIEND has been given here; Ann's node has not heard of it.
        let no_friends = Audience { version: 2, members: [ANN, BOB].into(), open: false };
        context.delivery.members.learn(CONV, no_friends, Instant::now());
        arrive(&context.relays);
        looked_up(&context.relays).await;

        assert_eq!(pair.take(), 0);
    }

    #[tokio::test]
    async fn message_that_was_relayed_before_the_friendship_ended_is_not_pushed_after_it() {
        let node = node().await;
        let mut pair = LocalPair::new(&node, ANN, BOB);
        let bob = node.context().registry.get(BOB).expect("Bob is here");
        let message = message("too late");

        bob.relays_from(CONV, 2);

        assert_eq!(bob.relay(&Parcel::new(&message, 1), 1), Relayed::TooLate);
        assert_eq!(pair.take(), 0);
        assert_eq!(bob.relay(&Parcel::new(&message, 1), 2), Relayed::Queued);
    }

    #[tokio::test]
    async fn none_overtakes_one_that_waits_for_a_look_up() {
        let node = node().await;
        let (context, mut pair) = (node.context(), LocalPair::new(&node, ANN, BOB));
        let friends = context.delivery.members.cached(CONV).expect("the pair are friends");
        context.delivery.members.doubt(CONV);
        arrive(&context.relays);

        context.delivery.members.learn(CONV, friends, Instant::now());
        arrive(&context.relays);

        assert_eq!(pair.take(), 0, "the second waits for the first");
        assert_eq!(context.relays.arrived.load(Ordering::Acquire), 2);
        looked_up(&context.relays).await;
    }
}
