//! A connection's bytes and how one is made: resolve, connect, hand-shake, all within one time-out; or as the
//! application says.

use super::error::Error;
use super::options::{Options, Tls};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

/// The bytes of a connection that is no socket of ours.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Bytes for T {}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Bytes>>> + Send>>;

/// Makes connections in place of TCP: in memory, through a proxy, over something else.
pub trait Connect: Send + Sync {
    fn connect(&self, address: &str) -> Connecting;
}

/// A connection's bytes.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Other(Box<dyn Bytes>),
}

impl Stream {
    /// Connects to `address` (`host:port`). Errors: [`Error::Connect`] and [`Error::Tls`], bounded by
    /// `connect_timeout`.
    pub(super) async fn connect(address: &str, options: &Options) -> Result<Self, Error> {
        let connecting = async {
            if let Some(connect) = &options.connect {
                let stream = connect.connect(address).await.map_err(|error| connect_error(address, &error))?;
                return Ok(Stream::Other(stream));
            }
            let socket = connect_tcp(address, options.local_address).await;
            let socket = socket.map_err(|error| connect_error(address, &error))?;
            match &options.tls {
                None => Ok(Stream::Plain(socket)),
                Some(tls) => handshake(address, socket, tls).await,
            }
        };
        match tokio::time::timeout(options.connect_timeout, connecting).await {
            Ok(result) => result,
            Err(_) => Err(connect_error(address, &io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))),
        }
    }

    /// The address this side connects from.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Stream::Plain(stream) => stream.local_addr(),
            Stream::Tls(stream) => stream.get_ref().0.local_addr(),
            Stream::Other(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "not a socket")),
        }
    }
}

fn connect_error(address: &str, error: &io::Error) -> Error {
    Error::Connect { address: address.to_owned(), kind: error.kind(), text: error.to_string() }
}

async fn connect_tcp(address: &str, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in tokio::net::lookup_host(address).await? {
        match connect_from(local, candidate).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects from the given source address, or from whichever the system chooses. Many source addresses are how one
/// machine gets past the ports of one.
///
/// # Errors
/// As the system reports them: refused, unreachable, no port left.
pub async fn connect_from(local: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local {
        bind_address_no_port(&socket)?;
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Leaves the choice of port to `connect`, which need not find one that is free towards everybody. Without it tens of
/// thousands of binds get slower with each.
fn bind_address_no_port(socket: &TcpSocket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the option is an int of the size given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

async fn handshake(address: &str, socket: TcpStream, tls: &Tls) -> Result<Stream, Error> {
    let failed = |text: String, certificate| Error::Tls { address: address.to_owned(), text, certificate };
    let host = tls.server_name.clone().unwrap_or_else(|| host_of(address).to_owned());
    let name = rustls::pki_types::ServerName::try_from(host).map_err(|error| failed(error.to_string(), false))?;
    match tokio_rustls::TlsConnector::from(tls.config.clone()).connect(name, socket).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let certificate = matches!(cause, Some(rustls::Error::InvalidCertificate(_)));
            Err(failed(error.to_string(), certificate))
        }
    }
}

/// The host of `host:port`, brackets of an IPv6 address taken off.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Other(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn host_is_what_stands_before_the_port() {
        for (address, host) in [("a.example:1", "a.example"), ("[::1]:80", "::1"), ("10.0.0.1:5", "10.0.0.1")] {
            assert_eq!(host_of(address), host);
        }
    }
}
