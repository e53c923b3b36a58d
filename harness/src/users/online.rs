//! A user who is logged in, and the pen that writes down what happens to it.

use super::User;
use chat_client::{Client, Error, Event, Events, Trace, Why};
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;
use chat_protocol::message::{Event as News, LoginAck, State};
use judge::history::{Event as Entry, LEFT, Who};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::timeout;
use uuid::Uuid;

/// For a farewell to a node that may not answer any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// Messages asked for at once: a few pages of a log that is kept short.
const PAGE: u32 = 25;
/// Pages that one read asks for; what lies before them is not looked at.
const MOST_PAGES: usize = 200;

/// A logged-in user, whose client writes down everything that happens.
pub struct Online {
    pub user: User,
    client: Client,
    session: Arc<Session>,
    said: AtomicUsize,
    last: Mutex<Option<(Uuid, Target, String)>>,
    end: watch::Receiver<Option<Why>>,
}

/// What the handle and its pen both need.
#[derive(Default)]
struct Session {
    /// The current one, or the last.
    number: AtomicU32,
    logins: AtomicUsize,
    has_left: AtomicBool,
}

/// Writes down what a client tells.
struct Pen {
    user: User,
    session: Arc<Session>,
    /// There is a connection, as far as is known.
    is_open: bool,
}

