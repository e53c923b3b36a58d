//! What is left of failpoints in a build without them: nothing, once inlined.

use super::Failpoint;
use chat_protocol::conversation::Conversation;
use chat_protocol::message::{ChatMessage, Stored, TimeMs};

#[inline(always)]
pub(crate) fn hits(_: Failpoint) -> bool {
    false
}

#[derive(Default)]
pub(crate) struct PushFaults {}

impl PushFaults {
    #[inline(always)]
    pub(crate) fn push(&self, _: &ChatMessage, push: impl Fn(Option<&ChatMessage>) -> bool) -> bool {
        push(None)
    }
}

#[derive(Default)]
pub(crate) struct EarlyAcks {}

impl EarlyAcks {
    #[inline(always)]
    pub(crate) fn saw(&self, _: Conversation, _: u64) {}

    #[inline(always)]
    pub(crate) fn give(&self, _: Conversation, _: TimeMs) -> Option<Stored> {
        None
    }
}
