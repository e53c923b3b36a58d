//! People who chat: accounts, their logins, and steady conversation, all written down in a [`Ledger`].

mod ledger;

pub use ledger::{Ledger, Summary};

use chat::client::{Client, Credentials, Error, Event, Events, Options, Reconnect, Why};
use chat::protocol::conversation::{GroupId, Target, UserId};
use chat::protocol::errno::Errno;
use chat::protocol::message::State;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

const PASSWORD: &str = "correct horse";
/// How long a user believes in a message: longer than any fault of a story lasts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tries to reconnect come at most this far apart, so that what is measured is the cluster's recovery and not the client's.
const RECONNECT: Reconnect =
    Reconnect { first: Duration::from_millis(50), most: Duration::from_millis(500), tries: None };
/// Between two messages of one user in a [`Chat`].
const PACE: Duration = Duration::from_millis(25);

/// An account, online or not.
#[derive(Clone)]
pub struct User {
    pub id: UserId,
    pub name: String,
    ledger: Arc<Ledger>,
}

/// A logged-in user, whose client reconnects by itself and writes down everything that arrives.
pub struct Online {
    pub user: User,
    client: Client,
    said: AtomicUsize,
    logins: Arc<AtomicUsize>,
    end: watch::Receiver<Option<Why>>,
}

/// Makes `count` accounts that are all friends, in one group.
///
/// # Panics
/// If the cluster refuses.
pub async fn meet(ledger: &Arc<Ledger>, addresses: &[SocketAddr], count: usize) -> (Vec<User>, GroupId) {
    let mut users = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..count {
        let name = format!("user-{}", Uuid::new_v4().simple());
        let (client, events) = Client::connect(options(addresses)).await.expect("a node accepts");
        let id = client.register(&name, PASSWORD).await.expect("the name is free");
        client.login(Credentials::password(&name, PASSWORD)).await.expect("the password is right");
        for other in &users {
            let User { id, .. } = other;
            client.add_friend(*id).await.expect("there is such a user");
        }
        users.push(User { id, name, ledger: ledger.clone() });
        clients.push((client, events));
    }
    let group = clients[0].0.create_group(&format!("group of {}", users[0].name), "").await.expect("the name is free");
    for (client, _) in &clients[1..] {
        client.join_group(group).await.expect("there is such a group");
    }
    for (client, _) in clients {
        client.logout(false).await.expect("a user may log out");
        client.close().await;
    }
    ledger.group(group, users.iter().map(|user| user.id).collect());
    (users, group)
}

fn options(addresses: &[SocketAddr]) -> Options {
    let mut options = Options::new(addresses.iter().map(ToString::to_string));
    options.reconnect = Some(RECONNECT);
    options.send_timeout = PATIENCE;
    options.max_tries = u32::MAX;
    options.connect_timeout = Duration::from_secs(2);
    options.request_timeout = Duration::from_secs(5);
    options.heartbeat = Duration::from_secs(2);
    options
}

impl User {
    /// Logs in at the first of the addresses that answers; refused where the user is online already.
    pub async fn log_in(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        self.begin(options(addresses), Credentials::password(&self.name, PASSWORD)).await
    }

    /// Logs in with a client that keeps to its one connection: it tells the first refusal of a message instead of sending it
    /// again, waits long for a silent node, and ends with the connection.
    pub async fn log_in_once(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        let mut options = options(addresses).without_reconnect();
        options.max_tries = 1;
        options.heartbeat = PATIENCE;
        self.begin(options, Credentials::password(&self.name, PASSWORD)).await
    }

    /// Logs in, closing a session elsewhere.
    pub async fn take_over(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        self.begin(options(addresses), Credentials::password(&self.name, PASSWORD).taking_over()).await
    }

    /// Logs in, or takes over, as soon as the cluster allows it.
    ///
    /// # Panics
    /// If it does not within `budget`.
    pub async fn log_in_within(&self, budget: Duration, addresses: &[SocketAddr]) -> Online {
        let claim = format!("user {} can log in", self.id);
        crate::eventually::eventually(budget, &claim, async || self.take_over(addresses).await.ok()).await
    }

    /// Logs in with nothing written down: for looking at a session from outside the story.
    pub async fn bare_login(&self, addresses: &[SocketAddr]) -> Result<(Client, Events), Error> {
        Client::connect(options(addresses).login(Credentials::password(&self.name, PASSWORD))).await
    }

