//! A user with the real client, who does as the schedule says and writes down all that it does and sees.

mod classic;
mod messages;
mod pen;
mod requests;

use crate::coverage;
use crate::environment::Process;
use crate::network::{Connector, Network};
use crate::record::Record;
use crate::schedule::{Dialect, Doing, Step};
use chat_client::{Client, Credentials, Error, Options, Reconnect};
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::errno::{Errno, Failure};
use classic::Classic;
use judge::history::Event;
use pen::Pen;
use requests::Club;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The first is everybody's when they register.
const PASSWORDS: [&str; 2] = ["correct horse", "battery staple"];
/// How long a user believes in a message: longer than all faults together.
const PATIENCE: Duration = Duration::from_secs(120);
/// For a farewell to a node that may not answer any more.
const FAREWELL: Duration = Duration::from_secs(2);
/// Some notice that their node stands still before its sessions are free, and some only long after.
const HEARTBEATS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(12)];
/// Between two tries to log in at last.
const LOGIN_RETRY: Duration = Duration::from_millis(500);
const RECONNECT: Reconnect =
    Reconnect { first: Duration::from_millis(50), most: Duration::from_millis(500), tries: None };

/// The circle that everybody belongs to.
#[derive(Clone)]
pub struct Circle {
    /// By number in the schedule.
    pub users: Vec<UserId>,
    /// Of everybody, for ever.
    pub group: GroupId,
    /// Where people come and go.
    pub club: GroupId,
}

