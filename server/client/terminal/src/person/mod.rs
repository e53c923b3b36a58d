//! A person's session: typed lines become requests, events become text.
//!
//! Events are shown whenever they come, also while a request waits for its answer: the node's answers stand behind
//! messages in the same stream, so a client that stopped reading would wait for ever.

mod events;
mod people;
mod reading;

use crate::book::Book;
use crate::format::{Style, harmless};
use crate::input::{Input, Names, Output};
use crate::line::{self, Line, Whom};
use crate::loaded::Loaded;
use crate::{Arguments, connect};
use chat_client::{Client, Error, Event, Events, Options, Session};
use chat_protocol::conversation::Target;
use chat_protocol::errno::{Errno, Failure};
use jiff::tz::TimeZone;
use std::sync::Arc;

/// One person at one keyboard (or a script that types like one).
pub struct Chat<'a> {
    arguments: &'a Arguments,
    options: Options,
    terminal: bool,
    input: Input,
    output: Output,
    style: Style,
    book: Book,
    loaded: Loaded,
    names: Names,
    /// `None` once the connection has ended for good; `/login` makes a new one.
    client: Option<Client>,
    events: Option<Events>,
    /// Messages sent whose ack has not come.
    unacked: usize,
    all_done: bool,
    leaving: bool,
}

/// A command's outcome: what went wrong, in words.
type Done = Result<(), String>;

