//! HISTORY: what was said in a conversation, a page at a time.

use crate::context::Context;
use crate::session::failure::storage_failure;
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::conversation::{Log, Target, UserId};
use chat_protocol::errno::Failure;
use chat_protocol::message::{Page, Reply};

/// Text in one page: however it is escaped, the frame stays within a node's limit.
const PAGE_BYTES: usize = MAX_NODE_FRAME_BYTES / 8;

pub async fn history(
    context: &Context,
    user: UserId,
    of: Target,
    before: Option<u64>,
    limit: u32,
) -> Result<Reply, Failure> {
    if of == Target::User(user) {
        return Err(Failure::field("toid", "someone else's id"));
    }
    let conv = of.conversation(user);
    // Also after unfriending: what was said between the two stays theirs.
    if !context.storage.is_member(conv, user).await.map_err(storage_failure)? {
        return Err(context.delivery.members.why_not(conv, user).await.map_err(storage_failure)?);
    }
    let page = context.storage.messages_before(conv, before, limit, PAGE_BYTES).await.map_err(storage_failure)?;
    let epoch = page
        .messages
        .last()
        .map_or(0, |message| message.log_epoch)
        .max(context.delivery.log_ends.known(conv).log_epoch);
    let first_seq = (page.first_seq > 1).then_some(page.first_seq);
    Ok(Reply::History(Page { conv: Log { conv, epoch }, messages: page.messages, more: page.more, first_seq }))
}
