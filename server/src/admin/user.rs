//! One user: who it is, where it is online, and how much waits for it.

use super::call::Call;
use super::refusal::Refusal;
use super::whom::Whom;
use crate::context::Context;
use chat_protocol::conversation::UserId;
use serde::{Deserialize, Serialize};

/// Waiting messages are counted up to here.
const MOST_COUNTED: u32 = 10_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub is_disabled: bool,
    /// Where it is online; `null`: nowhere.
    pub node: Option<String>,
    /// Messages that it has not received, exact up to 10,000.
    pub waiting: u64,
}

pub async fn show(context: &Context, call: &Call) -> Result<User, Refusal> {
    let whom = Whom::in_query(&call.query(&["id", "name"])?)?;
    let account = whom.account(context).await?;
    let holder = context.storage.holder(account.id).await?;
    let waiting = context.storage.count_waiting(account.id, MOST_COUNTED).await?;
    Ok(User {
        id: account.id,
        name: account.name,
        is_disabled: account.is_disabled,
        node: holder.map(|holder| holder.node.id.to_string()),
        waiting,
    })
}