pub struct Person {
    pub id: UserId,
    name: String,
    /// Which of the passwords it believes in.
    password: usize,
    token: Option<String>,
    club: Club,
    /// In place of the real client.
    classic: Option<Classic>,
    process: Process,
    options: Options,
    record: Arc<Record>,
    sessions: Arc<AtomicU32>,
    said: usize,
    last: Option<messages::Said>,
    /// The newest, which may have ended.
    online: Option<Online>,
    /// Those before it.
    earlier: Vec<JoinHandle<()>>,
    /// On other devices, which stay where they are until a node tells them that they were replaced.
    others: Vec<Client>,
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
        number: usize,
        process: Process,
        network: Arc<Network>,
        addresses: &[String],
        record: Arc<Record>,
    ) -> Result<Person, Error> {
        let name = format!("user-{number}");
        let mut options = Options::new(addresses.iter().cloned());
        options.connect = Some(Arc::new(Connector { network, user: number }));
        options.environment = process.environment.clone();
        options.reconnect = Some(RECONNECT);
        options.send_timeout = PATIENCE;
        options.max_tries = u32::MAX;
        options.connect_timeout = Duration::from_secs(2);
        options.request_timeout = Duration::from_secs(5);
        options.heartbeat = HEARTBEATS[number % HEARTBEATS.len()];
        options.trace = true;
        let (client, _events) = Client::connect(options.clone()).await?;
        let id = client.register(&name, PASSWORDS[0]).await?;
        client.close().await;
        Ok(Person {
            id,
            name,
            password: 0,
            token: None,
            club: Club::default(),
            classic: None,
            process,
            options,
            record,
            sessions: Arc::default(),
            said: 0,
            last: None,
            online: None,
            earlier: vec![],
            others: vec![],
        })
    }

    /// Makes friends with those, and joins the group or makes one, and a club.
    pub async fn meet(
        &self,
        others: &[UserId],
        groups: Option<(GroupId, GroupId)>,
    ) -> Result<(GroupId, GroupId), Error> {
        let options = self.options.clone().login(self.credentials());
        let (client, _events) = Client::connect(options).await?;
        for other in others {
            client.add_friend(*other).await?;
        }
        let groups = match groups {
            Some(groups) => client.join_group(groups.0).await.map(|_| groups)?,
            None => (client.create_group("everybody", "").await?, client.create_group("club", "").await?),
        };
        client.logout(false).await?;
        client.close().await;
        Ok(groups)
    }

    /// Is a member of the club from the beginning.
    pub fn founds_club(&mut self) {
        self.club = Club::Member;
    }

    /// Takes to this dialect from now on.
    pub fn speaks(&mut self, dialect: Dialect) {
        self.classic = Classic::new(self, dialect);
        if self.classic.is_some() {
            self.record.is_classic(self.id);
        }
    }

    /// Does these steps, each when it is due, or when those before it are done.
    pub async fn live(&mut self, begun: Instant, steps: Vec<Step>, circle: &Circle) {
        for step in steps {
            tokio::time::sleep_until(begun + Duration::from_millis(step.at_ms)).await;
            self.take(step.what, circle).await;
        }
    }

    async fn take(&mut self, what: Doing, circle: &Circle) {
        self.record.reach(coverage::name_of_step(what.name()));
        if let Some(classic) = &mut self.classic {
            return classic.take(what, circle).await;
        }
        match what {
            Doing::Write { friend, qos } => self.say(Target::User(circle.users[friend]), qos),
            Doing::WriteToGroup { qos } => self.say(Target::Group(circle.group), qos),
            Doing::WriteToClub { qos } => self.say(Target::Group(circle.club), qos),
            Doing::WriteAgain => self.say_last_again(),
            Doing::WriteOver => self.say_another_under_the_last_mid(),
            Doing::LogIn { .. } | Doing::Resume { .. } if !self.is_away() => {}
            // Refused where an earlier session is not over yet.
            Doing::LogIn { node } => _ = self.log_in(node, self.credentials()).await,
            Doing::Resume { node } => _ = self.log_in(node, self.token_or_password()).await,
            Doing::TakeOver { node } => _ = self.log_in(node, self.credentials().taking_over()).await,
            Doing::LogOut => self.log_out(false).await,
            Doing::Revoke => self.log_out(true).await,
            Doing::Vanish => {
                if let Some(online) = self.online.take() {
                    online.client.abort().await;
                    self.earlier.push(online.pen);
                }
            }
            asking => self.ask(asking, circle).await,
        }
    }

    /// Is online in the end, whatever it takes; whether it is within `budget`.
    pub async fn be_online(&mut self, budget: Duration) -> bool {
        let deadline = Instant::now() + budget;
        while !self.is_online() {
            if Instant::now() >= deadline {
                return false;
            }
            if !self.is_away() || self.come_back().await.is_err() {
                tokio::time::sleep(LOGIN_RETRY).await;
            }
        }
        true
    }

    fn is_online(&self) -> bool {
        match &self.classic {
            Some(classic) => classic.is_online(),
            None => self.online.as_ref().is_some_and(|online| online.client.session().is_some()),
        }
    }

    async fn come_back(&mut self) -> Result<(), Error> {
        match &mut self.classic {
            Some(classic) => classic.log_in(0).await,
            None => self.log_in(0, self.credentials().taking_over()).await,
        }
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
        Credentials::password(&self.name, PASSWORDS[self.password])
    }

    fn token_or_password(&self) -> Credentials {
        self.token.as_ref().map_or_else(|| self.credentials(), |token| Credentials::token(&self.name, token))
    }

    fn is_away(&self) -> bool {
        // A classic client does not connect again by itself.
        self.online.as_ref().is_none_or(|online| online.client.is_ended())
    }

    /// Counts a refusal.
    fn counted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Refused(failure)) = &result {
            self.record.reach(coverage::name_of_errno(failure.errno));
        }
        result
    }

    pub async fn log_in_at(&mut self, node: usize) -> Result<(), Error> {
        match &mut self.classic {
            Some(classic) => classic.log_in(node).await,
            None => self.log_in(node, self.credentials()).await,
        }
    }

    async fn log_in(&mut self, node: usize, credentials: Credentials) -> Result<(), Error> {
        let is_by_token = credentials.token.is_some();
        let mut options = self.options.clone().login(credentials);
        options.first_address = node;
        self.record.note(Event::LoginAsked { user: self.id });
        let connected = self.counted(Client::connect(options).await);
        if let Err(Error::Refused(Failure { errno: Errno::WrongCredentials, .. })) = &connected {
            // Whether a change of the password was done may be unknown, and revoked tokens are gone.
            match is_by_token {
                true => self.token = None,
                false => self.password = 1 - self.password,
            }
        }
        let (client, events) = connected?;
        self.token = client.session().map(|session| session.token.clone());
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
            self.others.push(before.client);
        }
        Ok(())
    }

    async fn log_out(&mut self, revoke: bool) {
        let Some(Online { client, session, pen }) = self.online.take() else { return };
        if let Ok(Ok(())) = timeout(FAREWELL, client.logout(revoke)).await {
            session.has_left.store(true, Ordering::Relaxed);
            client.close().await;
        } else {
            client.abort().await;
        }
        self.earlier.push(pen);
    }
}
