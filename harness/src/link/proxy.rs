//! A TCP relay in this process whose link can be made bad: slow, thin, silent, or broken off.
//!
//! It stands between a client and nginx, or, listening at a network's gateway, between a node and what it needs. Being
//! an ordinary program it needs no rights, and works where the kernel has no traffic shaping. What it does not imitate
//! is loss of single packets.

use super::relay::{SLICES_PER_SECOND, relay};
use super::trouble::{Quality, Trouble};
use anyhow::Result;
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay to one address. Dropping it closes all its connections.
pub struct Proxy {
    address: SocketAddr,
    quality: watch::Sender<Quality>,
    /// Counts how often all connections were reset.
    resets: watch::Sender<u64>,
    accepting: JoinHandle<()>,
    connections: Connections,
}

type Connections = Arc<Mutex<Vec<JoinHandle<()>>>>;

/// A bad link, until dropped.
#[must_use = "the link is good again when this is dropped"]
pub struct Bad {
    quality: watch::Sender<Quality>,
    number: u64,
}

impl Proxy {
    /// Listens on a free port of `listen` and relays every connection to `target`.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start(listen: IpAddr, target: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind((listen, 0)).await?;
        let address = listener.local_addr()?;
        let (quality, resets) = (watch::Sender::new(Quality::default()), watch::Sender::new(0));
        let connections = Connections::default();
        let accept = accept(listener, target, quality.clone(), resets.clone(), connections.clone());
        Ok(Proxy { address, quality, resets, accepting: tokio::spawn(accept), connections })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every byte takes this much longer, each way.
    pub fn slow(&self, latency: Duration) -> Bad {
        self.trouble(Trouble::Slow(latency))
    }

    /// Each connection passes at most this many bytes a second, each way.
    pub fn thin(&self, bytes_per_second: u64) -> Bad {
        self.trouble(Trouble::Thin(bytes_per_second.max(SLICES_PER_SECOND)))
    }

    /// Nothing passes, and neither side is told: half-open connections. What was sent meanwhile passes afterwards.
    pub fn silent(&self) -> Bad {
        self.trouble(Trouble::Silent)
    }

    /// Breaks off every connection: both sides get a reset. New ones are accepted.
    pub fn reset(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// Makes any of these happen; a reset leaves nothing to heal.
    pub(super) fn inflict(&self, trouble: Trouble) -> Option<Bad> {
        match trouble {
            Trouble::Slow(latency) => Some(self.slow(latency)),
            Trouble::Thin(bytes_per_second) => Some(self.thin(bytes_per_second)),
            Trouble::Silent => Some(self.silent()),
            Trouble::Reset => {
                self.reset();
                None
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_good(&self) -> bool {
        self.quality.borrow().is_good()
    }

    fn trouble(&self, trouble: Trouble) -> Bad {
        let mut number = 0;
        self.quality.send_modify(|quality| number = quality.add(trouble));
        Bad { quality: self.quality.clone(), number }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.connections.lock().iter().for_each(JoinHandle::abort);
    }
}

impl Bad {
    pub fn heal(self) {}
}

impl Drop for Bad {
    fn drop(&mut self) {
        self.quality.send_modify(|quality| quality.remove(self.number));
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    quality: watch::Sender<Quality>,
    resets: watch::Sender<u64>,
    connections: Connections,
) {
    while let Ok((client, _)) = listener.accept().await {
        let relay = tokio::spawn(relay(client, target, quality.subscribe(), resets.subscribe()));
        let mut connections = connections.lock();
        connections.retain(|connection| !connection.is_finished());
        connections.push(relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port to listen on");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        address
    }

    async fn proxied() -> (Proxy, TcpStream) {
        let proxy = Proxy::start(Ipv4Addr::LOCALHOST.into(), echo().await).await.expect("a port to listen on");
        let stream = TcpStream::connect(proxy.address()).await.expect("it accepts");
        (proxy, stream)
    }

    async fn there_and_back(stream: &mut TcpStream, bytes: usize) -> Duration {
        let began = Instant::now();
        let sent = vec![7; bytes];
        stream.write_all(&sent).await.expect("it takes bytes");
        let mut back = vec![0; bytes];
        stream.read_exact(&mut back).await.expect("the bytes come back");
        assert_eq!(sent, back);
        began.elapsed()
    }

    #[tokio::test]
    async fn bytes_pass_and_the_end_too() {
        let (_proxy, mut stream) = proxied().await;
        there_and_back(&mut stream, 100_000).await;
        stream.shutdown().await.expect("it can be shut down");
        assert_eq!(stream.read(&mut [0; 1]).await.expect("a close in good order"), 0);
    }

    #[tokio::test]
    async fn slow_link_delays_each_way_until_healed() {
        let (proxy, mut stream) = proxied().await;
        let bad = proxy.slow(Duration::from_millis(100));
        assert!(there_and_back(&mut stream, 10).await >= Duration::from_millis(200));
        bad.heal();
        assert!(proxy.is_good());
        there_and_back(&mut stream, 10).await;
    }

    #[tokio::test]
    async fn troubles_add_up_and_heal_in_any_order() {
        let (proxy, _stream) = proxied().await;
        let slow = proxy.slow(Duration::from_millis(100));
        let (slower, thin, thinner) = (proxy.slow(Duration::from_millis(50)), proxy.thin(5_000), proxy.thin(1_000));
        let quality = || {
            let now = proxy.quality.borrow();
            (now.latency().as_millis(), now.bytes_per_second())
        };
        assert_eq!(quality(), (150, Some(1_000)));
        slow.heal();
        thinner.heal();
        assert_eq!(quality(), (50, Some(5_000)));
        slower.heal();
        thin.heal();
        assert!(proxy.is_good());
    }

    #[tokio::test]
    async fn thin_link_passes_no_more_than_its_bytes() {
        let (proxy, mut stream) = proxied().await;
        let _bad = proxy.thin(10_000);
        assert!(there_and_back(&mut stream, 5_000).await >= Duration::from_millis(400));
    }

    #[tokio::test]
    async fn silent_link_passes_nothing_until_healed() {
        let (proxy, mut stream) = proxied().await;
        let bad = proxy.silent();
        stream.write_all(b"hello").await.expect("it takes bytes");
        let mut back = [0; 5];
        assert!(timeout(Duration::from_millis(100), stream.read_exact(&mut back)).await.is_err());
        bad.heal();
        // What a cancelled read took would be lost: the echo is looked for in what comes now.
        stream.write_all(b"world").await.expect("it takes bytes");
        stream.read_exact(&mut back).await.expect("the bytes come back");
        assert_eq!(&back, b"hello");
    }

    #[tokio::test]
    async fn reset_breaks_off_open_connections_only() {
        let (proxy, mut stream) = proxied().await;
        there_and_back(&mut stream, 10).await;
        proxy.reset();
        let error = stream.read(&mut [0; 1]).await.expect_err("the connection is broken off");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let mut next = TcpStream::connect(proxy.address()).await.expect("it accepts");
        there_and_back(&mut next, 10).await;
    }
}
