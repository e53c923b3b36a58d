//! What is left of failpoints in a build without them: nothing, once inlined.

use super::Failpoint;
use crate::session::outbound::Parcel;
use chat_protocol::conversation::Conversation;
use chat_protocol::message::{Stored, TimeMs};

#[inline(always)]
pub(crate) fn hits(_: Failpoint) -> bool {
    false
}

#[derive(Default)]
pub(crate) struct PushFaults {}

impl PushFaults {
    #[inline(always)]
    pub(crate) fn push(&self, parcel: &Parcel<'_>, push: impl Fn(&Parcel<'_>) -> bool) -> bool {
        push(parcel)
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
