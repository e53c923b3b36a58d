//! One framed connection: asks, waits for the reply to that very request, and keeps what was pushed meanwhile.

use super::{BUDGET, PASSWORD, json, within};
use chat_client::{Error, Options, RawConnection};
use serde_json::Value;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use uuid::Uuid;

pub struct Peer {
    pub raw: RawConnection,
    /// As LOGIN_ACK said; 0 and empty before.
    pub id: u64,
    pub token: String,
    /// Messages that came while a reply was waited for.
    pub pushed: VecDeque<Value>,
    events: VecDeque<Value>,
}

/// A `mid` that nobody used before.
pub fn fresh_mid() -> String {
    Uuid::now_v7().to_string()
}

/// Waits as a refusal with `retry_ms` says, like a client that keeps to the contract; returns how long, in ms.
pub async fn wait_as_told(refusal: &Value) -> u64 {
    let retry_ms = refusal["retry_ms"].as_u64().expect("when to come back");
    tokio::time::sleep(Duration::from_millis(retry_ms)).await;
    retry_ms
}

/// The texts of messages.
pub fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["msg"].as_str().expect("a text")).collect()
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Peer {
        Peer::connect_with(&options(address)).await
    }

    pub async fn connect_with(options: &Options) -> Peer {
        Peer::over(RawConnection::connect(options).await.expect("a connection"))
    }

    pub fn over(raw: RawConnection) -> Peer {
        Peer { raw, id: 0, token: String::new(), pushed: VecDeque::new(), events: VecDeque::new() }
    }

    /// A new account with [`PASSWORD`], logged in at this address.
    pub async fn new_user(address: SocketAddr, name: &str) -> Peer {
        let mut peer = Peer::connect(address).await;
        peer.done(json!({"msgid": 4, "name": name, "password": PASSWORD})).await;
        peer.login(name).await;
        peer
    }

    /// Logs in with [`PASSWORD`]; returns LOGIN_ACK.
    pub async fn login(&mut self, name: &str) -> Value {
        self.login_with(json!({"name": name, "password": PASSWORD})).await
    }

    /// Logs in, closing a session elsewhere.
    pub async fn take_over(&mut self, name: &str) -> Value {
        self.login_with(json!({"name": name, "password": PASSWORD, "takeover": true})).await
    }

    /// Logs in as a client that wants EVENTs.
    pub async fn login_for_events(&mut self, name: &str) -> Value {
        self.login_with(json!({"name": name, "password": PASSWORD, "caps": ["events"]})).await
    }

    pub async fn login_with(&mut self, fields: Value) -> Value {
        let ack = self.done(with_msgid(fields, 1)).await;
        self.id = ack["id"].as_u64().expect("an id");
        self.token = ack["token"].as_str().expect("a token").to_owned();
        ack
    }

    /// Sends a request as it is.
    pub async fn send(&mut self, request: Value) {
        self.raw.send(&request).await.expect("the node reads");
    }

    /// Sends a request, under a fresh `mid` if it has none, and returns its reply.
    pub async fn ask(&mut self, mut request: Value) -> Value {
        let fields = request.as_object_mut().expect("an object");
        let mid = fields.entry("mid").or_insert_with(|| fresh_mid().into()).clone();
        self.send(request).await;
        self.reply(&mid).await
    }

    /// The reply that carries this `mid`.
    pub async fn reply(&mut self, mid: &Value) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["msgid"] == 21 {
                panic!("closed while waiting for a reply: {frame}");
            }
            if frame.get("errno").is_some() && frame["mid"] == *mid {
                return frame;
            }
            self.keep(frame);
        }
    }

    /// Asks, and is not refused.
    pub async fn done(&mut self, request: Value) -> Value {
        let reply = self.ask(request.clone()).await;
        assert_eq!(reply["errno"], 0, "{request} -> {reply}");
        reply
    }

    /// Asks, and is refused with this errno in the request's own ACK.
    pub async fn refused(&mut self, request: Value, errno: u8) -> Value {
        let reply = self.ask(request.clone()).await;
        assert_eq!(reply["errno"], errno, "{request} -> {reply}");
        assert!(reply["errmsg"].is_string(), "{reply}");
        reply
    }

    /// Sends a message to a friend; returns CHAT_ACK.
    pub async fn tell(&mut self, friend: u64, text: &str) -> Value {
        self.done(json!({"msgid": 6, "toid": friend, "msg": text})).await
    }

    /// Sends a message to a group; returns CHAT_ACK.
    pub async fn tell_group(&mut self, group: u64, text: &str) -> Value {
        self.done(json!({"msgid": 10, "groupid": group, "msg": text})).await
    }

    pub async fn befriend(&mut self, friend: u64) {
        self.done(json!({"msgid": 7, "friendid": friend})).await;
    }

    pub async fn create_group(&mut self, name: &str) -> u64 {
        let ack = self.done(json!({"msgid": 8, "groupname": name, "groupdesc": ""})).await;
        ack["groupid"].as_u64().expect("an id")
    }

    pub async fn join(&mut self, group: u64) {
        self.done(json!({"msgid": 9, "groupid": group})).await;
    }

    /// The next message, whenever it came.
    pub async fn push(&mut self) -> Value {
        while self.pushed.is_empty() {
            let frame = self.frame().await;
            assert!(frame["msgid"] != 21, "closed while waiting for a message: {frame}");
            self.keep(frame);
        }
        self.pushed.pop_front().expect("just seen")
    }

    pub async fn pushes(&mut self, count: usize) -> Vec<Value> {
        let mut pushes = Vec::with_capacity(count);
        while pushes.len() < count {
            pushes.push(self.push().await);
        }
        pushes
    }

    /// The next EVENT.
    pub async fn event(&mut self) -> Value {
        while self.events.is_empty() {
            let frame = self.frame().await;
            self.keep(frame);
        }
        self.events.pop_front().expect("just seen")
    }

    /// The next `count` pushes and gaps: the seq of a message; the first and the last seq of a gap, and its
    /// conversation.
    pub async fn pushes_and_gaps(&mut self, count: usize) -> Vec<Value> {
        let mut told = Vec::with_capacity(count);
        while told.len() < count {
            let frame = self.frame().await;
            match frame["msgid"].as_u64() {
                Some(6) => told.push(frame["seq"].clone()),
                Some(31) if frame["kind"] == "gap" => told.push(json!([frame["first"], frame["last"], frame["conv"]])),
                _ => {}
            }
        }
        told
    }

    /// What has been pushed by the time the node answers a PING.
    pub async fn pushed_by_now(&mut self) -> Vec<Value> {
        self.done(json!({"msgid": 19})).await;
        self.pushed.drain(..).collect()
    }

    /// Says that everything up to this message has been received.
    pub async fn received(&mut self, push: &Value) {
        self.send(json!({"msgid": 16, "conv": push["conv"], "seq": push["seq"]})).await;
    }

    /// The errno of the NOTICE after which the node closes.
    pub async fn notice(&mut self) -> Value {
        let frames = self.raw.expect_close().await.expect("the node closes");
        let last = frames.last().cloned().unwrap_or_default();
        assert_eq!(last["msgid"], 21, "{frames:?}");
        last["errno"].clone()
    }

    /// Logs out; the connection stays. Messages that nobody looked at are forgotten: they come again in the next
    /// session.
    pub async fn log_out(&mut self) {
        self.done(json!({"msgid": 3})).await;
        self.pushed.clear();
    }

    /// The next frame, whatever it is.
    pub async fn frame(&mut self) -> Value {
        match within("the node says something", self.raw.next()).await {
            Ok(frame) => frame,
            Err(error) => panic!("no frame: {error:?}"),
        }
    }

    /// The next frame, or how the connection ended.
    pub async fn try_frame(&mut self) -> Result<Value, Error> {
        self.raw.next().await
    }

    fn keep(&mut self, frame: Value) {
        match (frame["msgid"].as_u64(), frame.get("errno")) {
            (Some(6 | 10), None) => self.pushed.push_back(frame),
            (Some(31), _) => self.events.push_back(frame),
            _ => {}
        }
    }
}

fn with_msgid(mut fields: Value, msgid: u64) -> Value {
    fields["msgid"] = msgid.into();
    fields
}

/// How tests connect: patiently, and with nothing done behind their back.
pub fn options(address: SocketAddr) -> Options {
    let connect_timeout = Duration::from_secs(20);
    Options { request_timeout: BUDGET, connect_timeout, ..Options::new([address.to_string()]).without_reconnect() }
}
