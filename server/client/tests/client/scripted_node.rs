//! A node that does as the test says: it speaks frames of JSON, and nothing happens by itself.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// The longest a test waits for something that must come; failing is all that it bounds.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

pub struct ScriptedNode {
    listener: TcpListener,
}

impl ScriptedNode {
    pub async fn start() -> Self {
        ScriptedNode::at("127.0.0.1:0").await
    }

    pub async fn at(address: &str) -> Self {
        ScriptedNode { listener: TcpListener::bind(address).await.expect("a free port") }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().expect("it is bound").to_string()
    }

    pub async fn accept(&self) -> Peer {
        let (stream, _) = within("a connection", self.listener.accept()).await.expect("accept");
        Peer { frames: Framed::new(stream, LengthDelimitedCodec::new()) }
    }

    /// Accepts a connection and lets `id` log in on it; returns LOGIN as well.
    pub async fn accept_login(&self, id: u64, name: &str) -> (Peer, Value) {
        let mut peer = self.accept().await;
        let login = peer.expect(1).await;
        peer.reply(&login, login_ack(id, name)).await;
        (peer, login)
    }
}

pub fn login_ack(id: u64, name: &str) -> Value {
    json!({"msgid": 2, "errno": 0, "id": id, "name": name, "token": format!("token of {name}"), "node": "n1",
        "version": 1, "server": "scripted 1", "time": 1_700_000_000_000u64, "heartbeat_s": 30,
        "friends": [{"id": 2, "name": "bob", "state": "online"}],
        "groups": [{"id": 5, "groupname": "tea", "groupdesc": "", "users": [
            {"id": id, "name": name, "state": "online", "role": "creator"},
            {"id": 2, "name": "bob", "state": "online", "role": "normal"}]}],
        "offline": 0, "caps": ["events"], "max_frame_bytes": 65_536})
}

/// A push to user 1 from user 2.
pub fn push(seq: u64, msg: &str) -> Value {
    json!({"msgid": 6, "conv": "d1-2", "seq": seq, "id": 2, "name": "bob", "toid": 1, "msg": msg,
        "time": 1_700_000_000_000u64 + seq, "mid": "01890a5d-ac96-774b-bcce-b302099a8057"})
}

pub struct Peer {
    frames: Framed<TcpStream, LengthDelimitedCodec>,
}

impl Peer {
    /// The client's next frame; `None` at its end of file.
    pub async fn next(&mut self) -> Option<Value> {
        let frame = within("a frame", self.frames.next()).await?.expect("a frame");
        Some(serde_json::from_slice(&frame).expect("JSON"))
    }

    /// The client's next frame, which must have this msgid.
    pub async fn expect(&mut self, msgid: u64) -> Value {
        let frame = self.next().await.unwrap_or_else(|| panic!("end of file instead of msgid {msgid}"));
        assert_eq!(frame["msgid"], msgid, "{frame}");
        frame
    }

    pub async fn send(&mut self, frame: Value) {
        self.send_bytes(frame.to_string().as_bytes()).await;
    }

    /// Sends a frame with this body, whatever it is.
    pub async fn send_bytes(&mut self, body: &[u8]) {
        self.frames.send(bytes::Bytes::copy_from_slice(body)).await.expect("the client is there");
    }

    /// Answers a request: `reply` under the request's mid.
    pub async fn reply(&mut self, request: &Value, mut reply: Value) {
        reply["mid"] = request["mid"].clone();
        self.send(reply).await;
    }

    pub async fn ack(&mut self, chat: &Value, seq: u64) {
        self.reply(chat, json!({"msgid": 12, "errno": 0, "conv": "d1-2", "seq": seq, "time": 7})).await;
    }

    pub async fn refuse(&mut self, request: &Value, msgid: u64, errno: u64, retry_ms: Option<u64>) {
        let mut reply = json!({"msgid": msgid, "errno": errno, "errmsg": "no"});
        if let Some(wait) = retry_ms {
            reply["retry_ms"] = json!(wait);
        }
        self.reply(request, reply).await;
    }

    /// The socket itself, for bytes that are no frames.
    pub fn into_stream(self) -> TcpStream {
        self.frames.into_inner()
    }
}
