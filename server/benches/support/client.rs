//! A blocking client of the framed dialect, for preparing accounts.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub const PASSWORD: &str = "correct horse";

pub struct Client {
    pub socket: TcpStream,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Client> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Client { socket })
    }

    /// Sends a request and waits for its reply, which must say that it was done.
    pub fn ask(&mut self, request: &Value) -> Result<Value> {
        self.socket.write_all(&frame(request.to_string().as_bytes()))?;
        let mut header = [0; 4];
        self.socket.read_exact(&mut header)?;
        let mut reply = vec![0; u32::from_be_bytes(header) as usize];
        self.socket.read_exact(&mut reply)?;
        let reply: Value = serde_json::from_slice(&reply)?;
        ensure!(reply["errno"] == 0, "{request} was answered with {reply}");
        Ok(reply)
    }

    /// Makes an account; returns its id.
    pub fn register(&mut self, name: &str) -> Result<u64> {
        let reply = self.ask(&json!({"msgid": 4, "name": name, "password": PASSWORD}))?;
        Ok(reply["id"].as_u64().unwrap_or_default())
    }

    /// Logs in by password; returns LOGIN_ACK.
    pub fn log_in(&mut self, id: u64) -> Result<Value> {
        self.ask(&json!({"msgid": 1, "id": id, "password": PASSWORD}))
    }
}

/// `json` with its length in front.
pub fn frame(json: &[u8]) -> Vec<u8> {
    let mut frame = (json.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(json);
    frame
}
