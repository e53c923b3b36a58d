//! What a node's frames mean to a client's task: events for the application, replies for its calls.

use super::driver::Driver;
use super::error::{Error, Why};
use super::event::{Acknowledged, Event, Message, Trace};
use super::link::Link;
use super::options::{Credentials, DEFAULT_RETRY, MAX_RETRY};
use super::outbox::Unacked;
use super::received::Pushed;
use super::shared::{Effect, Session};
use chat_protocol::errno::Failure;
use chat_protocol::from_node::{FromNode, Push, Reply};
use chat_protocol::message::{LoginAck, NewToken, Secret, Who};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

impl Driver {
    pub(super) fn on_frame(&mut self, link: &mut Link, frame: FromNode<'_>) -> Result<(), Why> {
        match frame {
            FromNode::Push(push) => return self.on_push(push, link.heard),
            FromNode::Reply { mid: Some(mid), result } => self.on_reply(mid, result, link.heard),
            FromNode::Ping => link.pong_due = true,
            FromNode::Event(news) => self.staged.push(Event::News(news)),
            FromNode::Notice(failure) => {
                self.staged.push(Event::Notice(failure.clone()));
                return Err(Why::Notice(failure));
            }
            FromNode::Reply { mid: None, .. } | FromNode::Unknown(_) => {}
        }
        Ok(())
    }

    fn on_push(&mut self, push: Push<'_>, at: Instant) -> Result<(), Why> {
        let conv =
            if push.seq == 0 { Pushed::New(Arc::from(&*push.conv)) } else { self.received.push(&push.conv, push.seq) };
        match conv {
            Pushed::New(conv) => self.staged.push(Event::Message(Message::new(push, conv, self.me, at))),
            Pushed::Duplicate(conv) if self.options.trace => {
                let message = Message::new(push, conv, self.me, at);
                self.staged.push(Event::Trace(Trace::Repeated(message)));
            }
            Pushed::Duplicate(_) => {}
            Pushed::TooMany => return Err(Why::Protocol("more conversations than a user can have".into())),
        }
        Ok(())
    }

    fn on_reply(&mut self, mid: Uuid, result: Result<Reply, Failure>, at: Instant) {
        if let Some(position) = self.requests.iter().position(|request| request.mid == mid) {
            if let Some(request) = self.requests.remove(position) {
                self.apply(&request.effect, &result);
                self.answer(request.waiter, result.map_err(Error::Refused));
            }
            return;
        }
        if let Err(failure) = &result
            && let Some(tries) = self.outbox.tries(mid)
            && failure.errno.is_retryable()
            && tries < self.options.max_tries
        {
            self.outbox.hold(mid, at + failure.retry.unwrap_or(DEFAULT_RETRY).min(MAX_RETRY));
            if self.options.trace {
                self.staged.push(Event::Trace(Trace::Deferred { mid, failure: failure.clone() }));
            }
            return;
        }
        if let Some(message) = self.outbox.remove(mid) {
            let result = match result {
                Ok(Reply::Chat(stored)) => Ok(stored.into()),
                Ok(_) => Err(Error::Protocol("a chat message got another request's reply".into())),
                Err(failure) => Err(Error::Refused(failure)),
            };
            self.settle(message, result, at);
        }
    }

    /// What a finished request changes about this client.
    fn apply(&mut self, effect: &Effect, result: &Result<Reply, Failure>) {
        match (effect, result) {
            (Effect::LogIn(credentials), Ok(Reply::Login(ack))) => self.logged_in(credentials.clone(), ack),
            (Effect::LogOut, Ok(Reply::Logout(_))) => {
                self.identity = None;
                // What was taken since LOGOUT went out can be told to nobody any more.
                self.received.start_session(true);
                self.shared.lock().session = None;
            }
            (Effect::NewPassword(password), Ok(Reply::ChangePassword(NewToken { token }))) => {
                if let Some(identity) = &mut self.identity {
                    identity.password = Some(Secret(password.to_string()));
                    identity.token = Some(Secret(token.clone()));
                }
            }
            _ => {}
        }
    }

    /// A session begins on the current connection.
    pub(super) fn logged_in(&mut self, mut credentials: Box<Credentials>, ack: &LoginAck) {
        self.received.start_session(self.me == ack.id);
        self.me = ack.id;
        credentials.who = Who::Id(ack.id);
        credentials.token = Some(Secret(ack.token.clone()));
        self.identity = Some(credentials);
        let session = Session { id: ack.id, name: ack.name.clone(), node: ack.node.clone(), token: ack.token.clone() };
        let mut inner = self.shared.lock();
        inner.session = Some(Arc::new(session));
        inner.max_frame_bytes = ack.max_frame_bytes;
    }

    pub(super) fn answer(&self, waiter: oneshot::Sender<Result<Reply, Error>>, result: Result<Reply, Error>) {
        self.shared.lock().requests -= 1;
        // The caller may have stopped waiting.
        let _ = waiter.send(result);
    }

    pub(super) fn settle(&mut self, message: Unacked, result: Result<Acknowledged, Error>, at: Instant) {
        let Unacked { mid, to, waiter, queued, .. } = message;
        match waiter {
            Some(waiter) => {
                self.shared.lock().unacked -= 1;
                let _ = waiter.send(result);
            }
            None => self.staged.push(Event::Acked { mid, to, result, queued, at }),
        }
    }
}
