//! Messages to the sessions of this node: stored ones in their place, relayed ones at once.

use super::Delivery;
use crate::session::outbound::Push;
use crate::session::{Delivered, Relayed};
use chat_protocol::conversation::UserId;
use chat_protocol::message::ChatMessage;

/// Offers a stored message to those of `users` that have a session here; returns those that have none.
pub fn push_here(delivery: &Delivery, message: &ChatMessage, users: &[UserId]) -> Vec<UserId> {
    // Whatever was waited for before: a session is pushed nothing while the lease is in doubt.
    delivery.registry.suspend_unless_leased();
    let push = Push::new(message, users.len());
    let mut elsewhere = Vec::new();
    for user in users {
        let found = delivery.registry.with(*user, |session| match session.deliver(&push) {
            Delivered::Done => true,
            Delivered::Behind => {
                delivery.catch_up.request(session.clone(), message.conv);
                true
            }
            Delivered::Gone => false,
        });
        if found != Some(true) {
            elsewhere.push(*user);
        }
    }
    elsewhere
}

/// Relays to those of the users that are here; returns the others, and those whose queue is full.
pub fn relay_here(delivery: &Delivery, message: &ChatMessage, users: &[UserId], version: u64) -> Vec<UserId> {
    // As where stored messages are pushed.
    delivery.registry.suspend_unless_leased();
    let push = Push::new(message, users.len());
    let others = users.iter().copied().filter(|user| *user != message.sender);
    let relay = |user: &UserId| delivery.registry.with(*user, |session| session.relay(&push, version));
    others.filter(|user| matches!(relay(user), None | Some(Relayed::Refused))).collect()
}
