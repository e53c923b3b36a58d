//! A connection without manners: sends any bytes, reads whole frames, says when the node closed.
//!
//! For tests, for work on bad input, and as the client's own way of logging in before its task takes the stream over.

use super::error::{Error, Why};
use super::options::Options;
use super::stream::Stream;
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::framing::Cut;
use chat_protocol::framing::length::{self, Order};
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// Bytes asked for in one read.
const READ_BYTES: usize = 4_096;

/// Finds a node's frame at the front of `bytes`; `None`: not complete yet. Errors: a text, where the length cannot be
/// that of a node's frame.
pub(super) fn cut(bytes: &[u8]) -> Result<Option<Cut>, String> {
    length::cut(bytes, Order::Big, MAX_NODE_FRAME_BYTES).map_err(|error| {
        let length = error.announced_bytes().unwrap_or_default();
        format!("a frame of {length} bytes, from 1 to {MAX_NODE_FRAME_BYTES} are possible")
    })
}

/// Appends one frame holding `body` as JSON to `out`.
pub fn append_frame<T: Serialize>(body: &T, out: &mut Vec<u8>) {
    length::enclose(out, Order::Big, |out| {
        serde_json::to_writer(out, body).expect("writing JSON with text keys to memory cannot fail");
    });
}

/// One connection that speaks frames on request only.
pub struct RawConnection {
    pub(super) stream: Stream,
    /// Received and not yet returned; its memory is given back when empty.
    pub(super) partial: Vec<u8>,
    timeout: Duration,
}

impl RawConnection {
    /// Connects to the first of the addresses that answers. Credentials and reconnecting are not for this type;
    /// `request_timeout` bounds every read.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let mut last = Error::Disconnected(Why::GaveUp);
        for place in 0..options.addresses.len() {
            match Self::connect_to(options, options.first_address + place).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) async fn connect_to(options: &Options, place: usize) -> Result<Self, Error> {
        let address = options.address(place).ok_or(Error::Disconnected(Why::GaveUp))?;
        let stream = Stream::connect(address, options).await?;
        Ok(RawConnection { stream, partial: Vec::new(), timeout: options.request_timeout })
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.timeout, sending).await {
            Ok(result) => result.map_err(|error| Error::Disconnected(error.into())),
            Err(_) => Err(Error::TimedOut),
        }
    }

    /// Sends one frame holding `value`.
    pub async fn send(&mut self, value: &Value) -> Result<(), Error> {
        let mut frame = Vec::new();
        append_frame(value, &mut frame);
        self.send_bytes(&frame).await
    }

    /// The bytes of the next frame, without its length. Errors: [`Why::Closed`] at end of file.
    pub async fn next_frame(&mut self) -> Result<Vec<u8>, Error> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(Cut { payload, end }) = cut(&self.partial).map_err(Error::Protocol)? {
                let frame = self.partial[payload].to_vec();
                self.partial.drain(..end);
                if self.partial.is_empty() {
                    self.partial = Vec::new();
                }
                return Ok(frame);
            }
            self.partial.reserve(READ_BYTES);
            match timeout_at(deadline, self.stream.read_buf(&mut self.partial)).await {
                Err(_) => return Err(Error::TimedOut),
                Ok(Ok(0)) => return Err(Error::Disconnected(Why::Closed)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Error::Disconnected(error.into())),
            }
        }
    }

    /// The next frame as JSON.
    pub async fn next(&mut self) -> Result<Value, Error> {
        let frame = self.next_frame().await?;
        serde_json::from_slice(&frame).map_err(|error| Error::Protocol(error.to_string()))
    }

    /// Whatever bytes come next, for dialects without these frames; empty at end of file.
    pub async fn next_bytes(&mut self) -> Result<Vec<u8>, Error> {
        if self.partial.is_empty() {
            self.partial.reserve(READ_BYTES);
            match tokio::time::timeout(self.timeout, self.stream.read_buf(&mut self.partial)).await {
                Err(_) => return Err(Error::TimedOut),
                Ok(Err(error)) => return Err(Error::Disconnected(error.into())),
                Ok(Ok(_)) => {}
            }
        }
        Ok(std::mem::take(&mut self.partial))
    }

    /// Reads until the node closes (end of file or reset) and returns the frames that came before. Errors:
    /// [`Error::TimedOut`] if it does not close, with each frame given its own time.
    pub async fn expect_close(&mut self) -> Result<Vec<Value>, Error> {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Ok(frame) => frames.push(frame),
                Err(Error::Disconnected(_)) => return Ok(frames),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends this side's sending; the node can still be read.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.stream.shutdown().await.map_err(|error| Error::Disconnected(error.into()))
    }

    /// The address this side connects from.
    pub fn local_address(&self) -> Result<SocketAddr, Error> {
        self.stream.local_address().map_err(|error| Error::Disconnected(error.into()))
    }
}
