//! Clients of the framed dialect, in the thread of their node.

use anyhow::{Context, Result, ensure};
use chat::net::entrance::Channel;
use chat_protocol::MAX_NODE_FRAME_BYTES;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;
use uuid::Uuid;

/// Bytes under way in one direction; beyond it the writer waits.
const WIRE_BYTES: usize = 1_024 * 1_024;
/// In the runtime's paused time, of which an answer takes some milliseconds; what takes longer has failed.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const PASSWORD: &str = "correct horse";
const PUSH_MSGIDS: [u64; 2] = [6, 10];

/// The node's end of a connection.
pub struct Wire(DuplexStream);

/// A client's end, and whose it is once it has logged in.
pub struct Person {
    wire: DuplexStream,
    pub id: u64,
    pub token: String,
    pushed: VecDeque<Value>,
}

impl Wire {
    pub fn pair() -> (Wire, Person) {
        let (node, wire) = duplex(WIRE_BYTES);
        (Wire(node), Person { wire, id: 0, token: String::new(), pushed: VecDeque::new() })
    }
}

impl Person {
    pub async fn send(&mut self, request: &Value) -> Result<()> {
        Ok(self.wire.write_all(&frame(request)).await?)
    }

    /// Waits for the reply, which must say that it was done.
    pub async fn ask(&mut self, mut request: Value) -> Result<Value> {
        request["mid"] = Uuid::now_v7().to_string().into();
        self.send(&request).await?;
        let reply = self.reply().await?;
        ensure!(reply["mid"] == request["mid"], "{request} was answered with {reply}");
        Ok(reply)
    }

    /// The next reply, which must say that its request was done.
    pub async fn reply(&mut self) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            if frame.get("errno").is_none() {
                self.pushed.push_back(frame);
                continue;
            }
            ensure!(frame["errno"] == 0, "refused: {frame}");
            return Ok(frame);
        }
    }

    /// The next message.
    pub async fn push(&mut self) -> Result<Value> {
        loop {
            let frame = match self.pushed.pop_front() {
                Some(frame) => frame,
                None => self.frame().await?,
            };
            if frame.get("errno").is_none() && frame["msgid"].as_u64().is_some_and(|id| PUSH_MSGIDS.contains(&id)) {
                return Ok(frame);
            }
        }
    }

    async fn frame(&mut self) -> Result<Value> {
        let frame = timeout(ANSWERED_WITHIN, self.read_frame()).await;
        frame.with_context(|| format!("no frame within {ANSWERED_WITHIN:?}"))?
    }

    async fn read_frame(&mut self) -> Result<Value> {
        let length = self.wire.read_u32().await? as usize;
        ensure!(length <= MAX_NODE_FRAME_BYTES, "a frame of {length} bytes, above {MAX_NODE_FRAME_BYTES}");
        let mut bytes = vec![0; length];
        self.wire.read_exact(&mut bytes).await?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    pub async fn register(&mut self, name: &str) -> Result<()> {
        self.ask(json!({"msgid": 4, "name": name, "password": PASSWORD})).await.map(|_| ())
    }

    pub async fn log_in(&mut self, name: &str) -> Result<()> {
        self.log_in_with(json!({"msgid": 1, "name": name, "password": PASSWORD, "caps": ["events"]})).await
    }

    pub async fn log_in_by_token(&mut self, name: &str, token: &str) -> Result<()> {
        self.log_in_with(json!({"msgid": 1, "name": name, "token": token, "caps": ["events"]})).await
    }

    async fn log_in_with(&mut self, request: Value) -> Result<()> {
        let ack = self.ask(request).await?;
        self.id = ack["id"].as_u64().context("LOGIN_ACK has no id")?;
        self.token = ack["token"].as_str().context("LOGIN_ACK has no token")?.to_owned();
        Ok(())
    }

    pub async fn log_out(&mut self) -> Result<()> {
        self.ask(json!({"msgid": 3})).await.map(|_| ())
    }

    /// Sends so many messages to a friend in one write, without waiting.
    pub async fn say(&mut self, friend: u64, qos: u8, messages: usize) -> Result<()> {
        let message =
            |mid: Uuid| json!({"msgid": 6, "toid": friend, "msg": "hello", "qos": qos, "mid": mid.to_string()});
        let frames: Vec<u8> = (0..messages).flat_map(|_| frame(&message(Uuid::now_v7()))).collect();
        Ok(self.wire.write_all(&frames).await?)
    }

    /// Says that all of a message's conversation up to it is there.
    pub async fn has(&mut self, message: &Value) -> Result<()> {
        self.send(&json!({"msgid": 16, "conv": message["conv"], "seq": message["seq"]})).await
    }
}

fn frame(request: &Value) -> Vec<u8> {
    let json = request.to_string();
    [&(json.len() as u32).to_be_bytes()[..], json.as_bytes()].concat()
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Channel for Wire {
    fn unacknowledged(&self) -> Option<u64> {
        Some(0)
    }

    fn failure(&self) -> Option<io::Error> {
        None
    }
}
