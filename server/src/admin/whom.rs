//! Whom an operation is about.

use super::call::Query;
use super::refusal::Refusal;
use crate::context::Context;
use crate::storage::Account;
use chat_protocol::conversation::UserId;
use chat_protocol::message::Who;
use chat_protocol::name;
use serde::Deserialize;

/// A user, by number or by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    pub id: Option<UserId>,
    pub name: Option<String>,
}

impl Whom {
    pub fn in_query(query: &Query<'_>) -> Result<Self, Refusal> {
        Ok(Whom { id: query.number("id")?, name: query.text("name").map(str::to_owned) })
    }

    /// # Errors
    /// Neither or both are said, or there is no such user.
    pub async fn account(&self, context: &Context) -> Result<Account, Refusal> {
        let who = match (self.id, &self.name) {
            (Some(id), None) => Who::Id(id),
            (None, Some(name)) => {
                let normalised = name::normalise(name);
                Who::Name(normalised.ok_or_else(|| Refusal::malformed(format!("name: expected {}", name::LAWFUL)))?)
            }
            _ => return Err(Refusal::malformed("whom? expected either id or name")),
        };
        let account = context.storage.account(&who).await?;
        account.ok_or_else(|| match who {
            Who::Id(id) => Refusal::not_found(format!("no user has the number {id}")),
            Who::Name(name) => Refusal::not_found(format!("no user is called {name}")),
        })
    }
}
