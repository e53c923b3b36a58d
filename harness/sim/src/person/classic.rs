//! A user with a classic client: bare or checked JSON, no acknowledgements, no mids. What it saw is known by the mid
//! that everybody writes at the end of every text.

mod line;
mod wire;

use super::Circle;
use crate::coverage;
use crate::record::Record;
use crate::schedule::{Dialect, Doing};
use chat_client::{Error, Options, RawConnection, Why};
use chat_environment::Environment;
use chat_protocol::conversation::{Target, UserId};
use judge::history::{Event, Who};
use line::Line;
use std::sync::Arc;
use wire::{Reader, Said, Wire};

pub(super) struct Classic {
    user: UserId,
    name: String,
    password: &'static str,
    wire: Wire,
    options: Options,
    environment: Environment,
    record: Arc<Record>,
    said: usize,
    sessions: u32,
    line: Option<Line>,
}

impl Classic {
    /// `None` for our own dialect.
    pub(super) fn new(person: &super::Person, dialect: Dialect) -> Option<Classic> {
        let wire = match dialect {
            Dialect::Framed => return None,
            Dialect::Bare => Wire::Bare,
            Dialect::Checked => Wire::Checked,
        };
        Some(Classic {
            user: person.id,
            name: person.name.clone(),
            password: super::PASSWORDS[0],
            wire,
            options: person.options.clone(),
            environment: person.process.environment.clone(),
            record: person.record.clone(),
            said: 0,
            sessions: 0,
            line: None,
        })
    }

    /// What these clients cannot do, they do not.
    pub(super) async fn take(&mut self, what: Doing, circle: &Circle) {
        match what {
            Doing::Write { friend, .. } => self.say(Target::User(circle.users[friend])),
            Doing::WriteToGroup { .. } => self.say(Target::Group(circle.group)),
            Doing::WriteToClub { .. } => self.say(Target::Group(circle.club)),
            Doing::Join => {
                // No answer says what came of it.
                self.record.joining(circle.club, self.user);
                self.send(self.wire.join(self.user, circle.club));
            }
            Doing::Befriend { friend } => self.send(self.wire.befriend(self.user, circle.users[friend])),
            Doing::LogIn { node } | Doing::Resume { node } | Doing::TakeOver { node } if !self.is_online() => {
                // Refused where an earlier session is not over yet.
                let _ = self.log_in(node).await;
            }
            Doing::LogOut | Doing::Revoke => {
                self.send(self.wire.log_out(self.user));
                self.line = None;
            }
            Doing::Vanish => self.line = None,
            _ => {}
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.line.as_ref().is_some_and(Line::is_open)
    }

    pub(super) async fn log_in(&mut self, node: usize) -> Result<(), Error> {
        self.line = None;
        let mut options = self.options.clone();
        options.first_address = node;
        let mut connection = RawConnection::connect(&options).await?;
        connection.send_bytes(&self.wire.log_in(self.user, self.password)).await?;
        let mut reader = Reader::new(self.wire);
        let said = loop {
            let bytes = connection.next_bytes().await?;
            if bytes.is_empty() {
                return Err(Error::Disconnected(Why::Closed));
            }
            let mut said = reader.take(&bytes)?.into_iter();
            match said.find(|said| matches!(said, Said::LoggedIn(_) | Said::LoginRefused)) {
                Some(Said::LoggedIn(waiting)) => break waiting.into_iter().map(Said::Chat).chain(said),
                Some(_) => {
                    self.record.reach(coverage::CLASSIC_REFUSED);
                    return Err(Error::Protocol("the login was refused".into()));
                }
                None => {}
            }
        };
        self.sessions += 1;
        let who = Who { user: self.user, session: self.sessions };
        self.record.note(Event::Login { user: self.user, session: self.sessions, node: None, waiting: 0 });
        said.for_each(|said| line::see(said, who, &self.record));
        self.line = Some(Line::start(connection, reader, who, self.record.clone()));
        Ok(())
    }

    fn say(&mut self, to: Target) {
        if !self.is_online() {
            return;
        }
        let mid = self.environment.uuid();
        let text = super::messages::text(&self.name, self.said, mid);
        let who = Who { user: self.user, session: self.sessions };
        self.record.says_without_answer(who, mid, to, &text);
        self.send(self.wire.chat((self.user, &self.name), to, &text));
        self.said += 1;
    }

    fn send(&self, bytes: Vec<u8>) {
        if let Some(line) = &self.line {
            line.send(bytes);
        }
    }
}
