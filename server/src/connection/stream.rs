//! A client's byte stream: a socket, plain or under TLS, or a channel inside this process.
//!
//! Reads go through one buffer per thread, so that a connection owns none while it is silent.

use bytes::BytesMut;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The most that one read takes from the kernel.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Channel(Box<dyn Channel>),
}

/// A client inside this process, whose bytes go another way than through the kernel.
pub trait Channel: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    /// How many of the bytes written have not arrived, as far as that can be known.
    fn unacknowledged(&self) -> Option<u64>;
    /// Why the channel is broken, if it is. Told once.
    fn failure(&self) -> Option<io::Error>;
}

impl Stream {
    /// Appends what has arrived to `input`; 0 bytes is the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            let result = match self {
                Stream::Plain(socket) => Pin::new(socket).poll_read(cx, &mut read),
                Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, &mut read),
                Stream::Channel(channel) => Pin::new(channel).poll_read(cx, &mut read),
            };
            ready!(result)?;
            input.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Channel(channel) => Pin::new(channel).poll_write(cx, bytes),
            Stream::Tls(tls) => {
                let written = ready!(Pin::new(tls.as_mut()).poll_write(cx, bytes))?;
                // Records may stay inside the TLS layer until flushed; a flush that blocks is finished by the next
                // write.
                let _ = Pin::new(tls.as_mut()).poll_flush(cx)?;
                Poll::Ready(Ok(written))
            }
        }
    }

    /// Hands the kernel what the TLS layer still holds.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) | Stream::Channel(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    /// Ends our direction; the client sees an end of file after what was written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Stream::Channel(channel) => Pin::new(channel).poll_shutdown(cx),
        }
    }

    fn socket(&self) -> Result<&TcpStream, &dyn Channel> {
        match self {
            Stream::Plain(socket) => Ok(socket),
            Stream::Tls(tls) => Ok(tls.get_ref().0),
            Stream::Channel(channel) => Err(channel.as_ref()),
        }
    }

    /// How many of the bytes written the peer's kernel has not acknowledged: all that can be known of a client that
    /// sends no RECEIVED. The kernel still knows after a reset. `None`: unknown, which under TLS is anything but zero,
    /// as its bytes are not those that were written.
    pub fn unacknowledged(&self) -> Option<u64> {
        let socket = match self.socket() {
            Ok(socket) => socket,
            Err(channel) => return channel.unacknowledged(),
        };
        let mut unacknowledged: libc::c_int = 0;
        // SAFETY: TIOCOUTQ (SIOCOUTQ on a socket) writes one int, and `unacknowledged` outlives the call.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut unacknowledged) };
        let unacknowledged = u64::try_from(unacknowledged).ok().filter(|_| result == 0)?;
        match self {
            Stream::Tls(tls) => (unacknowledged == 0 && !tls.get_ref().1.wants_write()).then_some(0),
            _ => Some(unacknowledged),
        }
    }

    /// Why the connection is broken, if it is: for while nothing is read or written. Told once.
    pub fn failure(&self) -> Option<io::Error> {
        match self.socket() {
            Ok(socket) => socket.take_error().ok().flatten(),
            Err(channel) => channel.failure(),
        }
    }

    /// Lets the kernel find a dead peer for a dialect that has no PING.
    pub fn watch_for_dead_peer(&self, timeout: Duration, keepalive: Duration) -> io::Result<()> {
        let Ok(socket) = self.socket() else { return Ok(()) };
        let socket = socket2::SockRef::from(socket);
        socket.set_tcp_user_timeout(Some(timeout))?;
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(keepalive).with_interval(keepalive / 4))
    }
}