impl<'a> Chat<'a> {
    /// Errors: the terminal cannot be used.
    pub fn open(arguments: &'a Arguments, options: Options, terminal: bool) -> anyhow::Result<Self> {
        let names = Names::default();
        let (input, output) = Input::open(terminal, names.clone())?;
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Chat {
            arguments,
            options,
            terminal,
            input,
            output,
            style: Style { colours, zone: TimeZone::system() },
            book: Book::default(),
            loaded: Loaded::default(),
            names,
            client: None,
            events: None,
            unacked: 0,
            all_done: true,
            leaving: false,
        })
    }

    /// Until the person leaves. Returns whether everything that was asked for was done; at a terminal the person saw
    /// what was not, and leaving is no failure.
    pub async fn run(mut self, client: Client, events: Events) -> anyhow::Result<bool> {
        (self.client, self.events) = (Some(client), Some(events));
        match self.arguments.user.clone() {
            Some(name) => {
                let result = self.log_in(Some(name)).await;
                self.report(result);
            }
            None if self.terminal => {
                self.say(
                    "Welcome. Type `login NAME` if you have an account, `register NAME` to make one, `help` for more.",
                );
            }
            None => {}
        }
        while !self.leaving {
            let prompt = self.prompt();
            let line = {
                let Chat { input, events, .. } = &mut self;
                tokio::select! {
                    line = input.line(&prompt) => Ok(line),
                    event = next_event(events) => Err(event),
                }
            };
            match line {
                Ok(Some(line)) => self.line(&line).await,
                Ok(None) => self.leaving = true,
                Err(event) => self.on_event(event),
            }
        }
        self.leave().await;
        Ok(self.all_done || self.terminal)
    }

    /// Waits for the acks that are out, then closes.
    async fn leave(&mut self) {
        while self.unacked > 0 && self.events.is_some() {
            let event = next_event(&mut self.events).await;
            self.on_event(event);
        }
        if let Some(client) = &self.client {
            client.close().await;
        }
    }

    fn prompt(&self) -> String {
        let Some(session) = self.session() else { return "> ".into() };
        let place = self.book.current.map_or_else(String::new, |current| format!(" to {}", self.book.label(current)));
        let unread: usize = self.book.unread().map(|(_, count)| count).sum();
        let unread = if unread > 0 { format!(" ({unread} unread)") } else { String::new() };
        harmless(&format!("{}{place}{unread}> ", session.name))
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.client.as_ref().and_then(Client::session)
    }

    fn say(&mut self, text: &str) {
        self.output.line(text);
    }

    fn report(&mut self, result: Done) {
        if let Err(text) = result {
            self.all_done = false;
            let text = self.style.bad(&harmless(&text));
            self.say(&text);
        }
    }

    async fn line(&mut self, typed: &str) {
        let line = line::parse(typed, self.session().is_some());
        let result = self.execute(line).await;
        self.report(result);
    }

    async fn execute(&mut self, line: Line) -> Done {
        match line {
            Line::Nothing => Ok(()),
            Line::Say(text) => self.say_to_current(&text),
            Line::Help => self.help(),
            Line::Register(name) => self.register(name).await,
            Line::Login(name) => self.log_in(name).await,
            Line::Logout => self.log_out().await,
            Line::Add(who) => self.add(&who).await,
            Line::Remove(who) => self.remove(&who).await,
            Line::Create { name, description } => self.create(&name, &description).await,
            Line::Join(group) => self.join(&group).await,
            Line::Leave(group) => self.leave_group(group).await,
            Line::Groups => self.groups().await,
            Line::Friends => self.friends().await,
            Line::Who => self.who().await,
            Line::History { of, count } => self.history(of, count).await,
            Line::Search(text) => self.search(&text),
            Line::To(whom) => self.enter(&whom),
            Line::Message { to, text } => self.book.find(&to).map_err(words).and_then(|to| self.send(to, &text)),
            Line::Password => self.change_password().await,
            Line::Unread => self.unread(),
            Line::Quit => {
                self.leaving = true;
                Ok(())
            }
            Line::Wrong(text) => Err(text),
        }
    }

    fn help(&mut self) -> Done {
        self.say(&line::help());
        Ok(())
    }

    // --- who am I --------------------------------------------------------------------------------------------------

    async fn register(&mut self, name: Option<String>) -> Done {
        self.check_logged_out()?;
        let name = self.name(name).await?;
        let password = match connect::password_from_environment().filter(|_| !self.terminal) {
            Some(password) => password,
            None => self.new_password().await?,
        };
        self.connect().await?;
        let id =
            self.ask(|client| async move { client.register(&name, &password).await.map(|id| (id, name, password)) });
        let (id, name, password) = id.await?;
        self.say(&format!("registered {} as user {id}", harmless(&name)));
        self.log_in_with(&name, &password, false).await
    }

    async fn log_in(&mut self, name: Option<String>) -> Done {
        self.check_logged_out()?;
        let name = self.name(name).await?;
        let given = connect::password_from_environment();
        let password = match given.filter(|_| !self.terminal || self.arguments.user.as_ref() == Some(&name)) {
            Some(password) => password,
            None => self.input.password("password: ").await.ok_or("not logged in")?,
        };
        self.connect().await?;
        self.log_in_with(&name, &password, self.arguments.takeover).await
    }

    async fn log_in_with(&mut self, name: &str, password: &str, takeover: bool) -> Done {
        let mut credentials = connect::credentials(self.arguments, name, password);
        credentials.takeover |= takeover;
        let client = self.client.clone().ok_or("not connected")?;
        match self.meanwhile(client.login(credentials)).await {
            Ok(ack) => {
                self.on_login(*ack);
                Ok(())
            }
            Err(Error::Refused(Failure { errno: Errno::LoggedIn, text, .. })) if self.terminal && !takeover => {
                let question = format!("{}. Close that session and log in here? (yes/no) ", harmless(&text));
                match self.input.line(&question).await {
                    Some(answer) if matches!(answer.trim(), "yes" | "y") => {
                        Box::pin(self.log_in_with(name, password, true)).await
                    }
                    _ => Err("not logged in".into()),
                }
            }
            Err(error) => Err(connect::explain(&error, self.arguments.tls)),
        }
    }

    fn check_logged_out(&self) -> Done {
        match self.session() {
            Some(session) => Err(format!("you are logged in as {}; /logout first", session.name)),
            None => Ok(()),
        }
    }

    async fn name(&mut self, name: Option<String>) -> Result<String, String> {
        match name {
            Some(name) => Ok(name),
            None => self.input.line("name: ").await.filter(|name| !name.is_empty()).ok_or("no name".into()),
        }
    }

    async fn new_password(&mut self) -> Result<String, String> {
        let first = self.input.password("new password: ").await.ok_or("no password")?;
        if self.terminal {
            let second = self.input.password("once more: ").await.ok_or("no password")?;
            if first != second {
                return Err("the two are not the same; nothing was done".into());
            }
        }
        Ok(first)
    }

    /// Makes a new connection where the last has ended.
    async fn connect(&mut self) -> Done {
        if self.client.as_ref().is_some_and(|client| !client.is_ended()) {
            return Ok(());
        }
        let (client, events) = Client::connect(self.options.clone())
            .await
            .map_err(|error| connect::explain(&error, self.arguments.tls))?;
        (self.client, self.events) = (Some(client), Some(events));
        Ok(())
    }

    async fn log_out(&mut self) -> Done {
        self.ask(|client| async move { client.logout(false).await }).await?;
        (self.book, self.loaded) = (Book::default(), Loaded::default());
        self.share_names();
        self.say("logged out");
        Ok(())
    }

    async fn change_password(&mut self) -> Done {
        let old = self.input.password("current password: ").await.ok_or("no password")?;
        let new = self.new_password().await?;
        self.ask(|client| async move { client.change_password(&old, &new).await }).await?;
        self.say("password changed; other places where you were logged in have to log in again");
        Ok(())
    }

    // --- messages --------------------------------------------------------------------------------------------------

    fn enter(&mut self, whom: &Whom) -> Done {
        let target = self.book.find(whom).map_err(words)?;
        self.show_entering(target)
    }

    fn show_entering(&mut self, target: Target) -> Done {
        self.book.enter(target);
        self.say(&format!("now talking to {}", harmless(&self.book.label(target))));
        Ok(())
    }

    fn say_to_current(&mut self, text: &str) -> Done {
        if self.session().is_none() {
            return Err("not logged in: `/login NAME`, or `/register NAME` for a new account".into());
        }
        let to = self.book.current.ok_or("to whom? /to NAME or /to #GROUP chooses; /help lists all commands")?;
        self.send(to, text)
    }

    fn send(&mut self, to: Target, text: &str) -> Done {
        let client = self.client.as_ref().ok_or("not connected; /login NAME connects again")?;
        client.send_nowait(to, text, 1).map_err(|error| connect::explain(&error, self.arguments.tls))?;
        self.unacked += 1;
        Ok(())
    }
}

/// The next event, `None` for the end; without a connection, never.
async fn next_event(events: &mut Option<Events>) -> Option<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
