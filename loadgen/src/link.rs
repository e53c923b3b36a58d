//! A connection's bytes, plain or TLS, made so that a silent one owns no buffer.
//!
//! A plain socket is shared: whoever has something to send writes it at once, from any thread, and the connection's own
//! task takes over only where the kernel is full. That saves a wake-up a message.

use crate::plan::Plan;
use chat_client::tls::Trust;
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes taken from the kernel at once.
const READ_BYTES: usize = 64 * 1024;
/// Connections from one source address to one target, well below the 28,000 ports that Linux gives out by default.
const CONNECTIONS_PER_ADDRESS: u32 = 20_000;

thread_local! {
    /// Where every connection of this thread reads into; only used within one poll.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// One connection.
#[derive(Debug)]
pub enum Link {
    Plain(Arc<TcpStream>),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How connections are made.
#[derive(Clone)]
pub struct Dialer {
    pub addresses: Vec<SocketAddr>,
    /// The host part of each target, for certificates.
    hosts: Vec<String>,
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no target {target}: {cause}")]
    Resolve { target: String, cause: io::Error },
    #[error(transparent)]
    Tls(#[from] chat_client::tls::Error),
    #[error("connect: {0}")]
    Connect(io::Error),
    #[error("tls: {0}")]
    Handshake(io::Error),
}

impl Dialer {
    /// Resolves the targets.
    pub async fn new(plan: &Plan, targets: &[String]) -> Result<Dialer, Error> {
        let mut addresses = Vec::new();
        let mut hosts = Vec::new();
        for target in targets {
            let found = tokio::net::lookup_host(target).await.and_then(|mut found| {
                found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            });
            addresses.push(found.map_err(|cause| Error::Resolve { target: target.clone(), cause })?);
            hosts.push(
                target.rsplit_once(':').map_or(target.as_str(), |(host, _)| host).trim_matches(['[', ']']).to_owned(),
            );
        }
        let trust = plan.tls_ca.as_deref().map_or(Trust::Anybody, Trust::Authorities);
        let tls = match plan.tls {
            true => Some(Arc::new(chat_client::tls::config(trust)?).into()),
            false => None,
        };
        Ok(Dialer { addresses, hosts, tls })
    }

    /// What stands for the name of the node that the `place`-th connection leads to, where nodes do not say theirs: the
    /// address, if there are several targets. A single one may be a load balancer.
    pub fn only_node(&self, place: u32) -> Option<String> {
        let count = self.addresses.len();
        (count > 1).then(|| self.addresses[place as usize % count].to_string())
    }

    /// Connects to the `place`-th target, as the `place`-th connection of all.
    pub async fn connect(&self, place: u32) -> Result<Link, Error> {
        let target = place as usize % self.addresses.len();
        let socket = connect_tcp(self.addresses[target], place).await.map_err(Error::Connect)?;
        let Some(tls) = &self.tls else { return Ok(Link::Plain(Arc::new(socket))) };
        let name = tokio_rustls::rustls::pki_types::ServerName::try_from(self.hosts[target].clone())
            .map_err(|error| Error::Handshake(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream = tls.connect(name, socket).await.map_err(Error::Handshake)?;
        Ok(Link::Tls(Box::new(stream)))
    }
}

async fn connect_tcp(address: SocketAddr, place: u32) -> io::Result<TcpStream> {
    let block = place / CONNECTIONS_PER_ADDRESS;
    let spread = block > 0 && address.is_ipv4() && address.ip().is_loopback();
    let source = spread.then(|| IpAddr::V4(Ipv4Addr::new(127, 1, (block >> 8) as u8, block as u8)));
    chat_client::connect_from(source, address).await
}

impl Link {
    /// Reads what is there and hands it to `take`; what that returns is the result. `Ok(None)` is the end of the
    /// stream.
    pub fn poll_read<T>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8]) -> T) -> Poll<io::Result<Option<T>>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let count = match self {
                Link::Plain(socket) => loop {
                    ready!(socket.poll_read_ready(cx))?;
                    match read_once(socket, scratch) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        other => break other?,
                    }
                },
                Link::Tls(stream) => {
                    let mut into = ReadBuf::new(scratch);
                    ready!(Pin::new(stream.as_mut()).poll_read(cx, &mut into))?;
                    into.filled().len()
                }
            };
            Poll::Ready(Ok((count > 0).then(|| take(&scratch[..count]))))
        })
    }

    /// Writes as much of `bytes` as can be; ready once all is written.
    pub fn poll_write_all(&mut self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let mut written = 0;
        let result = loop {
            if written == bytes.len() {
                break Poll::Ready(Ok(()));
            }
            let wrote = match self {
                Link::Plain(socket) => match socket.poll_write_ready(cx) {
                    Poll::Ready(Ok(())) => match socket.try_write(&bytes[written..]) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                        other => Poll::Ready(other),
                    },
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                },
                Link::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, &bytes[written..]),
            };
            match wrote {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        discard_front(bytes, written);
        if let (Link::Tls(stream), true) = (&mut *self, result.is_ready()) {
            // Records may stay inside the TLS layer until flushed.
            return Pin::new(stream.as_mut()).poll_flush(cx);
        }
        result
    }

    /// Tells the server that nothing more will come, while it can still be read.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Link::Plain(socket) => Poll::Ready(SockRef::from(&**socket).shutdown(std::net::Shutdown::Write)),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    /// The socket, where anybody may write to it.
    pub fn direct(&self) -> Option<Arc<TcpStream>> {
        match self {
            Link::Plain(socket) => Some(socket.clone()),
            Link::Tls(_) => None,
        }
    }
}

/// Reads once. What does not fill the buffer was all there was: the socket then counts as not readable until more
/// comes, which saves asking it in vain after every message.
fn read_once(socket: &TcpStream, scratch: &mut [u8]) -> io::Result<usize> {
    let mut short = None;
    let result = socket.try_io(Interest::READABLE, || match (&*SockRef::from(socket)).read(scratch) {
        Ok(count) if count > 0 && count < scratch.len() => {
            short = Some(count);
            Err(io::ErrorKind::WouldBlock.into())
        }
        other => other,
    });
    short.map_or(result, Ok)
}

/// Takes `count` bytes off the front; an empty buffer gives its memory back.
pub fn discard_front(bytes: &mut Vec<u8>, count: usize) {
    if count == bytes.len() {
        *bytes = Vec::new();
    } else if count > 0 {
        bytes.drain(..count);
    }
}
