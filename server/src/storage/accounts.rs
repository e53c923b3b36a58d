//! Users, their passwords, and what ends their tokens.

use super::error::Result;
use super::layer::{Layer, domain};
use super::sessions::Actor;
use async_trait::async_trait;
use chat_protocol::conversation::UserId;
use chat_protocol::message::Who;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: UserId,
    pub name: String,
    /// An argon2 hash in PHC format.
    pub password: String,
    /// Bumped to end all of the user's tokens.
    pub token_generation: u64,
    /// Whoever proves to be the user is not let in all the same.
    pub is_disabled: bool,
}

domain! {
    /// Who may log in.
    pub trait Accounts / AccountsLayer:

    /// One secret for the whole cluster, made once and kept in the `meta` table.
    async fn token_key(&self) -> Result<[u8; 32]>;
    /// `None`: the name is taken.
    async fn register(&self, name: &str, password_hash: &str) -> Result<Option<UserId>>;
    async fn account(&self, who: &Who) -> Result<Option<Account>>;
    /// The same for many, in order.
    async fn accounts(&self, who: &[Who]) -> Result<Vec<Option<Account>>>;
    /// Replaces the hash if it is still `old_hash`, and ends all tokens. Returns the new token generation, `None` if
    /// the hash was another.
    async fn change_password(&self, by: &Actor, old_hash: &str, new_hash: &str) -> Result<Option<u64>>;
    /// Ends all of the user's tokens; returns the new generation.
    async fn revoke_tokens(&self, by: &Actor) -> Result<u64>;
}
