//! The ways in which a session's push can go wrong.

use super::{Failpoint, hits};
use chat_protocol::conversation::Conversation;
use chat_protocol::message::ChatMessage;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// One session's faults.
#[derive(Default)]
pub(crate) struct PushFaults {
    /// By `push::swap`, until the next message of the conversation has been pushed.
    held_back: Mutex<BTreeMap<Conversation, ChatMessage>>,
}

impl PushFaults {
    /// Does with the message what `push` does, or what a session with a bug would: pushes another one.
    pub(crate) fn push(&self, message: &ChatMessage, push: impl Fn(Option<&ChatMessage>) -> bool) -> bool {
        if hits(Failpoint::PushDrop) {
            return true;
        }
        if hits(Failpoint::PushAlter) {
            return push(Some(&cut(message)));
        }
        let mut held_back = self.held_back.lock();
        if !held_back.contains_key(&message.conv) && hits(Failpoint::PushSwap) {
            held_back.insert(message.conv, message.clone());
            return true;
        }
        let pushed = push(None);
        if pushed && hits(Failpoint::PushTwice) {
            push(None);
        }
        if pushed
            && let Some(late) = held_back.get(&message.conv)
            && push(Some(late))
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