impl Online {
    /// `events` begin with the login.
    pub(super) async fn begin(user: User, client: Client, mut events: Events) -> Online {
        let session = Arc::new(Session::default());
        let mut pen = Pen { user: user.clone(), session: session.clone(), is_open: false };
        if let Some(first) = events.next().await {
            pen.write(first);
        }
        let (ended, end) = watch::channel(None);
        tokio::spawn(async move {
            let why = pen.write_all(events).await;
            // Nobody may be interested any more.
            let _ = ended.send(Some(why));
        });
        Online { user, client, session, said: AtomicUsize::new(0), last: Mutex::default(), end }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The node that the session is on; `None` while there is none.
    pub fn node(&self) -> Option<String> {
        Some(self.client.session()?.node.clone())
    }

    /// How often this client has logged in: once, and at every reconnect.
    pub fn logins(&self) -> usize {
        self.session.logins.load(Ordering::Relaxed)
    }

    fn who(&self) -> Who {
        Who { user: self.user.id, session: self.session.number.load(Ordering::Relaxed) }
    }

    /// Sends a message that no other resembles, without waiting for its ack.
    pub fn say(&self, to: Target) {
        let (mid, text) = self.compose(to);
        if let Err(error) = self.client.send_nowait_as(mid, to, &text, 1) {
            self.user.record.outcome(self.who(), mid, Instant::now(), Err(error));
        }
        *self.last.lock() = Some((mid, to, text));
    }

    /// Sends the last message of [`Online::say`] once more, under its `mid`, if it has been acknowledged: as a client
    /// would that never got that ack.
    pub fn say_last_again(&self) {
        let Some((mid, to, text)) = self.last.lock().clone() else { return };
        if self.user.record.is_acked(mid) {
            self.user.record.says_again(self.who(), mid);
            // Where it cannot be sent nothing is lost: it is stored already.
            let _ = self.client.send_nowait_as(mid, to, &text, 1);
        }
    }

    /// Sends a message and waits for its ack, through whatever reconnects that takes.
    pub async fn say_and_wait(&self, to: Target) -> Result<(), Error> {
        let (mid, text) = self.compose(to);
        let result = self.client.send_as(mid, to, &text, 1).await;
        let told = result.clone().map(|_| ());
        self.user.record.outcome(self.who(), mid, Instant::now(), result);
        told
    }

    /// Reads a conversation to its beginning, and writes down what the pages say.
    ///
    /// # Errors
    /// If a page is refused, or does not come.
    pub async fn read(&self, of: Target) -> Result<(), Error> {
        let mut before = None;
        for _ in 0..MOST_PAGES {
            let asked = Instant::now();
            let page = self.client.history(of, before, Some(PAGE)).await?;
            self.user.record.reads(self.user.id, asked, before, &page);
            before = page.messages.first().map(|message| message.seq);
            if !page.more || before.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Writes down that it will be said.
    fn compose(&self, to: Target) -> (Uuid, String) {
        let session = self.who().session;
        let text = format!("{}.{session} says {}", self.user.name, self.said.fetch_add(1, Ordering::Relaxed));
        let mid = Uuid::now_v7();
        self.user.record.says(self.who(), mid, to, &text);
        (mid, text)
    }

    /// What the roster says of a friend; `None`: it cannot be asked, or the user is none.
    pub async fn sees(&self, friend: &User) -> Option<State> {
        let roster = self.client.roster().await.ok()?;
        roster.friends.iter().find(|listed| listed.id == friend.id).map(|listed| listed.state)
    }

    /// Logs out and closes; returns when everything that arrived is written down.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn leave(self) {
        self.client.logout(false).await.expect("a user may log out");
        self.session.has_left.store(true, Ordering::Relaxed);
        self.client.close().await;
        self.gone().await;
    }

    /// Logs out, or, where the node does not answer, is gone all the same.
    pub async fn leave_or_vanish(self) {
        if let Ok(Ok(())) = timeout(FAREWELL, self.client.logout(false)).await {
            self.session.has_left.store(true, Ordering::Relaxed);
            self.client.close().await;
        } else {
            self.client.abort().await;
        }
        self.gone().await;
    }

    /// Drops the connection as it stands, as if the process had died.
    pub async fn vanish(self) {
        self.client.abort().await;
        self.gone().await;
    }

    async fn gone(mut self) {
        self.ended().await;
    }

    pub fn is_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Waits until the client has ended, by itself or not; says why.
    pub async fn ended(&mut self) -> Why {
        let ended = self.end.wait_for(Option::is_some).await;
        ended.ok().and_then(|why| why.clone()).unwrap_or(Why::Ended)
    }

    /// Waits until a newer login has replaced this one.
    ///
    /// # Panics
    /// If the client ends for another reason.
    pub async fn replaced(&mut self) {
        let why = self.ended().await;
        let is_replaced = matches!(&why, Why::Notice(failure) if failure.errno == Errno::Replaced);
        assert!(is_replaced, "user {} ended otherwise than replaced: {why:?}", self.user.id);
    }
}

impl Pen {
    /// Until the client ends; says why it did.
    async fn write_all(mut self, mut events: Events) -> Why {
        let mut why = Why::Ended;
        while let Some(event) = events.next().await {
            match &event {
                Event::LoggedIn(_) => why = Why::Ended,
                Event::Notice(failure) => why = Why::Notice(failure.clone()),
                Event::Disconnected { why: reason } => why = reason.clone(),
                _ => {}
            }
            self.write(event);
        }
        let has_left = self.session.has_left.load(Ordering::Relaxed);
        self.end(if has_left { LEFT.into() } else { why.to_string() });
        why
    }

    fn write(&mut self, event: Event) {
        let (record, who) = (&self.user.record, self.who());
        let Who { user, session } = who;
        match event {
            Event::LoggedIn(ack) => self.begin(&ack),
            Event::Disconnected { why } => self.end(why.to_string()),
            Event::Message(message) | Event::Trace(Trace::Repeated(message)) => record.sees(who, &message),
            Event::News(News::Gap { conv, first, last }) => record.will_not_come(who, &conv, first, last),
            Event::Acked { mid, result, at, .. } => record.outcome(who, mid, at, result),
            Event::Trace(Trace::Sent { mid, tries: 2.. }) => record.says_again(who, mid),
            Event::Trace(Trace::Deferred { mid, failure }) => record.deferred(who, mid, &failure),
            Event::Trace(Trace::Received { conv, seq }) => {
                record.note(Entry::Received { user, session, conv: conv.to_string(), seq });
            }
            _ => {}
        }
    }

    fn who(&self) -> Who {
        Who { user: self.user.id, session: self.session.number.load(Ordering::Relaxed) }
    }

    fn begin(&mut self, ack: &LoginAck) {
        let session = self.user.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        self.session.number.store(session, Ordering::Relaxed);
        self.session.logins.fetch_add(1, Ordering::Relaxed);
        self.is_open = true;
        let (user, node, waiting) = (self.user.id, Some(ack.node.clone()), ack.offline);
        self.user.record.note(Entry::Login { user, session, node, waiting });
    }

    fn end(&mut self, why: String) {
        if std::mem::take(&mut self.is_open) {
            let Who { user, session } = self.who();
            self.user.record.note(Entry::End { user, session, why });
        }
    }
}
