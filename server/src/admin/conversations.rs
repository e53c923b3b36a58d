//! The largest conversations.

use super::call::Call;
use super::refusal::Refusal;
use super::sessions::limit;
use crate::context::Context;
use crate::storage::LogSize;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Conversations {
    pub conversations: Vec<Conversation>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Conversation {
    /// `d` and both users' numbers, or `g` and the group's.
    pub conv: String,
    /// Of the group; `null` for two friends.
    pub name: Option<String>,
    pub members: u64,
    pub messages: u64,
    /// Where its log begins; more than 1 where older messages have been removed.
    pub first_seq: u64,
    pub last_seq: u64,
}

pub async fn list(context: &Context, call: &Call) -> Result<Conversations, Refusal> {
    let limit = limit(&call.query(&["limit"])?)?;
    let sizes = context.storage.largest_logs(limit).await?;
    let conversation = |size: LogSize| Conversation {
        conv: size.conv.to_string(),
        name: size.name.as_deref().map(str::to_owned),
        members: size.members,
        messages: size.messages(),
        first_seq: size.first_seq,
        last_seq: size.last_seq,
    };
    Ok(Conversations { conversations: sizes.into_iter().map(conversation).collect() })
}
