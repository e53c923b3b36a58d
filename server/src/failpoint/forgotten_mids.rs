//! The mid that a message is stored under.

use super::{Failpoint, hits};
use chat_environment::Environment;
use uuid::Uuid;

/// The message's own, or what a writer with a bug would store.
pub(crate) fn mid_to_store(mid: Uuid, environment: &Environment) -> Uuid {
    if hits(Failpoint::WriterForgetMid) { environment.uuid() } else { mid }
}
