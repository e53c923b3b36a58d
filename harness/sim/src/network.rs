//! Byte streams in memory between clients and nodes, split, joined and delayed by seed.
//!
//! A link is two ways. What is written to one flies for a while, in pieces cut anywhere, and is read in other pieces. A
//! link can be reset, and can fall silent for a time without either side being told. An end that is dropped is closed
//! as by a kernel: what was written still arrives, then the end of the stream.

use crate::chance::Chance;
use crate::trace::Trace;
use chat::net::entrance::Channel;
use chat_client::{Bytes, Connect, Connecting};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

/// What a way holds before its writer has to wait, as a kernel's buffers do.
const CAPACITY: usize = 64 * 1024;
/// The usual time that bytes fly, at most.
const FLIGHT_MS: u64 = 2;
/// One piece in so many takes longer, at most this.
const SLOW_ONCE_IN: u64 = 48;
const SLOW_FLIGHT_MS: u64 = 150;
/// One write in so many is cut.
const CUT_ONCE_IN: u64 = 3;

/// Where a node takes its clients from.
pub type Door = mpsc::Sender<(Box<dyn Channel>, IpAddr)>;

pub struct Network {
    chance: Arc<Chance>,
    trace: Arc<Trace>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    doors: BTreeMap<String, Door>,
    links: Vec<Weak<Link>>,
    made: u64,
}

impl Network {
    pub fn new(seed: u64, trace: Arc<Trace>) -> Arc<Network> {
        Arc::new(Network { chance: Arc::new(Chance::new(seed, "network")), trace, inner: Mutex::default() })
    }

    /// From now on `address` leads here.
    pub fn open(&self, address: &str, door: Door) {
        self.inner.lock().doors.insert(address.into(), door);
    }

    /// From now on whoever connects to `address` is refused.
    pub fn close(&self, address: &str) {
        self.inner.lock().doors.remove(address);
    }

    /// Resets all links of one who connects.
    pub fn reset(&self, who: &str) {
        self.links_of(who).iter().for_each(|link| link.reset());
    }

    /// Nothing arrives on any of these links for a while; what is sent meanwhile comes then.
    pub fn silence(&self, who: &str, length: Duration) {
        let until = Instant::now() + length;
        for link in self.links_of(who) {
            link.ways.iter().for_each(|way| way.lock().held_until = Some(until));
        }
    }

    fn links_of(&self, who: &str) -> Vec<Arc<Link>> {
        let mut inner = self.inner.lock();
        inner.links.retain(|link| link.strong_count() > 0);
        inner.links.iter().filter_map(Weak::upgrade).filter(|link| link.who == who).collect()
    }

    fn connect(&self, who: &str, address: &str) -> io::Result<End> {
        let mut inner = self.inner.lock();
        let door = inner.doors.get(address).ok_or(ErrorKind::ConnectionRefused)?;
        let permit = door.try_reserve().map_err(|_| ErrorKind::ConnectionRefused)?;
        let number = inner.made + 1;
        let link = Arc::new(Link {
            number,
            who: who.into(),
            chance: self.chance.clone(),
            trace: self.trace.clone(),
            ways: Default::default(),
        });
        self.trace.note("connect", format_args!("{number} {who} {address}"));
        permit.send((Box::new(End::new(link.clone(), NODE)), IpAddr::V4(Ipv4Addr::LOCALHOST)));
        inner.made = number;
        inner.links.push(Arc::downgrade(&link));
        Ok(End::new(link, CLIENT))
    }
}

/// Makes the connections of one client.
pub struct Connector {
    pub network: Arc<Network>,
    pub who: String,
}

impl Connect for Connector {
    fn connect(&self, address: &str) -> Connecting {
        let (network, who, address) = (self.network.clone(), self.who.clone(), address.to_owned());
        let flight = network.chance.wait(FLIGHT_MS);
        Box::pin(async move {
            tokio::time::sleep(flight).await;
            network.connect(&who, &address).map(|end| Box::new(end) as Box<dyn Bytes>)
        })
    }
}

struct Link {
    number: u64,
    who: String,
    chance: Arc<Chance>,
    trace: Arc<Trace>,
    /// By who writes.
    ways: [Mutex<Way>; 2],
}

const CLIENT: usize = 0;
const NODE: usize = 1;

