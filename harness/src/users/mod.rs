//! People who chat: accounts, their logins, and steady conversation, all written down in a [`Record`].

mod chat;
mod conclusion;
mod online;
mod record;
pub(crate) mod rows;

pub use chat::Chat;
#[cfg(test)]
pub(crate) use conclusion::sample;
pub use conclusion::{Conclusion, Summary};
pub use online::Online;
pub use record::{Record, Records};

use anyhow::{Context, Result, ensure};
use chat_client::{Client, Credentials, Error, Events, Options, RawConnection, Reconnect};
use chat_protocol::conversation::{GroupId, UserId};
use judge::history::Event;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use uuid::Uuid;

const PASSWORD: &str = "correct horse";
/// How long a user believes in a message: longer than any fault of a story lasts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tries to reconnect come at most this far apart, so that what is measured is the cluster's recovery and not the
/// client's.
const RECONNECT: Reconnect =
    Reconnect { first: Duration::from_millis(50), most: Duration::from_millis(500), tries: None };

/// An account, online or not.
#[derive(Clone)]
pub struct User {
    pub id: UserId,
    pub name: String,
    record: Arc<Record>,
    /// Counts the sessions, over all clients.
    sessions: Arc<AtomicU32>,
}

/// Makes `count` accounts that are all friends, in one group.
///
/// # Panics
/// If the cluster refuses.
pub async fn meet(record: &Arc<Record>, addresses: &[SocketAddr], count: usize) -> (Vec<User>, GroupId) {
    try_meet(record, addresses, count).await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// The same, for where the cluster may also refuse.
///
/// # Errors
/// If it does.
pub async fn try_meet(record: &Arc<Record>, addresses: &[SocketAddr], count: usize) -> Result<(Vec<User>, GroupId)> {
    let mut users: Vec<User> = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..count {
        let name = format!("user-{}", Uuid::new_v4().simple());
        let (client, events) = Client::connect(options(addresses)).await.context("cannot connect")?;
        let id = client.register(&name, PASSWORD).await.context("cannot register")?;
        client.login(Credentials::password(&name, PASSWORD)).await.context("cannot log in")?;
        for other in &users {
            client.add_friend(other.id).await.context("cannot add a friend")?;
        }
        users.push(User { id, name, record: record.clone(), sessions: Arc::default() });
        clients.push((client, events));
    }
    let (first, _) = clients.first().context("a meeting takes somebody")?;
    let group = first.create_group(&format!("group of {}", users[0].name), "").await.context("cannot make a group")?;
    for (client, _) in &clients[1..] {
        client.join_group(group).await.context("cannot join a group")?;
    }
    for (client, _) in clients {
        client.logout(false).await.context("cannot log out")?;
        client.close().await;
    }
    record.group(group, users.iter().map(|user| user.id).collect());
    Ok((users, group))
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

fn options(addresses: &[SocketAddr]) -> Options {
    let mut options = Options::new(addresses.iter().map(ToString::to_string));
    options.reconnect = Some(RECONNECT);
    options.send_timeout = PATIENCE;
    options.max_tries = u32::MAX;
    options.connect_timeout = Duration::from_secs(2);
    options.request_timeout = Duration::from_secs(5);
    options.heartbeat = Duration::from_secs(2);
    options.trace = true;
    options
}

/// One that keeps to its one connection: it tells the first refusal of a message instead of sending it again, waits
/// long for a silent node, and ends with the connection.
fn options_once(addresses: &[SocketAddr]) -> Options {
    let mut options = options(addresses).without_reconnect();
    options.max_tries = 1;
    options.heartbeat = PATIENCE;
    options
}

impl User {
    /// Logs in at the first of the addresses that answers; refused where the user is online already.
    pub async fn log_in(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        self.begin(options(addresses), self.credentials()).await
    }

    /// Logs in with a client that keeps to its one connection: it tells the first refusal of a message instead of
    /// sending it again, waits long for a silent node, and ends with the connection.
    pub async fn log_in_once(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        self.begin(options_once(addresses), self.credentials()).await
    }

    /// Logs in, closing a session elsewhere.
    pub async fn take_over(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        self.begin(options(addresses), self.credentials().taking_over()).await
    }

    /// The two before together.
    pub async fn take_over_once(&self, addresses: &[SocketAddr]) -> Result<Online, Error> {
        self.begin(options_once(addresses), self.credentials().taking_over()).await
    }

    /// Logs in, or takes over, as soon as the cluster allows it.
    ///
    /// # Panics
    /// If it does not within `budget`.
    pub async fn log_in_within(&self, budget: Duration, addresses: &[SocketAddr]) -> Online {
        let claim = format!("user {} can log in", self.id);
        services::eventually(budget, &claim, async || self.take_over(addresses).await.ok()).await
    }

    /// Logs in with nothing written down: for looking at a session from outside the story.
    pub async fn bare_login(&self, addresses: &[SocketAddr]) -> Result<(Client, Events), Error> {
        Client::connect(options(addresses).login(self.credentials())).await
    }

    /// Logs in on a connection that says what one likes, with nothing written down.
    ///
    /// # Errors
    /// If the node does not answer, or refuses.
    pub async fn raw_login(&self, address: SocketAddr) -> Result<RawConnection> {
        let mut connection = RawConnection::connect(&options(&[address])).await?;
        connection.send(&json!({"msgid": 1, "name": self.name, "password": PASSWORD})).await?;
        let reply = connection.next().await?;
        ensure!(reply["msgid"] == 2 && reply["errno"] == 0, "no login: {reply}");
        Ok(connection)
    }

    fn credentials(&self) -> Credentials {
        Credentials::password(&self.name, PASSWORD)
    }

    async fn begin(&self, options: Options, credentials: Credentials) -> Result<Online, Error> {
        self.record.note(Event::LoginAsked { user: self.id });
        let (client, events) = Client::connect(options.login(credentials)).await?;
        Ok(Online::begin(self.clone(), client, events).await)
    }
}
