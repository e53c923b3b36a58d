//! What operators do to accounts and their sessions.

use super::error::Result;
use super::layer::{Layer, domain};
use crate::cluster::{EndReason, NodeKey};
use async_trait::async_trait;
use chat_protocol::conversation::UserId;

/// What is to be done to one user. Each may be given again and does the same.
#[derive(Clone, PartialEq, Eq)]
pub enum Order {
    /// End the session.
    Kick,
    /// Let nobody log in as the user, end the session and all tokens.
    Disable,
    /// Let the user log in again.
    Enable,
    /// Another password, as an argon2 hash in PHC format; ends the session and all tokens.
    ResetPassword { hash: String },
    /// End all tokens; a session that has begun goes on.
    EndTokens,
}

impl Order {
    /// Why the session ends; `None`: it goes on.
    pub fn ends_session(&self) -> Option<EndReason> {
        match self {
            Order::Kick => Some(EndReason::Kicked),
            Order::Disable => Some(EndReason::AccountDisabled),
            Order::ResetPassword { .. } => Some(EndReason::PasswordReset),
            Order::Enable | Order::EndTokens => None,
        }
    }
}

/// Where a user's session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub node: NodeKey,
    pub epoch: u64,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The session that was asked to end, on a node that is not known to be gone. Its node reads so with its next
    /// renewal, and ends it.
    pub ends: Option<Holder>,
    /// As of before.
    pub was_disabled: bool,
}

domain! {
    /// Orders about accounts.
    pub trait Orders / OrdersLayer:

    /// Carries out an order. `None`: no such user.
    async fn order(&self, user: UserId, order: &Order) -> Result<Option<Ordered>>;
    /// The user's session, if a node that is not known to be gone holds one.
    async fn holder(&self, user: UserId) -> Result<Option<Holder>>;
}
