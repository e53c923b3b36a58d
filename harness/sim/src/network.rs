//! Byte streams in memory between clients and nodes, split, joined and delayed by seed.
//!
//! A link is two ways. What is written to one flies for a while, in pieces cut anywhere, and is read in other pieces. A
//! link can be reset, lost on one side without the other being told, and whatever is broken (see [`Troubles`]) holds it
//! up. An end that is dropped is closed as by a kernel: what was written still arrives, then the end of the stream.

mod end;
mod link;

use crate::chance::Chance;
use crate::trace::Trace;
use crate::troubles::Troubles;
use chat::net::entrance::Channel;
use chat_client::{Bytes, Connect, Connecting};
use end::End;
use link::{CLIENT, Link, NODE};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// The usual time that a connection takes, at most.
const FLIGHT_MS: u64 = 2;

/// Where a node takes its clients from.
pub type Door = mpsc::Sender<(Box<dyn Channel>, IpAddr)>;

pub struct Network {
    chance: Arc<Chance>,
    trace: Arc<Trace>,
    troubles: Arc<Troubles>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    doors: BTreeMap<String, Door>,
    links: Vec<Weak<Link>>,
    made: u64,
}

impl Network {
    pub fn new(seed: u64, trace: Arc<Trace>, troubles: Arc<Troubles>) -> Arc<Network> {
        Arc::new(Network { chance: Arc::new(Chance::new(seed, "network")), trace, troubles, inner: Mutex::default() })
    }

    /// From now on `address` leads here.
    pub fn open(&self, address: &str, door: Door) {
        self.inner.lock().doors.insert(address.into(), door);
    }

    /// From now on whoever connects to `address` is refused.
    pub fn close(&self, address: &str) {
        self.inner.lock().doors.remove(address);
    }

    /// Resets all links of a user; whether there were any.
    pub fn reset(&self, user: usize) -> bool {
        let links = self.links_of(user);
        links.iter().for_each(|link| link.reset());
        !links.is_empty()
    }

    /// A user loses all links, and no node is told; whether there were any.
    pub fn lose(&self, user: usize) -> bool {
        let links = self.links_of(user);
        links.iter().for_each(|link| link.lose());
        !links.is_empty()
    }

    fn links_of(&self, user: usize) -> Vec<Arc<Link>> {
        let mut inner = self.inner.lock();
        inner.links.retain(|link| link.strong_count() > 0);
        inner.links.iter().filter_map(Weak::upgrade).filter(|link| link.user == user).collect()
    }

    fn connect(&self, user: usize, address: &str) -> io::Result<End> {
        let mut inner = self.inner.lock();
        let door = inner.doors.get(address).ok_or(ErrorKind::ConnectionRefused)?;
        let permit = door.try_reserve().map_err(|_| ErrorKind::ConnectionRefused)?;
        let number = inner.made + 1;
        let link = Arc::new(Link {
            number,
            user,
            chance: self.chance.clone(),
            trace: self.trace.clone(),
            troubles: self.troubles.clone(),
            ways: Default::default(),
        });
        self.trace.note("connect", format_args!("{number} {user} {address}"));
        permit.send((Box::new(End::new(link.clone(), NODE)), IpAddr::V4(Ipv4Addr::LOCALHOST)));
        inner.made = number;
        inner.links.push(Arc::downgrade(&link));
        Ok(End::new(link, CLIENT))
    }
}

/// Makes the connections of one client.
pub struct Connector {
    pub network: Arc<Network>,
    pub user: usize,
}

impl Connect for Connector {
    fn connect(&self, address: &str) -> Connecting {
        let (network, user, address) = (self.network.clone(), self.user, address.to_owned());
        let flight = network.chance.wait(FLIGHT_MS);
        Box::pin(async move {
            tokio::time::sleep(flight).await;
            network.connect(user, &address).map(|end| Box::new(end) as Box<dyn Bytes>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::link::DEAF_CAPACITY;
    use super::*;
    use crate::schedule::{Breaking, Fault};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    const USER: usize = 4;

    async fn pair() -> (Arc<Network>, Box<dyn Bytes>, Box<dyn Channel>) {
        let trace = Arc::new(Trace::start(false));
        let network = Network::new(7, trace.clone(), Troubles::new(7, trace));
        let (door, mut clients) = mpsc::channel(1);
        network.open("node", door);
        let connector = Connector { network: network.clone(), user: USER };
        let client = connector.connect("node").await.expect("the door is open");
        let (node, _) = clients.recv().await.expect("somebody came");
        (network, client, node)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_arrive_as_written_however_they_are_cut() {
        let (_network, mut client, mut node) = pair().await;
        let sent: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            client.write_all(&sent).await.expect("nobody resets it");
        });

        let mut received = Vec::new();
        node.read_to_end(&mut received).await.expect("nobody resets it");

        writing.await.expect("it does not panic");
        assert!(received == expected);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_delays_and_reset_destroys() {
        let (network, mut client, mut node) = pair().await;
        let begun = Instant::now();
        network.troubles.begin(0, &Fault { at_ms: 0, length_ms: 3_000, what: Breaking::Silence { user: USER } });
        client.write_all(b"x").await.expect("it is only silent");
        assert_eq!(node.unacknowledged(), Some(0));
        assert_eq!(node.read_u8().await.expect("it comes"), b'x');
        assert!(begun.elapsed() >= Duration::from_secs(3));

        network.troubles.end(0);
        client.write_all(b"y").await.expect("not yet");
        assert!(network.reset(USER));
        assert_eq!(node.read_u8().await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
        assert!(node.failure().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn node_is_not_told_of_a_client_that_is_lost() {
        let (network, mut client, mut node) = pair().await;
        assert!(network.lose(USER));

        assert!(client.write_all(b"x").await.is_err());
        drop(client);
        node.write_all(b"y").await.expect("nobody has told it");
        assert!(timeout(Duration::from_secs(10), node.read_u8()).await.is_err());
        assert_eq!(node.unacknowledged(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn little_is_on_its_way_to_who_is_deaf() {
        let (network, mut client, mut node) = pair().await;
        network.troubles.begin(0, &Fault { at_ms: 0, length_ms: 3_000, what: Breaking::Deaf { user: USER } });
        let begun = Instant::now();
        client.write_all(b"x").await.expect("it can speak");
        assert_eq!(node.read_u8().await.expect("it comes"), b'x');
        let writing = timeout(Duration::from_secs(1), node.write_all(&[0; 10 * DEAF_CAPACITY])).await;
        assert!(writing.is_err());
        client.read_u8().await.expect("in the end");
        assert!(begun.elapsed() >= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_in_where_no_door_is_open() {
        let (network, _client, _node) = pair().await;
        network.close("node");
        let connector = Connector { network, user: USER };
        assert!(connector.connect("node").await.is_err());
    }
}
