//! A user with the real client, who does as the schedule says and writes down all that it does and sees.

use crate::environment::Process;
use crate::network::{Connector, Network};
use crate::record::Record;
use crate::schedule::{Doing, Step};
use chat_client::{Client, Credentials, Error, Event, Events, Options, Reconnect, Trace, Why};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::message::LoginAck;
use judge::history::{Event as Entry, LEFT, Who};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const PASSWORD: &str = "correct horse";
/// How long a user believes in a message: longer than all faults together.
const PATIENCE: Duration = Duration::from_secs(120);
/// A message is said again only while it is certainly still there.
const SAID_AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// For a farewell to a node that may not answer any more.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between two tries to log in at last.
const LOGIN_RETRY: Duration = Duration::from_millis(500);
const RECONNECT: Reconnect =
    Reconnect { first: Duration::from_millis(50), most: Duration::from_millis(500), tries: None };

/// The circle that everybody belongs to.
#[derive(Clone)]
pub struct Circle {
    /// By number in the schedule.
    pub users: Vec<UserId>,
    pub group: GroupId,
}

pub struct Person {
    pub id: UserId,
    name: String,
    process: Process,
    options: Options,
    record: Arc<Record>,
    sessions: Arc<AtomicU32>,
    said: usize,
    last: Option<(Uuid, Target, String, u8, Instant)>,
    /// The newest, which may have ended.
    online: Option<Online>,
    /// Those before it.
    earlier: Vec<JoinHandle<()>>,
}

struct Online {
    client: Client,
    session: Arc<Session>,
    pen: JoinHandle<()>,
}

#[derive(Default)]
struct Session {
    number: AtomicU32,
    has_left: AtomicBool,
}

impl Person {
    /// Registers an account, and is not logged in yet.
    pub async fn register(
        name: String,
        process: Process,
        network: Arc<Network>,
        addresses: &[String],
        record: Arc<Record>,
    ) -> Result<Person, Error> {
        let mut options = Options::new(addresses.iter().cloned());
        options.connect = Some(Arc::new(Connector { network, who: name.clone() }));
        options.environment = process.environment.clone();
        options.reconnect = Some(RECONNECT);
        options.send_timeout = PATIENCE;
        options.max_tries = u32::MAX;
        options.connect_timeout = Duration::from_secs(2);
        options.request_timeout = Duration::from_secs(5);
        options.heartbeat = Duration::from_secs(2);
        options.trace = true;
        let (client, _events) = Client::connect(options.clone()).await?;
        let id = client.register(&name, PASSWORD).await?;
        client.close().await;
        let sessions = Arc::default();
        Ok(Person { id, name, process, options, record, sessions, said: 0, last: None, online: None, earlier: vec![] })
    }

    /// Makes friends with those, and joins the group or makes one.
    pub async fn meet(&self, others: &[UserId], group: Option<GroupId>) -> Result<GroupId, Error> {
        let options = self.options.clone().login(self.credentials());
        let (client, _events) = Client::connect(options).await?;
        for other in others {
            client.add_friend(*other).await?;
        }
        let group = match group {
            Some(group) => client.join_group(group).await.map(|_| group)?,
            None => client.create_group("everybody", "").await?,
        };
        client.logout(false).await?;
        client.close().await;
        Ok(group)
    }

    /// Does these steps, each when it is due, or when those before it are done.
    pub async fn live(&mut self, begun: Instant, steps: Vec<Step>, circle: &Circle) {
        for step in steps {
            tokio::time::sleep_until(begun + Duration::from_millis(step.at_ms)).await;
            self.take(step.what, circle).await;
        }
    }

    async fn take(&mut self, what: Doing, circle: &Circle) {
        match what {
            Doing::Write { friend, qos } => self.say(Target::User(circle.users[friend]), qos),
            Doing::WriteToGroup { qos } => self.say(Target::Group(circle.group), qos),
            Doing::WriteAgain => self.say_last_again(),
            Doing::LogIn { node } if self.is_away() => {
                // Refused where an earlier session is not over yet.
                let _ = self.log_in(node, false).await;
            }
            Doing::LogIn { .. } => {}
            Doing::TakeOver { node } => {
                let _ = self.log_in(node, true).await;
            }
            Doing::LogOut => self.log_out().await,
            Doing::Vanish => {
                if let Some(online) = self.online.take() {
                    online.client.abort().await;
                    self.earlier.push(online.pen);
                }
            }
        }
    }

    /// Is online in the end, whatever it takes; whether it is within `budget`.
    pub async fn be_online(&mut self, budget: Duration) -> bool {
        let deadline = Instant::now() + budget;
        while self.online.as_ref().is_none_or(|online| online.client.session().is_none()) {
            if Instant::now() >= deadline {
                return false;
            }
            if !self.is_away() || self.log_in(0, true).await.is_err() {
                tokio::time::sleep(LOGIN_RETRY).await;
            }
        }
        true
    }

