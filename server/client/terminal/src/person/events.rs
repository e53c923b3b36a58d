//! What happens by itself, and the waiting for answers during which it is shown.

use super::{Chat, next_event};
use crate::connect;
use crate::format::harmless;
use chat_client::{Acknowledged, Client, Error, Event, Why};
use chat_protocol::conversation::Target;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Event as News, LoginAck, State};
use jiff::Timestamp;
use std::pin::pin;

impl Chat<'_> {
    /// Asks the node, showing what happens meanwhile.
    pub(super) async fn ask<T, F>(&mut self, request: impl FnOnce(Client) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client.clone().ok_or("not connected; /login NAME connects again")?;
        self.meanwhile(request(client)).await.map_err(|error| connect::explain(&error, self.arguments.tls))
    }

    pub(super) async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let event = tokio::select! {
                result = &mut future => return result,
                event = next_event(&mut self.events) => event,
            };
            self.on_event(event);
        }
    }

    /// `None`: the connection has ended for good.
    pub(super) fn on_event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Message(message)) => self.receive(&message),
            Some(Event::Acked { to, result, .. }) => self.on_ack(to, result),
            Some(Event::LoggedIn(ack)) => self.on_login(*ack),
            Some(Event::News(news)) => self.on_news(&news),
            Some(Event::Disconnected { why }) => self.on_loss(&why),
            Some(Event::Reconnected) => self.note("connected again"),
            Some(Event::Notice(_) | Event::Reconnecting { .. } | Event::Trace(_)) => {}
            None => {
                (self.client, self.events) = (None, None);
                self.unacked = 0;
                self.note("not connected; /login NAME connects again");
            }
        }
    }

    pub(super) fn on_login(&mut self, ack: LoginAck) {
        let waiting = match ack.offline {
            0 => String::new(),
            1 => ", 1 message waits".into(),
            count => format!(", {count} messages wait"),
        };
        let text = format!("logged in as {} (id {}) on {}{waiting}", ack.name, ack.id, ack.node);
        self.book.learn(ack.roster);
        self.share_names();
        let text = self.style.good(&harmless(&text));
        self.say(&text);
    }

    pub(super) fn on_ack(&mut self, to: Target, result: Result<Acknowledged, Error>) {
        self.unacked = self.unacked.saturating_sub(1);
        let label = harmless(&self.book.label(to));
        match result {
            Ok(ack) if self.terminal => {
                let now = Timestamp::now().as_millisecond();
                let time = self.style.time(ack.time.unwrap_or(now), now);
                self.note(&format!("✓ {time} to {label}"));
            }
            Ok(_) => {}
            Err(error) => {
                let why = connect::explain(&error, self.arguments.tls);
                self.report(Err(format!("✗ not sent to {label}: {why}")));
            }
        }
    }

    pub(super) fn on_news(&mut self, news: &News) {
        self.book.follow(news);
        self.share_names();
        let me = self.session().map(|session| session.id);
        if let News::Joined { id, .. } | News::Left { id, .. } = news
            && Some(*id) == me
        {
            // The answer to one's own request has said so.
            return;
        }
        let text = match news {
            News::FriendAdded { name, .. } => format!("{name} is your friend now"),
            News::FriendRemoved { name, .. } => format!("{name} is not your friend any more"),
            News::Joined { groupid, name, .. } => format!("{name} joined {}", self.book.label(Target::Group(*groupid))),
            News::Left { groupid, name, .. } => format!("{name} left {}", self.book.label(Target::Group(*groupid))),
            News::Presence { name, state: State::Online, .. } => format!("{name} is online"),
            News::Presence { name, state: State::Offline, .. } => format!("{name} is offline"),
            News::Gap { conv, first, last } => format!("messages {first} to {last} of {conv} are lost"),
        };
        self.note(&harmless(&text));
    }

    pub(super) fn on_loss(&mut self, why: &Why) {
        let text = match why {
            Why::Ended => return,
            Why::Notice(Failure { errno: Errno::Replaced, .. }) => {
                "you logged in somewhere else, so this session was closed".into()
            }
            Why::Notice(Failure { errno: Errno::EndedByOperator | Errno::AccountDisabled, text, .. }) => {
                format!("this session was closed: {text}")
            }
            Why::Refused(failure) => format!("could not log in again: {}", failure.text),
            why => format!("connection lost: {why}; reconnecting"),
        };
        let text = self.style.bad(&harmless(&text));
        self.say(&text);
    }

    pub(super) fn note(&mut self, text: &str) {
        let text = self.style.dim(text);
        self.say(&text);
    }
}
