//! A door for what measures, and for nothing else: how its nodes are set, one sender and one recipient on a node,
//! without sockets, and what they say.

use crate::config::{Config, Database, Listen, Password};
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
use chat_protocol::murmur;
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// A node's settings for measuring: this machine, any free port, and hashes so cheap that they are not what is
/// measured. Never for service.
pub fn config(database: &str) -> Config {
    Config {
        listen: Listen { host: "127.0.0.1".into(), port: 0, ..Listen::default() },
        database: Database { url: database.into(), ..Database::default() },
        password: Password { memory_kib: 8, iterations: 1, ..Password::default() },
        ..Config::default()
    }
}

/// What is said in what is measured.
pub const TEXT: &str = "forty characters of what somebody writes";

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

/// A message as it is stored, pushed and told to other nodes.
pub fn message(seq: u64) -> ChatMessage {
    ChatMessage {
        log_epoch: 0,
        conv: Conversation::direct(1, 2),
        seq,
        sender: 1,
        name: "somebody".into(),
        msg: TEXT.into(),
        time: 1_700_000_000_000,
        mid: Uuid::from_u128(seq.into()),
        sent_as: None,
    }
}

/// A friend's chat as a client of this dialect sends it: one whole frame.
pub fn chat_request(dialect: Dialect) -> BytesMut {
    let mid = Uuid::from_u128(7);
    let json = match dialect {
        Dialect::Framed => format!(r#"{{"msgid":6,"toid":2,"qos":0,"mid":"{mid}","msg":"{TEXT}"}}"#),
        Dialect::Bare => format!(
            r#"{{"msgid":6,"id":1,"name":"somebody","toid":2,"msg":"{TEXT}","time":"2026-01-01 00:00:00"}}{}"#,
            '\0'
        ),
        Dialect::Checked => {
            format!(r#"{{"msgType":6,"id":1,"name":"somebody","toid":2,"msg":"{TEXT}","time":"2026-01-01 00:00:00"}}"#)
        }
    };
    let mut frame = BytesMut::new();
    match dialect {
        Dialect::Framed => frame.extend_from_slice(&(json.len() as u32).to_be_bytes()),
        Dialect::Bare => {}
        Dialect::Checked => {
            frame.extend_from_slice(&[0xFE, 0xFF]);
            frame.extend_from_slice(&(json.len() as u32).to_be_bytes());
        }
    }
    frame.extend_from_slice(json.as_bytes());
    if dialect == Dialect::Checked {
        frame.extend_from_slice(&murmur::checksum(json.as_bytes()).to_be_bytes());
    }
    frame
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
