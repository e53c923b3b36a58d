//! The ways in which a session's push can go wrong.

use super::{Failpoint, hits};
use crate::session::outbound::Parcel;
use chat_protocol::conversation::Conversation;
use chat_protocol::message::ChatMessage;
use parking_lot::Mutex;
use std::collections::HashMap;

/// One session's faults.
#[derive(Default)]
pub(crate) struct PushFaults {
    /// By `push::swap`, until the next message of the conversation has been pushed.
    held_back: Mutex<HashMap<Conversation, ChatMessage>>,
}

impl PushFaults {
    /// Does with the message what `push` does, or what a session with a bug would.
    pub(crate) fn push(&self, parcel: &Parcel<'_>, push: impl Fn(&Parcel<'_>) -> bool) -> bool {
        let message = parcel.message;
        if hits(Failpoint::PushDrop) {
            return true;
        }
        if hits(Failpoint::PushAlter) {
            return push(&Parcel::new(&cut(message), 1));
        }
        let mut held_back = self.held_back.lock();
        if !held_back.contains_key(&message.conv) && hits(Failpoint::PushSwap) {
            held_back.insert(message.conv, message.clone());
            return true;
        }
        let pushed = push(parcel);
        if pushed && hits(Failpoint::PushTwice) {
            push(parcel);
        }
        if pushed
            && let Some(late) = held_back.get(&message.conv)
            && push(&Parcel::new(late, 1))
        {
            held_back.remove(&message.conv);
        }
        pushed
    }
}

fn cut(message: &ChatMessage) -> ChatMessage {
    let half: String = message.msg.chars().take(message.msg.chars().count() / 2).collect();
    ChatMessage { msg: half.into(), ..message.clone() }
}
