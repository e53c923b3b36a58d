//! Handles what arrives on the bus.

use super::Delivery;
use super::local::push_here;
use super::relay::Relays;
use crate::bus::{Arrival, Item, Recipients};
use crate::cluster::NodeId;
use crate::session::ending::Endings;
use crate::storage::{End, EndAsked, Release};
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::message::{ChatMessage, Event};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Whom arrivals are for.
pub struct BusReceiver {
    pub delivery: Arc<Delivery>,
    pub relays: Arc<Relays>,
    pub endings: Arc<Endings>,
}

impl BusReceiver {
    /// Runs until the bus closes.
    pub async fn run(self, mut arrivals: mpsc::Receiver<Arrival>) {
        while let Some(arrival) = arrivals.recv().await {
            match arrival {
                Arrival::Items { from, items } => {
                    self.delivery.registry.suspend_unless_leased();
                    for item in items {
                        self.handle(&from, item).await;
                    }
                }
                Arrival::Lost { from } => {
                    tracing::debug!(%from, "something was lost on the bus, looking into the log");
                    self.delivery.members.pulse.broken(Instant::now());
                    self.delivery.repair.look_soon();
                }
                Arrival::Resubscribed => {
                    self.delivery.members.pulse.broken(Instant::now());
                    self.delivery.repair.look_at_everything();
                }
            }
        }
    }

    async fn handle(&self, from: &NodeId, item: Item) {
        match item {
            Item::Deliver { message, version, recipients } => self.deliver(from, &message, version, recipients).await,
            Item::Relay { message, recipients } => self.relays.arrived(from, message, recipients),
            Item::NotHere { users } => users.iter().for_each(|user| self.delivery.routes.not_at(*user, from)),
            Item::Online { users } => users.iter().for_each(|user| self.delivery.routes.moved(*user, from)),
            Item::Yield { user, epoch } => self.endings.yield_to_who_waits(Release { user, epoch }),
            Item::End { user, epoch, reason } => {
                self.endings.give_up(EndAsked { release: Release { user, epoch }, reason }, Instant::now());
            }
            Item::InTheWay { user, epoch } => self.endings.free_if_nobodys(Release { user, epoch }),
            Item::Yielded { user } => {
                self.delivery.routes.forget(user);
                self.endings.yielded.tell(user);
            }
            Item::Changed { conv, version, moved } => {
                let is_followed = moved.is_some_and(|moved| self.delivery.members.moved(conv, version, moved));
                if !is_followed {
                    self.delivery.members.changed(conv, version);
                }
            }
            Item::Ping { asked_at } => {
                self.delivery.bus.send(from, Item::Pong { asked_at, boot: self.delivery.key.boot })
            }
            Item::Pong { asked_at, boot } => self.delivery.members.pulse.answered(from, boot, asked_at, Instant::now()),
            Item::Event { event, users } => match serde_json::from_str::<Event>(&event) {
                Ok(event) => self.tell(&event, &users),
                Err(error) => tracing::debug!(%error, %from, "an event that cannot be read"),
            },
        }
    }

    fn tell(&self, event: &Event, users: &[UserId]) {
        for user in users {
            self.delivery.registry.with(*user, |session| session.tell(event));
        }
    }

    async fn deliver(&self, from: &NodeId, message: &ChatMessage, version: u64, recipients: Recipients) {
        self.delivery.log_ends.saw(message.conv, End::of(message));
        match recipients {
            Recipients::Users(users) => {
                let missing = push_here(&self.delivery, message, &users);
                if !missing.is_empty() {
                    self.delivery.bus.send(from, Item::NotHere { users: missing });
                }
            }
            Recipients::Members => {
                push_here(&self.delivery, message, &self.members_under(message.conv, version).await);
            }
        }
    }

    /// The members under this version; nobody where they cannot be read (the repair delivers then).
    async fn members_under(&self, conv: Conversation, version: u64) -> Arc<[UserId]> {
        match self.delivery.members.under(conv, version).await {
            Ok(Some(audience)) => audience.members,
            Ok(None) => Arc::from([]),
            Err(error) => {
                tracing::warn!(%error, %conv, "cannot read the members; the repair will deliver");
                self.delivery.repair.look_soon();
                Arc::from([])
            }
        }
    }
}
