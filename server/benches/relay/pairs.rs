//! The clients: one thread and one poll for all pairs, so that they cost less than what they measure.
//!
//! In each pair one side sends; a message is under way until the other side has it, and with `qos` 1 until it is
//! acknowledged. A round ends only when every message has been both delivered and acknowledged, so nothing is counted
//! that was lost.

use crate::bare;
use crate::support::client::{Client, frame};
use crate::support::process::{Server, cpu_time};
use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What every client sends, length included.
pub const FRAME_BYTES: usize = 126;
/// Characters of a UUID that tell the messages of a pair apart: the last group.
const COUNTER_DIGITS: usize = 12;
/// Where the `errno` of an acknowledgement stands, as long as the mid has the length of a UUID.
const ERRNO_AT: usize = bare::ACK.len() - 2;
/// How long the last messages of a round may take.
const DRAIN: Duration = Duration::from_secs(10);

/// All pairs of one server.
pub struct Pairs {
    poll: Poll,
    pairs: Vec<Pair>,
    qos: u8,
    scratch: Vec<u8>,
}

struct Pair {
    sender: End,
    receiver: End,
    to: u64,
    number: u32,
    /// The next frame; its mid is counted on.
    frame: Vec<u8>,
    counter_at: usize,
    sent: u64,
}

/// One client.
struct End {
    socket: TcpStream,
    /// The front of a frame that has not come whole.
    partial: Vec<u8>,
    /// Frames received: acknowledgements at the sender, messages at the receiver.
    frames: u64,
}

/// What a round came to.
pub struct Round {
    pub per_second: f64,
    messages: u64,
    server: Duration,
    client: Duration,
}

impl Round {
    /// Processor time of the server for a message, in microseconds.
    pub fn server_us(&self) -> f64 {
        self.server.as_secs_f64() * 1e6 / self.messages as f64
    }

    pub fn client_us(&self) -> f64 {
        self.client.as_secs_f64() * 1e6 / self.messages as f64
    }
}

impl Pairs {
    pub fn of_relay(address: SocketAddr, count: usize) -> Result<Pairs> {
        let connect = |pair: u32, side: u8| -> Result<Client> {
            let mut client = Client::connect(address)?;
            client.socket.write_all(&pair.to_be_bytes())?;
            client.socket.write_all(&[side, 0])?;
            client.socket.read_exact(&mut [0; bare::ACK.len()])?;
            Ok(client)
        };
        Pairs::new(count, 0, |pair| Ok((connect(pair, 0)?, connect(pair, 1)?, 1)))
    }

    /// Makes accounts, logs them in and makes each pair friends.
    pub fn of_node(address: SocketAddr, count: usize, qos: u8) -> Result<Pairs> {
        let log_in = |name: String| -> Result<(Client, u64)> {
            let mut client = Client::connect(address)?;
            let id = client.register(&name)?;
            client.log_in(id)?;
            Ok((client, id))
        };
        Pairs::new(count, qos, |pair| {
            let (mut sender, _) = log_in(format!("s{pair}"))?;
            let (receiver, id) = log_in(format!("r{pair}"))?;
            sender.ask(&json!({"msgid": 7, "friendid": id}))?;
            Ok((sender, receiver, id))
        })
    }

    fn new(count: usize, qos: u8, connect: impl Fn(u32) -> Result<(Client, Client, u64)>) -> Result<Pairs> {
        let poll = Poll::new()?;
        let mut pairs = Vec::with_capacity(count);
        for number in 0..count as u32 {
            let (sender, receiver, to) = connect(number)?;
            let (sender, receiver) = (End::new(sender, &poll, 2 * number)?, End::new(receiver, &poll, 2 * number + 1)?);
            let (frame, counter_at) = template(number, to, qos);
            pairs.push(Pair { sender, receiver, to, number, frame, counter_at, sent: 0 });
        }
        Ok(Pairs { poll, pairs, qos, scratch: vec![0; 64 * 1024] })
    }

    pub fn set_qos(&mut self, qos: u8) {
        self.qos = qos;
        for pair in &mut self.pairs {
            (pair.frame, pair.counter_at) = template(pair.number, pair.to, qos);
        }
    }

