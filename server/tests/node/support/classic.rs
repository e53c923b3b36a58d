//! Clients of the two classic dialects, as simple as those that exist.

use super::peer::options;
use super::{PASSWORD, Value, json};
use chat_client::RawConnection;
use chat_protocol::murmur::checksum;
use std::net::SocketAddr;

/// Sends objects as they are; takes what ends with a NUL.
pub struct Bare {
    pub raw: RawConnection,
    input: Vec<u8>,
}

impl Bare {
    pub async fn connect(address: SocketAddr) -> Bare {
        let raw = RawConnection::connect(&options(address)).await.expect("a connection");
        Bare { raw, input: Vec::new() }
    }

    pub async fn send(&mut self, object: Value) {
        self.raw.send_bytes(object.to_string().as_bytes()).await.expect("the node reads");
    }

    /// Logs in by id; returns LOGIN_ACK.
    pub async fn login(&mut self, id: u64) -> Value {
        self.send(json!({"msgid": 1, "id": id, "password": PASSWORD})).await;
        let ack = self.next().await;
        assert_eq!((&ack["msgid"], &ack["errno"]), (&json!(2), &json!(0)), "{ack}");
        ack
    }

    /// The next object.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == 0) {
                let rest = self.input.split_off(end + 1);
                let object = std::mem::replace(&mut self.input, rest);
                return serde_json::from_slice(&object[..end]).expect("JSON before a NUL");
            }
            let bytes = self.raw.next_bytes().await.expect("the node says something");
            assert!(!bytes.is_empty(), "closed while waiting for an object");
            self.input.extend(bytes);
        }
    }
}

/// Sends and takes frames with a checksum.
pub struct Checked {
    pub raw: RawConnection,
    input: Vec<u8>,
}

/// A frame of the checked dialect around these bytes.
pub fn checked_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xFE, 0xFF];
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.extend(checksum(payload).to_be_bytes());
    frame
}

impl Checked {
    pub async fn connect(address: SocketAddr) -> Checked {
        let raw = RawConnection::connect(&options(address)).await.expect("a connection");
        Checked { raw, input: Vec::new() }
    }

    pub async fn send(&mut self, object: Value) {
        self.raw.send_bytes(&checked_frame(object.to_string().as_bytes())).await.expect("the node reads");
    }

    /// Logs in by id; returns the answer.
    pub async fn login(&mut self, id: u64) -> Value {
        self.send(json!({"msgType": 1, "id": id, "password": PASSWORD})).await;
        let ack = self.next().await;
        assert_eq!((&ack["msgType"], &ack["code"]), (&json!(2), &json!(200)), "{ack}");
        ack
    }

    /// The next object, its frame checked.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some(length) = self.input.get(2..6) {
                let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
                if self.input.len() >= 6 + length + 4 {
                    let rest = self.input.split_off(6 + length + 4);
                    let frame = std::mem::replace(&mut self.input, rest);
                    let payload = &frame[6..6 + length];
                    assert_eq!(frame, checked_frame(payload));
                    return serde_json::from_slice(payload).expect("JSON");
                }
            }
            let bytes = self.raw.next_bytes().await.expect("the node says something");
            assert!(!bytes.is_empty(), "closed while waiting for a frame");
            self.input.extend(bytes);
        }
    }
}

/// The JSON inside each string of a list.
pub fn unpack(list: &Value) -> Vec<Value> {
    let strings = list.as_array().expect("a list").iter();
    strings.map(|item| serde_json::from_str(item.as_str().expect("a string")).expect("JSON")).collect()
}
