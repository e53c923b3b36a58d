//! Who is online where, in pages.

use super::call::{Call, Query};
use super::refusal::Refusal;
use super::{LISTED, MOST_LISTED};
use crate::cluster::NodeId;
use crate::context::Context;
use crate::storage::Online;
use chat_protocol::conversation::UserId;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    pub sessions: Vec<Session>,
    /// Ask again with this as `after`; absent where these were the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<UserId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    pub id: UserId,
    pub name: String,
    pub node: String,
}

pub async fn list(context: &Context, call: &Call) -> Result<Page, Refusal> {
    let query = call.query(&["node", "after", "limit"])?;
    let limit = limit(&query)?;
    let (node, after) = (query.text("node").map(NodeId::from), query.number("after")?.unwrap_or_default());
    let online = context.storage.online(node.as_ref(), after, limit).await?;
    let next = online.last().filter(|_| online.len() >= limit as usize).map(|online| online.user);
    let session = |Online { user, name, node }| Session { id: user, name: name.to_string(), node: node.to_string() };
    Ok(Page { sessions: online.into_iter().map(session).collect(), next })
}

/// How many rows the query wants.
pub(super) fn limit(query: &Query<'_>) -> Result<u32, Refusal> {
    let limit = query.number("limit")?.unwrap_or(LISTED.into());
    let wrong = || Refusal::malformed(format!("limit = {limit}: expected a number from 1 to {MOST_LISTED}"));
    u32::try_from(limit).ok().filter(|limit| (1..=MOST_LISTED).contains(limit)).ok_or_else(wrong)
}
