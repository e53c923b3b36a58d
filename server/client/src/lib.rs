//! A typed client of the framed dialect: what `chat-client`, the load generator and the test harness talk with.
//!
//! [`Client`] asks and sends, [`Events`] tells what happens. Behind them one task owns the connection; it acknowledges
//! what the application took, drops what it saw already, sends unacknowledged messages again, and reconnects. Made so
//! that one process can hold tens of thousands: an idle client keeps no buffers.
//!
//! Replies stand behind messages in the node's one stream, and the socket is not read while [`Options::max_events`]
//! wait. So take events while a call waits, or its reply may come too late.
//!
//! Clock, chance, tasks and connections come in through [`Options`], so that a simulator can run the real client.
//!
//! Nothing a node sends makes this panic; whatever is kept for later has a bound in [`Options`]. For bytes and frames
//! as one likes, [`RawConnection`].

// What only tests see may ask the operating system for what it likes.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod driver;
mod ending;
mod error;
mod event;
mod incoming;
mod link;
mod options;
mod outbox;
mod raw;
mod received;
mod reconnect;
mod requests;
mod shared;
mod stream;
pub mod tls;

pub use chat_protocol::message::JoinedGroup;
pub use error::{Error, Why};
pub use event::{Acknowledged, Event, Events, Message, Trace};
pub use options::{Credentials, Options, Reconnect, Tls};
pub use raw::{RawConnection, append_frame};
pub use requests::{History, UsersPage};
pub use shared::Session;
pub use stream::{Bytes, Connect, Connecting, connect_from};

use chat_environment::Environment;
use driver::Driver;
use shared::{Shared, Wish};
use std::fmt;
use std::sync::Arc;

/// A handle for asking and sending; clones share one connection. When the last is dropped the connection closes as with
/// [`Client::close`], without waiting for it.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    environment: Environment,
    news: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.end(Wish::Close);
    }
}

impl Client {
    /// Connects to the first of the addresses that answers and, with credentials, logs in
    /// ([`Event::LoggedIn`] is then the first event). Must be called within a tokio runtime.
    ///
    /// Errors: what the last address said. A refused login is not tried again here: see [`Error::retry`].
    pub async fn connect(options: Options) -> Result<(Client, Events), Error> {
        let (established, place) = Box::pin(connect_first(&options)).await?;
        // From here on the identity that logged in is what counts, not what was asked for.
        let options = Options { credentials: None, ..options };
        let shared = Arc::new(Shared::new(options.max_events, options.max_unacked));
        let environment = options.environment.clone();
        let handle = Handle { shared: shared.clone(), environment: environment.clone(), news: options.news };
        let mut driver = Driver::new(shared.clone(), options, place);
        let mut link = Some(driver.begin(established));
        environment.tasks.spawn_short("client", async move { driver.run(&mut link).await });
        Ok((Client { handle: Arc::new(handle) }, Events { shared }))
    }

    /// Who is logged in on the current connection.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.handle.shared.lock().session.clone()
    }

    /// Whether the client has ended: nothing will be sent any more.
    pub fn is_ended(&self) -> bool {
        self.handle.shared.lock().ended.is_some()
    }

    /// Tells the node what was received, writes what is queued and closes the connection. Acks that are still out do
    /// not arrive any more: whoever waits for one gets [`Error::Disconnected`]. Returns when the task has ended, within
    /// about a second.
    pub async fn close(&self) {
        let _ = self.handle.shared.end(Wish::Close).await;
    }

    /// Drops the connection as it stands, as if the process had died. Returns when the task has ended.
    pub async fn abort(&self) {
        let _ = self.handle.shared.end(Wish::Abort).await;
    }
}

async fn connect_first(options: &Options) -> Result<(reconnect::Established, usize), Error> {
    let mut last = Error::Disconnected(Why::GaveUp);
    for offset in 0..options.addresses.len() {
        let place = options.first_address.wrapping_add(offset);
        match reconnect::establish(options, place, options.credentials.clone().map(Box::new)).await {
            Ok(established) => return Ok((established, place)),
            // The next node would say the same.
            Err(error @ Error::Refused(_)) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The program that README shows must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_idle_client_is_small() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options::new([listener.local_addr().unwrap().to_string()]);
        let (established, place) = connect_first(&options).await.unwrap();
        let shared = Arc::new(Shared::new(1, 1));
        let mut driver = Driver::new(shared, options, place);
        let mut link = Some(established.link);
        let task = async move { driver.run(&mut link).await };
        let bytes = size_of_val(&task) + size_of::<Shared>() + size_of::<Handle>() + size_of::<tokio::time::Sleep>();
        assert!(bytes < 2_048, "{bytes} bytes beside the socket");
    }
}