    /// Is online again whenever it is not, until `is_over`: a login that a paused node had not looked at yet can still
    /// replace a session.
    pub async fn stay_online(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            self.be_online(LOGIN_RETRY).await;
            tokio::time::sleep(LOGIN_RETRY).await;
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials::password(&self.name, PASSWORD)
    }

    fn is_away(&self) -> bool {
        self.online.as_ref().is_none_or(|online| online.client.is_ended())
    }

    pub async fn log_in(&mut self, node: usize, takes_over: bool) -> Result<(), Error> {
        let credentials = if takes_over { self.credentials().taking_over() } else { self.credentials() };
        let mut options = self.options.clone().login(credentials);
        options.first_address = node;
        let (client, events) = Client::connect(options).await?;
        let session = Arc::new(Session::default());
        let (user, record, sessions) = (self.id, self.record.clone(), self.sessions.clone());
        let mut pen = Pen { user, record, sessions, session: session.clone(), is_open: false };
        let mut events = events;
        if let Some(first) = events.next().await {
            pen.write(first);
        }
        // It belongs to the world and not to the client: what was told is written down.
        let pen = tokio::spawn(pen.write_all(events));
        if let Some(before) = self.online.replace(Online { client, session, pen }) {
            self.earlier.push(before.pen);
        }
        Ok(())
    }

    async fn log_out(&mut self) {
        let Some(Online { client, session, pen }) = self.online.take() else { return };
        if let Ok(Ok(())) = timeout(FAREWELL, client.logout(false)).await {
            session.has_left.store(true, Ordering::Relaxed);
            client.close().await;
        } else {
            client.abort().await;
        }
        self.earlier.push(pen);
    }

    fn who(&self, online: &Online) -> Who {
        Who { user: self.id, session: online.session.number.load(Ordering::Relaxed) }
    }

    fn say(&mut self, to: Target, qos: u8) {
        let Some(online) = self.online.as_ref().filter(|online| !online.client.is_ended()) else { return };
        let text = format!("{} says {} 你好", self.name, self.said);
        let (mid, who) = (self.process.environment.uuid(), self.who(online));
        self.record.says(who, mid, to, &text, qos);
        if let Err(error) = online.client.send_nowait_as(mid, to, &text, qos) {
            self.record.outcome(who, mid, Instant::now(), Err(error));
        }
        self.said += 1;
        self.last = Some((mid, to, text, qos, Instant::now()));
    }

    fn say_last_again(&mut self) {
        let (Some(online), Some((mid, to, text, qos, at))) = (&self.online, &self.last) else { return };
        if *qos == 1 && at.elapsed() < SAID_AGAIN_WITHIN && !online.client.is_ended() && self.record.is_acked(*mid) {
            self.record.says_again(self.who(online), *mid);
            // Where it cannot be sent nothing is lost: it is stored already.
            let _ = online.client.send_nowait_as(*mid, *to, text, *qos);
        }
    }
}

/// Writes down what a client tells.
struct Pen {
    user: UserId,
    record: Arc<Record>,
    sessions: Arc<AtomicU32>,
    session: Arc<Session>,
    is_open: bool,
}

impl Pen {
    async fn write_all(mut self, mut events: Events) {
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
    }

    fn write(&mut self, event: Event) {
        let who = Who { user: self.user, session: self.session.number.load(Ordering::Relaxed) };
        match event {
            Event::LoggedIn(ack) => self.begin(&ack),
            Event::Disconnected { why } => self.end(why.to_string()),
            Event::Message(message) | Event::Trace(Trace::Repeated(message)) => self.record.sees(who, &message),
            Event::Acked { mid, result, at, .. } => self.record.outcome(who, mid, at, result),
            Event::Trace(Trace::Sent { mid, tries: 2.. }) => self.record.says_again(who, mid),
            Event::Trace(Trace::Deferred { mid, failure }) => self.record.deferred(who, mid, &failure),
            Event::Trace(Trace::Received { conv, seq }) => {
                let Who { user, session } = who;
                self.record.note(Entry::Received { user, session, conv: conv.to_string(), seq });
            }
            _ => {}
        }
    }

    fn begin(&mut self, ack: &LoginAck) {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        self.session.number.store(session, Ordering::Relaxed);
        self.is_open = true;
        let (node, waiting) = (Some(ack.node.clone()), ack.offline);
        self.record.note(Entry::Login { user: self.user, session, node, waiting });
    }

    fn end(&mut self, why: String) {
        if std::mem::take(&mut self.is_open) {
            let (user, session) = (self.user, self.session.number.load(Ordering::Relaxed));
            self.record.note(Entry::End { user, session, why });
        }
    }
}
