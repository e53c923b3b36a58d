//! ONE_CHAT and GROUP_CHAT.
//!
//! With `qos` 1 the message goes to a writer, which answers after the commit; with `qos` 0 it is relayed to who is
//! online.

use crate::context::Context;
use crate::delivery::commit::Job;
use crate::delivery::pending::PendingChat;
use crate::session::Session;
use crate::session::failure::unavailable;
use crate::session::outbound::Outbound;
use crate::storage::Append;
use crate::telemetry::metrics::Path;
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::conversation::Target;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Chat, ChatMessage, Kind, MidText, Reply, SentAs};
use std::sync::Arc;

/// The longest message: however it is escaped, its push stays within a node's frame limit. Beyond it errno 9.
const MAX_MESSAGE_BYTES: usize = MAX_NODE_FRAME_BYTES / 6 - 1_024;

/// The longest name and time of its own that a classic client may write into a message, together: however they are
/// escaped, they fit their column of 65,535 bytes. Beyond it errno 9.
const MAX_SENT_AS_BYTES: usize = 4_096;

/// Sees to a chat message; the answer goes to `outbound`, now or later.
pub fn send(context: &Arc<Context>, session: &Session, outbound: &Arc<Outbound>, mid: Option<MidText>, chat: Chat) {
    let (kind, path) = match chat.to {
        Target::User(_) => (Kind::OneChat, Path::Direct),
        Target::Group(_) => (Kind::GroupChat, Path::Group),
    };
    context.metrics.messages(path, u8::from(chat.stored)).inc();
    let request = || PendingChat::new(outbound.clone(), kind, mid, session);
    if let Some(failure) = refuse(context, session, &chat) {
        return request().answer(Err(failure));
    }
    if chat.stored {
        return store(context, session, chat, request());
    }
    let message = relayed(context, session, chat);
    if context.relays.at_once(&message) {
        return outbound.reply_quietly(kind, mid, Ok(Reply::Chat(None)));
    }
    context.relays.look_up(message, request());
}

fn refuse(context: &Context, session: &Session, chat: &Chat) -> Option<Failure> {
    if chat.to == Target::User(session.user) {
        return Some(Failure::field("toid", "someone else's id"));
    }
    let sent_as_bytes = chat.sent_as.as_deref().map_or(0, SentAs::bytes);
    if sent_as_bytes > MAX_SENT_AS_BYTES {
        let text = format!("the name and time in a message have at most {MAX_SENT_AS_BYTES} bytes together");
        return Some(Failure::new(Errno::TooLarge, text));
    }
    if chat.msg.len() + sent_as_bytes > MAX_MESSAGE_BYTES {
        return Some(Failure::new(Errno::TooLarge, format!("a message has at most {MAX_MESSAGE_BYTES} bytes")));
    }
    // In this order: what was taken over is closed before the lease is good again.
    (!context.lease.is_held() || session.is_closing()).then(unavailable)
}

fn store(context: &Context, session: &Session, chat: Chat, request: PendingChat) {
    // Classic clients give their messages no identity.
    let mid = chat.mid.unwrap_or_else(|| context.environment.uuid());
    let append = Append {
        sent_as: chat.sent_as,
        epoch: request.session_epoch(),
        ..Append::new(chat.to.conversation(session.user), session.user, mid, chat.msg)
    };
    context.writers.submit(Job { append, sender_name: session.name.clone(), request: Some(request) });
}

fn relayed(context: &Context, session: &Session, chat: Chat) -> ChatMessage {
    let mid = chat.mid.unwrap_or_else(|| context.environment.uuid());
    ChatMessage {
        conv: chat.to.conversation(session.user),
        log_epoch: 0,
        seq: 0,
        sender: session.user,
        name: session.name.clone(),
        msg: chat.msg.into(),
        time: context.environment.now_ms(),
        mid,
        sent_as: chat.sent_as,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_name_and_time_fit_their_column_however_they_are_escaped() {
        for (name, time) in
            [(MAX_SENT_AS_BYTES, 0), (0, MAX_SENT_AS_BYTES), (MAX_SENT_AS_BYTES / 2, MAX_SENT_AS_BYTES / 2)]
        {
            let text = |length| Some("\u{1}".repeat(length));
            let sent_as = SentAs { name: text(name), time: text(time) };
            assert_eq!(sent_as.bytes(), MAX_SENT_AS_BYTES);
            assert!(serde_json::to_string(&sent_as).expect("it can be written").len() <= 65_535);
        }
    }
}
