//! The least that a relay can do: read a frame, queue it for the peer, acknowledge it; no accounts, no JSON, no limits.
//!
//! Written as well as such a relay can be: one task a connection, no lookups, and whatever is queued leaves in one
//! write.

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// What a node answers to a message with `qos` 0, but for the mid.
pub const ACK: &[u8] = b"\0\0\0\x43{\"msgid\":12,\"mid\":\"00000000-0000-7000-8000-000000000000\",\"errno\":0}";
/// The mid in it.
const ACK_MID: std::ops::Range<usize> = 23..59;
const READ_BYTES: usize = 64 * 1024;

/// Bytes waiting for one connection.
#[derive(Default)]
struct Queue {
    bytes: Mutex<BytesMut>,
    waker: AtomicWaker,
}

type Pair = [Arc<Queue>; 2];

/// Listens on a free port. A client's first six bytes are the number of its pair, its side (0 or 1), and where in each
/// of its frames the mid stands that goes into the acknowledgement (0: nowhere). The answer is one acknowledgement.
pub async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut pairs: HashMap<u32, Pair> = HashMap::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            let (Ok(pair), Ok(side), Ok(mid_at)) =
                (socket.read_u32().await, socket.read_u8().await, socket.read_u8().await)
            else {
                continue;
            };
            // Whoever comes first waits for the other.
            let [own, peer] = pairs.remove(&pair).unwrap_or_else(|| pairs.entry(pair).or_default().clone());
            let (own, peer) = if side == 0 { (own, peer) } else { (peer, own) };
            lock(&own).extend_from_slice(ACK);
            let (input, writing) = (BytesMut::new(), BytesMut::new());
            tokio::spawn(Connection { socket, own, peer, mid_at: mid_at.into(), input, writing }.run());
        }
    });
    Ok(address)
}

struct Connection {
    socket: TcpStream,
    own: Arc<Queue>,
    peer: Arc<Queue>,
    mid_at: usize,
    input: BytesMut,
    writing: BytesMut,
}

impl Connection {
    async fn run(mut self) {
        // An error is the end of the client; there is nothing to tell and nobody to tell it to.
        let _ = poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.own.waker.register(cx.waker());
        while self.socket.poll_read_ready(cx)?.is_ready() {
            self.input.reserve(READ_BYTES);
            match self.socket.try_read_buf(&mut self.input) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => self.forward(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.poll_write(cx)
    }

    /// Moves the whole frames that were read into the peer's queue, and their acknowledgements into one's own.
    fn forward(&mut self) {
        let mut end = 0;
        let mut own = lock(&self.own);
        while let Some(header) = self.input[end..].first_chunk() {
            let next = end + header.len() + u32::from_be_bytes(*header) as usize;
            if next > self.input.len() {
                break;
            }
            let ack = own.len();
            own.extend_from_slice(ACK);
            if self.mid_at > 0 {
                let mid = &self.input[end + self.mid_at..][..ACK_MID.len()];
                own[ack..][ACK_MID].copy_from_slice(mid);
            }
            end = next;
        }
        drop(own);
        lock(&self.peer).extend_from_slice(&self.input[..end]);
        self.peer.waker.wake();
        self.input.advance(end);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                std::mem::swap(&mut self.writing, &mut lock(&self.own));
            }
            if self.writing.is_empty() {
                return Poll::Pending;
            }
            while self.socket.poll_write_ready(cx)?.is_ready() && !self.writing.is_empty() {
                match self.socket.try_write(&self.writing) {
                    Ok(bytes) => self.writing.advance(bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if !self.writing.is_empty() {
                return Poll::Pending;
            }
            self.writing.clear();
        }
    }
}

fn lock(queue: &Queue) -> std::sync::MutexGuard<'_, BytesMut> {
    queue.bytes.lock().unwrap_or_else(PoisonError::into_inner)
}