/// One direction.
#[derive(Default)]
struct Way {
    flying: VecDeque<(Instant, VecDeque<u8>)>,
    bytes: usize,
    /// When what was written last arrives.
    newest: Option<Instant>,
    /// When the end of the stream arrives.
    ends: Option<Instant>,
    held_until: Option<Instant>,
    is_reset: bool,
    /// The reader is gone.
    is_deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Link {
    fn reset(&self) {
        self.trace.note("reset", self.number);
        for way in &self.ways {
            let mut way = way.lock();
            way.is_reset = true;
            way.flying.clear();
            let wakers = [way.reader.take(), way.writer.take()];
            drop(way);
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// When something written now arrives: never before what was written earlier.
    fn arrival(&self, way: &mut Way) -> Instant {
        let slow = self.chance.once_in(SLOW_ONCE_IN);
        let flight = self.chance.wait(if slow { SLOW_FLIGHT_MS } else { FLIGHT_MS });
        let at = (Instant::now() + flight).max(way.newest.unwrap_or_else(Instant::now));
        way.newest = Some(at);
        at
    }
}

impl Way {
    /// When there is something to read.
    fn due(&self) -> Option<Instant> {
        let first = self.flying.front().map(|(at, _)| *at).or(self.ends)?;
        Some(self.held_until.map_or(first, |held| first.max(held)))
    }
}

/// One end of a link.
struct End {
    link: Arc<Link>,
    side: usize,
    timer: Pin<Box<Sleep>>,
}

impl End {
    fn new(link: Arc<Link>, side: usize) -> Self {
        End { link, side, timer: Box::pin(tokio::time::sleep_until(Instant::now())) }
    }

    fn outgoing(&self) -> &Mutex<Way> {
        &self.link.ways[self.side]
    }

    fn incoming(&self) -> &Mutex<Way> {
        &self.link.ways[1 - self.side]
    }

    /// Ends our direction.
    fn finish(&self) {
        let mut way = self.outgoing().lock();
        if way.ends.is_none() {
            let at = self.link.arrival(&mut way);
            way.ends = Some(at);
            if let Some(reader) = way.reader.take() {
                reader.wake();
            }
        }
    }

    /// Reads some of what is due; 0 bytes at the end of the stream.
    fn read_due(&self, way: &mut Way, buffer: &mut ReadBuf<'_>) -> usize {
        let now = Instant::now();
        let before = buffer.filled().len();
        while let Some((at, piece)) = way.flying.front_mut() {
            // The first is due; whether more is read with it is for chance to say.
            let is_first = buffer.filled().len() == before;
            if buffer.remaining() == 0 || (!is_first && (*at > now || self.link.chance.once_in(2))) {
                break;
            }
            let take = buffer.remaining().min(piece.len());
            piece.drain(..take).for_each(|byte| buffer.put_slice(&[byte]));
            if piece.is_empty() {
                way.flying.pop_front();
            }
        }
        let read = buffer.filled().len() - before;
        way.bytes -= read;
        read
    }
}

fn reset_error() -> io::Error {
    ErrorKind::ConnectionReset.into()
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut way = self.incoming().lock();
            if way.is_reset {
                return Poll::Ready(Err(reset_error()));
            }
            let Some(due) = way.due() else {
                way.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            if due <= Instant::now() {
                let before = buffer.filled().len();
                let read = self.read_due(&mut way, buffer);
                let hash = judge::history::body(&String::from_utf8_lossy(&buffer.filled()[before..]));
                self.link.trace.note("read", format_args!("{} {} {read} {hash:x}", self.link.number, self.side));
                if let Some(writer) = way.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            way.reader = Some(cx.waker().clone());
            drop(way);
            self.timer.as_mut().reset(due);
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = self.outgoing().lock();
        if way.is_reset {
            return Poll::Ready(Err(reset_error()));
        }
        if way.is_deaf || way.ends.is_some() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = CAPACITY.saturating_sub(way.bytes).min(bytes.len());
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let is_cut = room > 1 && self.link.chance.once_in(CUT_ONCE_IN);
        let written = if is_cut { 1 + self.link.chance.below(room as u64 - 1) as usize } else { room };
        let at = self.link.arrival(&mut way);
        way.flying.push_back((at, bytes[..written].iter().copied().collect()));
        way.bytes += written;
        if let Some(reader) = way.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Channel for End {
    fn unacknowledged(&self) -> Option<u64> {
        Some(self.outgoing().lock().bytes as u64)
    }

    fn failure(&self) -> Option<io::Error> {
        self.incoming().lock().is_reset.then(reset_error)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.finish();
        let mut way = self.incoming().lock();
        way.is_deaf = true;
        if let Some(writer) = way.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair() -> (Arc<Network>, Box<dyn Bytes>, Box<dyn Channel>) {
        let network = Network::new(7, Arc::new(Trace::start(false)));
        let (door, mut clients) = mpsc::channel(1);
        network.open("node", door);
        let connector = Connector { network: network.clone(), who: "user".into() };
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
        network.silence("user", Duration::from_secs(3));
        client.write_all(b"x").await.expect("it is only silent");
        assert_eq!(node.unacknowledged(), Some(0));
        assert_eq!(node.read_u8().await.expect("it comes"), b'x');
        assert!(begun.elapsed() >= Duration::from_secs(3));

        client.write_all(b"y").await.expect("not yet");
        network.reset("user");
        assert_eq!(node.read_u8().await.expect_err("it was reset").kind(), ErrorKind::ConnectionReset);
        assert!(node.failure().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_in_where_no_door_is_open() {
        let (network, _client, _node) = pair().await;
        network.close("node");
        let connector = Connector { network, who: "user".into() };
        assert!(connector.connect("node").await.is_err());
    }
}
