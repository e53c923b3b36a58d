//! What a relayed message can do: reach those who are here, and on other nodes, or be stored instead.

use super::{Relay, Source};
use crate::bus::{Item, LISTED_RECIPIENTS, Recipients};
use crate::cluster::NodeId;
use crate::delivery::Delivery;
use crate::delivery::batch_queue::Batches;
use crate::delivery::commit::{Job, Writers};
use crate::delivery::errands::Purpose;
use crate::delivery::local::relay_here;
use crate::delivery::pending::PendingChat;
use crate::delivery::routes::Route;
use crate::session::failure::unavailable;
use crate::storage::{self, Append, Audience};
use chat_protocol::conversation::{Conversation, Target, UserId};
use chat_protocol::message::ChatMessage;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Clone)]
pub(super) struct Ways {
    pub(super) delivery: Arc<Delivery>,
    pub(super) writers: Arc<Writers>,
}

impl Ways {
    pub(super) async fn run(self, mut waiting: Batches<Relay>) {
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
        let Some(audience) = audience else {
            return match message.conv {
                // An earlier try may have been stored, and nobody told: the writer looks, and else says why not.
                Conversation::Direct(..) => self.store_instead(message, Some(request)),
                Conversation::Group(_) => self.explain(message, request),
            };
        };
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
    pub(super) fn known_audience(&self, message: &ChatMessage, named: Option<&Recipients>) -> Option<Audience> {
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

    pub(super) fn reach_friend(&self, message: &ChatMessage, friend: UserId, version: u64) -> bool {
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

    pub(super) fn reach_group(&self, message: &ChatMessage, audience: &Audience) {
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
    pub(super) fn hand_out(&self, from: &NodeId, message: ChatMessage, recipients: Recipients, audience: &Audience) {
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
    pub(super) fn give_up(&self, message: ChatMessage) {
        if let Conversation::Direct(..) = message.conv {
            self.store_instead(message, None);
        }
    }

    /// A message that could not be relayed takes the way of those that are stored, under the sender's mid.
    fn store_instead(&self, message: ChatMessage, request: Option<PendingChat>) {
        let ChatMessage { conv, sender, name, msg, mid, sent_as, .. } = message;
        // Of a message that another node took from its client, that node knows the session.
        let epoch = request.as_ref().and_then(PendingChat::session_epoch);
        let append = Append { sent_as, epoch, ..Append::new(conv, sender, mid, msg) };
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
