//! `qos` 0: from a connection straight to who is online.
//!
//! At best without waiting for anything. Where the members of a conversation, or the nodes they are on, are not known,
//! the message waits in a queue, and they are looked up for all that has queued up meanwhile. A friend who cannot be
//! reached so gets it through the database.
//!
//! The node of the sender finds the recipients, and the node of each recipient makes sure of it once more: whoever has
//! left, or ended a friendship, did so on the node where its session is.

mod ways;

use super::Delivery;
use super::batch_queue::{self, BatchQueues};
use super::commit::Writers;
use super::pending::PendingChat;
use super::routes::Route;
use crate::bus::{LISTED_RECIPIENTS, Recipients};
use crate::cluster::NodeId;
use crate::session::failure::unavailable;
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::message::ChatMessage;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use ways::Ways;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{self, LocalPair};
    use crate::node::Node;
    use crate::session::Relayed;
    use crate::session::outbound::Push;
    use crate::storage::Audience;
    use tokio::time::Instant;
    use uuid::Uuid;

    const ANN: UserId = 1;
    const BOB: UserId = 2;
    const CONV: Conversation = Conversation::Direct(ANN, BOB);

    async fn node() -> Node {
        Node::start(bench::config("sqlite::memory:")).await.expect("a node starts")
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

        assert_eq!(bob.relay(&Push::new(&message, 1), 1), Relayed::TooLate);
        assert_eq!(pair.take(), 0);
        assert_eq!(bob.relay(&Push::new(&message, 1), 2), Relayed::Queued);
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
