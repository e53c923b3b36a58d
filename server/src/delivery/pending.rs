//! A chat request that waits for what becomes of its message.

use crate::failpoint::{self, Failpoint};
use crate::session::Session;
use crate::session::failure::unavailable;
use crate::session::outbound::Outbound;
use chat_protocol::errno::Failure;
use chat_protocol::message::{Kind, MidText, Reply, Stored};
use std::sync::Arc;

/// A chat request on its way through a writer. However it ends, it is answered: dropped on the way, for example with a
/// task that died, with errno 11.
pub struct PendingChat {
    outbound: Arc<Outbound>,
    kind: Kind,
    mid: Option<MidText>,
    /// The session that asks: what it has stored must still be in its name.
    session_epoch: Option<u64>,
    is_answered: bool,
}

impl PendingChat {
    /// From here on the connection waits for the answer.
    pub fn new(outbound: Arc<Outbound>, kind: Kind, mid: Option<MidText>, session: &Session) -> Self {
        outbound.expect_answer();
        let session_epoch = (!failpoint::hits(Failpoint::LeaseStale)).then_some(session.epoch);
        PendingChat { outbound, kind, mid, session_epoch, is_answered: false }
    }

    /// For `Append::epoch`.
    pub fn session_epoch(&self) -> Option<u64> {
        self.session_epoch
    }

    pub fn answer(mut self, result: Result<Option<Stored>, Failure>) {
        self.answer_once(result);
    }

    /// The sender's session is another node's: its connection closes.
    pub fn close(&self, why: Failure) {
        self.outbound.close(why);
    }

    fn answer_once(&mut self, result: Result<Option<Stored>, Failure>) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.outbound.answer(self.kind, self.mid.take(), result.map(Reply::Chat));
        }
    }
}

impl Drop for PendingChat {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answer_once(Err(unavailable()));
        }
    }
}
