//! A door for the benches, and for nothing else: one sender and one recipient on a node, without sockets.

use crate::context::Context;
use crate::delivery::local::push_here;
use crate::node::Node;
use crate::service::chat;
use crate::session::outbound::Outbound;
use crate::session::{Next, Session};
use crate::storage::{Audience, Page, Position, Waiting};
use bytes::BytesMut;
use chat_protocol::codec::Codec;
use chat_protocol::conversation::{Conversation, UserId};
use chat_protocol::dialect::Dialect;
use chat_protocol::message::{Chat, ChatMessage};
use std::sync::Arc;
use tokio::time::Instant;

/// Two users with a session each, who may write to each other.
pub struct LocalPair {
    context: Arc<Context>,
    sender: (Arc<Session>, Arc<Outbound>),
    recipient: (Arc<Session>, Arc<Outbound>),
    taken: BytesMut,
}

impl LocalPair {
    /// Nothing of this is in the database, and the users need not exist there.
    pub fn new(node: &Node, sender: UserId, recipient: UserId) -> Self {
        let context = node.context().clone();
        let config = context.config.get();
        let conv = Conversation::direct(sender, recipient);
        let members = [sender.min(recipient), sender.max(recipient)];
        context.delivery.members.learn(
            conv,
            Audience { version: 1, members: members.into(), open: true },
            Instant::now(),
        );
        let log_in = |user| {
            let (limits, clock) = (&config.limits, context.environment.clock.clone());
            let outbound = Arc::new(Outbound::new(limits.queue_bytes, clock, context.metrics.clone()));
            outbound.speak(Codec::new(Dialect::Framed, limits.max_frame_bytes));
            let session = Arc::new(Session::new(user, "somebody".into(), 1, false, true, outbound.clone()));
            session.waits(&Waiting { user, conv, position: Position::default(), last_seq: 0 }, 0);
            for conv in session.go_live() {
                if let Next::ReadAfter { ticket, .. } = session.next_read(conv) {
                    session.push_page(conv, ticket, &Page::default());
                }
            }
            context.registry.insert(session.clone());
            (session, outbound)
        };
        let (sender, recipient) = (log_in(sender), log_in(recipient));
        LocalPair { context, sender, recipient, taken: BytesMut::new() }
    }

    /// What the connection does with a chat request. Only for `qos` 0: nothing waits for the database.
    pub fn send(&self, chat: Chat) {
        chat::send(&self.context, &self.sender.0, &self.sender.1, None, chat);
    }

    /// What delivery does with a stored message.
    pub fn deliver(&self, message: &ChatMessage) {
        push_here(&self.context.delivery, message, &[self.sender.0.user, self.recipient.0.user]);
    }

    /// Takes what both connections would write now; returns how many bytes that is.
    pub fn take(&mut self) -> usize {
        let mut bytes = 0;
        for (_, outbound) in [&self.sender, &self.recipient] {
            outbound.take(&mut self.taken);
            bytes += self.taken.len();
            outbound.wrote(self.taken.len());
            self.taken.clear();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    #[test]
    fn parts_of_an_idle_connection_stay_small() {
        let parts = [size_of::<Connection>(), size_of::<Outbound>(), size_of::<Session>()];
        assert!(parts.iter().sum::<usize>() < 1_024, "{parts:?} bytes");
    }
}
