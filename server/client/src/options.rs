//! How a client connects, how patient it is, and how much it keeps: every bound has a name and a default.

use super::stream::Connect;
use chat_environment::Environment;
use chat_protocol::message::{Secret, Who};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Who logs in, and with what proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub who: Who,
    pub password: Option<Secret>,
    /// Tried first; a refused one falls back to the password.
    pub token: Option<Secret>,
    /// Close a session that the user has elsewhere. Reconnects always do.
    pub takeover: bool,
}

impl Credentials {
    pub fn password(name: impl Into<String>, password: impl Into<String>) -> Self {
        Credentials {
            who: Who::Name(name.into()),
            password: Some(Secret(password.into())),
            token: None,
            takeover: false,
        }
    }

    pub fn token(name: impl Into<String>, token: impl Into<String>) -> Self {
        Credentials { who: Who::Name(name.into()), password: None, token: Some(Secret(token.into())), takeover: false }
    }

    /// The same, closing a session elsewhere.
    pub fn taking_over(mut self) -> Self {
        self.takeover = true;
        self
    }
}

/// How lost connections are made again: after `first`, doubling up to `most`, each time with up to half of it taken off
/// at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    pub first: Duration,
    pub most: Duration,
    /// Failed tries in a row before giving up; `None`: never.
    pub tries: Option<u32>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect { first: Duration::from_millis(100), most: Duration::from_secs(5), tries: None }
    }
}

/// TLS for every connection.
#[derive(Clone, Debug)]
pub struct Tls {
    pub config: Arc<rustls::ClientConfig>,
    /// The name the certificate must carry; `None`: the host part of the address.
    pub server_name: Option<String>,
}

/// What clients run on unless told otherwise; thousands of them share it.
static MACHINE: LazyLock<Environment> = LazyLock::new(Environment::default);

/// Settings of one client. Cloning shares the addresses, so thousands of clients keep one list.
#[derive(Clone)]
pub struct Options {
    /// `host:port` of each node or load balancer. The first connection starts at `first_address`; each lost one moves
    /// on.
    pub addresses: Arc<[String]>,
    /// Where in `addresses` to start, modulo their number: spread clients by counting it up.
    pub first_address: usize,
    pub tls: Option<Tls>,
    /// Makes connections in place of TCP; `tls` and `local_address` are then not looked at.
    pub connect: Option<Arc<dyn Connect>>,
    /// Clock, chance and tasks.
    pub environment: Environment,
    /// Log in as part of connecting.
    pub credentials: Option<Credentials>,
    /// Ask the node for news (friends, presence): [`super::Event::News`].
    pub news: bool,
    /// Tell what the client does by itself, too: [`super::Event::Trace`].
    pub trace: bool,
    /// `None`: a lost connection ends the client.
    pub reconnect: Option<Reconnect>,
    /// Silence until PING; after three times as long the connection counts as dead.
    pub heartbeat: Duration,
    /// For resolving, connecting and TLS together, per address.
    pub connect_timeout: Duration,
    /// For the reply to a request other than a chat message.
    pub request_timeout: Duration,
    /// Connect from this address; lets one machine have more connections than ports.
    pub local_address: Option<IpAddr>,
    /// Events that wait for the application; beyond it the socket is not read.
    pub max_events: usize,
    /// Messages without an ack (with [`super::Client::send_nowait`]: until the application took the ack); beyond it
    /// [`super::Error::Full`].
    pub max_unacked: usize,
    /// Times one message is put on the wire; then its last refusal is the answer.
    pub max_tries: u32,
    /// From sending to giving up on an ack, reconnects included; then [`super::Error::TimedOut`].
    pub send_timeout: Duration,
}

impl Options {
    /// Defaults with reconnecting on.
    pub fn new<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Options {
            addresses: addresses.into_iter().map(Into::into).collect(),
            first_address: 0,
            tls: None,
            connect: None,
            environment: MACHINE.clone(),
            credentials: None,
            news: true,
            trace: false,
            reconnect: Some(Reconnect::default()),
            heartbeat: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            local_address: None,
            max_events: 1_024,
            max_unacked: 1_024,
            max_tries: 20,
            send_timeout: Duration::from_secs(60),
        }
    }

    /// The same, logging in as part of connecting.
    pub fn login(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The same, ending with the first lost connection.
    pub fn without_reconnect(mut self) -> Self {
        self.reconnect = None;
        self
    }

    /// The address for the `place`-th connection.
    pub(super) fn address(&self, place: usize) -> Option<&str> {
        self.addresses.get(place.checked_rem(self.addresses.len())?).map(String::as_str)
    }
}

/// Requests other than chat messages that may wait for their replies; beyond it [`super::Error::Full`].
pub(super) const MAX_REQUESTS: usize = 256;
/// Bytes waiting to be written; beyond it nothing more is taken from the application's queue.
pub(super) const MAX_OUT_BYTES: usize = 64 * 1024;
/// Conversations whose place is remembered; a node that names more than this breaks the protocol.
pub(super) const MAX_CONVERSATIONS: usize = 65_536;
/// Time between two RECEIVED of one conversation, as the contract has it.
pub(super) const RECEIVED_INTERVAL: Duration = Duration::from_secs(1);
/// For writing the last bytes and seeing the node's end of file when closing.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that lasted this long makes the next backoff start over.
pub(super) const STABLE: Duration = Duration::from_secs(5);
/// The wait before sending again where the node refused without `retry_ms`.
pub(super) const DEFAULT_RETRY: Duration = Duration::from_millis(500);
/// The longest `retry_ms` that is believed.
pub(super) const MAX_RETRY: Duration = Duration::from_secs(30);
/// The node's frame limit until LOGIN_ACK says it.
pub(super) const DEFAULT_FRAME_BYTES: usize = 65_536;