    async fn begin(&self, options: Options, credentials: Credentials) -> Result<Online, Error> {
        let (client, events) = Client::connect(options.login(credentials)).await?;
        let (ended, end) = watch::channel(None);
        let logins = Arc::new(AtomicUsize::new(0));
        tokio::spawn(listen(self.clone(), events, logins.clone(), ended));
        Ok(Online { user: self.clone(), client, said: AtomicUsize::new(0), logins, end })
    }
}

/// Writes down what happens to one client until it ends.
async fn listen(user: User, mut events: Events, logins: Arc<AtomicUsize>, ended: watch::Sender<Option<Why>>) {
    let mut why = Why::Ended;
    while let Some(event) = events.next().await {
        match event {
            Event::Message(message) => user.ledger.seen(user.id, &message),
            Event::Acked { mid, result, .. } => user.ledger.outcome(mid, result),
            Event::LoggedIn(_) => {
                logins.fetch_add(1, Ordering::Relaxed);
                why = Why::Ended;
            }
            Event::Notice(failure) => why = Why::Notice(failure),
            Event::Disconnected { why: reason } => why = reason,
            _ => {}
        }
    }
    // Nobody may be interested any more.
    let _ = ended.send(Some(why));
}

impl Online {
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The node that the session is on; `None` while there is none.
    pub fn node(&self) -> Option<String> {
        Some(self.client.session()?.node.clone())
    }

    /// How often this client has logged in: once, and at every reconnect.
    pub fn logins(&self) -> usize {
        self.logins.load(Ordering::Relaxed)
    }

    /// Sends a message that no other resembles, without waiting for its ack.
    pub fn say(&self, to: Target) {
        let text = format!("{} says {}", self.user.name, self.said.fetch_add(1, Ordering::Relaxed));
        let mid = Uuid::now_v7();
        self.user.ledger.sent(mid, self.user.id, to, &text);
        if let Err(error) = self.client.send_nowait_as(mid, to, &text, 1) {
            self.user.ledger.outcome(mid, Err(error));
        }
    }

    /// Sends a message and waits for its ack, through whatever reconnects that takes.
    pub async fn say_and_wait(&self, to: Target) -> Result<(), Error> {
        let text = format!("{} says {}", self.user.name, self.said.fetch_add(1, Ordering::Relaxed));
        let mid = Uuid::now_v7();
        self.user.ledger.sent(mid, self.user.id, to, &text);
        let result = self.client.send_as(mid, to, &text, 1).await;
        let told = result.clone().map(|_| ());
        self.user.ledger.outcome(mid, result);
        told
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
    pub async fn leave(mut self) {
        self.client.logout(false).await.expect("a user may log out");
        self.client.close().await;
        self.ended().await;
    }

    /// Drops the connection as it stands, as if the process had died.
    pub async fn vanish(mut self) {
        self.client.abort().await;
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

/// Steady conversation: each user in turn writes to each of the others and to the group, until told to stop.
pub struct Chat {
    stop: watch::Sender<bool>,
    talkers: JoinSet<()>,
}

impl Chat {
    pub fn start(online: &[Arc<Online>], group: GroupId) -> Chat {
        let (stop, stopped) = watch::channel(false);
        let mut talkers = JoinSet::new();
        for talker in online {
            let others = online.iter().map(|other| other.user.id).filter(|id| *id != talker.user.id);
            let targets = others.map(Target::User).chain([Target::Group(group)]).collect();
            talkers.spawn(talk(talker.clone(), targets, stopped.clone()));
        }
        Chat { stop, talkers }
    }

    /// Returns when the last message is said; acks and deliveries may still be out.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while let Some(talker) = self.talkers.join_next().await {
            talker.expect("a talker does not panic");
        }
    }
}

async fn talk(talker: Arc<Online>, targets: Vec<Target>, mut stopped: watch::Receiver<bool>) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for target in targets.iter().cycle() {
        tokio::select! {
            _ = pace.tick() => talker.say(*target),
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// Logs everybody in, user by user at each of the places in turn.
///
/// # Panics
/// If the cluster refuses.
pub async fn everybody_logs_in(users: &[User], places: &[Vec<SocketAddr>]) -> Vec<Arc<Online>> {
    let mut online = Vec::new();
    for (user, addresses) in users.iter().zip(places.iter().cycle()) {
        online.push(Arc::new(user.log_in(addresses).await.expect("nobody is online yet")));
    }
    online
}
