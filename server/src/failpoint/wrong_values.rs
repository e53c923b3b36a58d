//! What code with a bug would use in place of the right value.

use super::{Failpoint, hits};
use chat_environment::Environment;
use chat_protocol::conversation::UserId;
use chat_protocol::errno::{Errno, Failure};
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;

/// The mid that a message is stored under: its own.
pub(crate) fn mid_to_store(mid: Uuid, environment: &Environment) -> Uuid {
    if hits(Failpoint::WriterForgetMid) { environment.uuid() } else { mid }
}

/// What is said of a message whose COMMIT failed: that nobody knows.
pub(crate) fn outcome(unknown: Failure) -> Failure {
    if hits(Failpoint::WriterFinal) { Errno::Malformed.into() } else { unknown }
}

/// Which queue a conversation's messages wait in: always the same.
pub(crate) fn queue(of_conversation: usize) -> usize {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let hits = hits(Failpoint::WriterScatter);
    if hits { of_conversation.wrapping_add(TURN.fetch_add(1, Ordering::Relaxed)) } else { of_conversation }
}

/// Somebody who is here, is no recipient, and gets a message all the same: nobody.
pub(crate) fn stranger(recipients: &[UserId], here: impl FnOnce() -> Vec<UserId>) -> Option<UserId> {
    if !hits(Failpoint::PushMisdeliver) {
        return None;
    }
    here().into_iter().find(|user| !recipients.contains(user))
}