    /// Keeps `window` messages under way in every pair for `length`.
    pub fn run(&mut self, server: &Server, window: u64, length: Duration) -> Result<Round> {
        let own = std::process::id();
        let (server_before, client_before) = (server.cpu_time()?, cpu_time(own)?);
        let before = self.done();
        let started = Instant::now();
        for pair in &mut self.pairs {
            pair.refill(window, self.qos)?;
        }
        while started.elapsed() < length {
            self.turn(Some(window))?;
        }
        let (elapsed, messages) = (started.elapsed(), self.done() - before);
        let round = Round {
            per_second: messages as f64 / elapsed.as_secs_f64(),
            messages,
            server: server.cpu_time()? - server_before,
            client: cpu_time(own)? - client_before,
        };
        let deadline = Instant::now() + DRAIN;
        while !self.pairs.iter().all(Pair::is_drained) {
            ensure!(Instant::now() < deadline, "messages or acknowledgements were lost");
            self.turn(None)?;
        }
        Ok(round)
    }

    fn done(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.done(self.qos)).sum()
    }

    /// Takes in what has arrived; sends on unless the round is over.
    fn turn(&mut self, window: Option<u64>) -> Result<()> {
        let mut events = Events::with_capacity(2 * self.pairs.len());
        self.poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let Token(end) = event.token();
            let pair = &mut self.pairs[end / 2];
            match end % 2 {
                0 => pair.sender.read(&mut self.scratch, |ack| {
                    ensure!(ack.get(ERRNO_AT) == Some(&b'0'), "refused: {}", String::from_utf8_lossy(ack));
                    Ok(())
                })?,
                _ => pair.receiver.read(&mut self.scratch, |_| Ok(()))?,
            }
            if let Some(window) = window {
                pair.refill(window, self.qos)?;
            }
        }
        Ok(())
    }
}

/// A frame of exactly [`FRAME_BYTES`], and where the counter in its mid stands.
fn template(pair: u32, to: u64, qos: u8) -> (Vec<u8>, usize) {
    let front = format!("{{\"msgid\":6,\"toid\":{to},\"qos\":{qos},\"mid\":\"{pair:08x}-0000-7000-8000-");
    let middle = format!("{}\",\"msg\":\"", "0".repeat(COUNTER_DIGITS));
    let padding = FRAME_BYTES - 4 - front.len() - middle.len() - 2;
    let json = format!("{front}{middle}{}\"}}", "x".repeat(padding));
    (frame(json.as_bytes()), 4 + front.len())
}

impl Pair {
    fn done(&self, qos: u8) -> u64 {
        if qos == 0 { self.receiver.frames } else { self.sender.frames.min(self.receiver.frames) }
    }

    fn is_drained(&self) -> bool {
        self.sender.frames == self.sent && self.receiver.frames == self.sent
    }

    fn refill(&mut self, window: u64, qos: u8) -> Result<()> {
        let mut batch = Vec::new();
        while self.sent < self.done(qos) + window {
            self.sent += 1;
            let digits = format!("{:0width$x}", self.sent, width = COUNTER_DIGITS);
            self.frame[self.counter_at..self.counter_at + COUNTER_DIGITS].copy_from_slice(digits.as_bytes());
            batch.extend_from_slice(&self.frame);
        }
        if batch.is_empty() {
            return Ok(());
        }
        // A window is far smaller than the socket's buffer.
        let written = self.sender.socket.write(&batch)?;
        ensure!(written == batch.len(), "the socket took only {written} of {} bytes", batch.len());
        Ok(())
    }
}

impl End {
    fn new(client: Client, poll: &Poll, token: u32) -> Result<End> {
        client.socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(client.socket);
        poll.registry().register(&mut socket, Token(token as usize), Interest::READABLE)?;
        Ok(End { socket, partial: Vec::new(), frames: 0 })
    }

    /// Reads until there is no more, and shows each frame to `look`.
    fn read(&mut self, scratch: &mut [u8], mut look: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            let bytes = match self.socket.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("reading from the server"),
            };
            if self.partial.is_empty() {
                let rest = self.count(&scratch[..bytes], &mut look)?;
                self.partial.extend_from_slice(&scratch[rest..bytes]);
            } else {
                let mut joined = std::mem::take(&mut self.partial);
                joined.extend_from_slice(&scratch[..bytes]);
                let rest = self.count(&joined, &mut look)?;
                self.partial.extend_from_slice(&joined[rest..]);
            }
            // What does not fill the buffer was all there is, and the next arrival makes a new event.
            if bytes < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Counts the whole frames; returns where they end.
    fn count(&mut self, bytes: &[u8], look: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let mut at = 0;
        while let Some(header) = bytes[at..].first_chunk::<4>() {
            let end = at + 4 + u32::from_be_bytes(*header) as usize;
            let Some(frame) = bytes.get(at..end) else { break };
            look(frame)?;
            self.frames += 1;
            at = end;
        }
        Ok(at)
    }
}
