//! What a classic client says and reads, in either dialect.

use chat_client::Error;
use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::framing::{bare, checked};
use serde_json::{Value, json};

/// More than any node says at once to somebody in a simulation.
const MAX_BYTES: usize = 1 << 20;
const TIME: &str = "2026-01-02 03:04:05";
const LOGIN_ACK: u64 = 2;
const ONE_CHAT: u64 = 6;
const DONE_CHECKED: u64 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Bare,
    Checked,
}

/// A line of chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub from: UserId,
    pub text: String,
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// With what waited.
    LoggedIn(Vec<Line>),
    LoginRefused,
    Chat(Line),
    Other,
}

impl Wire {
    pub fn log_in(self, user: UserId, password: &str) -> Vec<u8> {
        self.enclose(1, json!({"id": user, "password": password}))
    }

    pub fn log_out(self, user: UserId) -> Vec<u8> {
        self.enclose(3, json!({"id": user}))
    }

    pub fn chat(self, (user, name): (UserId, &str), to: Target, text: &str) -> Vec<u8> {
        let mut said = json!({"id": user, "name": name, "msg": text, "time": TIME});
        let number = match to {
            Target::User(friend) => {
                said["toid"] = friend.into();
                ONE_CHAT
            }
            Target::Group(group) => {
                said["groupid"] = group.into();
                self.group_chat()
            }
        };
        self.enclose(number, said)
    }

    pub fn join(self, user: UserId, group: GroupId) -> Vec<u8> {
        let number = if self == Wire::Bare { 9 } else { 11 };
        self.enclose(number, json!({"id": user, "groupid": group}))
    }

    pub fn befriend(self, user: UserId, friend: UserId) -> Vec<u8> {
        let number = if self == Wire::Bare { 7 } else { 9 };
        self.enclose(number, json!({"id": user, "friendid": friend}))
    }

    fn group_chat(self) -> u64 {
        if self == Wire::Bare { 10 } else { 8 }
    }

    fn number(self) -> &'static str {
        if self == Wire::Bare { "msgid" } else { "msgType" }
    }

    fn enclose(self, number: u64, mut said: Value) -> Vec<u8> {
        said[self.number()] = number.into();
        let text = said.to_string();
        let mut bytes = Vec::new();
        match self {
            Wire::Bare => bytes.extend_from_slice(text.as_bytes()),
            Wire::Checked => checked::enclose(&mut bytes, |out: &mut Vec<u8>| out.extend_from_slice(text.as_bytes())),
        }
        bytes
    }

    fn understand(self, said: &Value) -> Said {
        let number = said[self.number()].as_u64();
        if number == Some(LOGIN_ACK) {
            let (is_done, waiting) = match self {
                Wire::Bare => (said["errno"] == 0, &said["offlinemsg"]),
                Wire::Checked => (said["code"] == DONE_CHECKED, &said["offlinemessage"]),
            };
            let waiting = waiting.as_array().into_iter().flatten().filter_map(Value::as_str);
            let waiting = waiting.filter_map(|text| serde_json::from_str(text).ok()).map(|line: Value| line_of(&line));
            return if is_done { Said::LoggedIn(waiting.collect()) } else { Said::LoginRefused };
        }
        let is_chat = [ONE_CHAT, self.group_chat()].into_iter().any(|chat| number == Some(chat));
        if is_chat { Said::Chat(line_of(said)) } else { Said::Other }
    }
}

fn line_of(said: &Value) -> Line {
    Line { from: said["id"].as_u64().unwrap_or_default(), text: said["msg"].as_str().unwrap_or_default().into() }
}

/// Makes objects of the bytes that come.
pub struct Reader {
    wire: Wire,
    bytes: Vec<u8>,
    scan: bare::Scan,
}

impl Reader {
    pub fn new(wire: Wire) -> Self {
        Reader { wire, bytes: Vec::new(), scan: bare::Scan::default() }
    }

    /// Whatever these bytes complete.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Said>, Error> {
        self.bytes.extend_from_slice(bytes);
        let mut all = Vec::new();
        loop {
            let cut = match self.wire {
                Wire::Bare => {
                    self.bytes.drain(..self.scan.separators(&self.bytes));
                    self.scan.cut(&self.bytes, MAX_BYTES)
                }
                Wire::Checked => checked::cut(&self.bytes, MAX_BYTES),
            };
            let Some(cut) = cut.map_err(|error| Error::Protocol(error.to_string()))? else { return Ok(all) };
            let said = serde_json::from_slice(&self.bytes[cut.payload]);
            all.push(self.wire.understand(&said.map_err(|error| Error::Protocol(error.to_string()))?));
            self.bytes.drain(..cut.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_understood_however_it_is_cut() {
        for wire in [Wire::Bare, Wire::Checked] {
            let chat = wire.chat((3, "alice"), Target::Group(5), "hello");
            let bytes = [chat.clone(), chat].concat();
            let mut reader = Reader::new(wire);
            let (first, rest) = bytes.split_at(bytes.len() / 2 + 3);
            let said = [reader.take(first).expect("lawful"), reader.take(rest).expect("lawful")].concat();
            let line = Said::Chat(Line { from: 3, text: "hello".into() });
            assert_eq!(said, [line.clone(), line]);
        }
    }

    #[test]
    fn what_waited_comes_with_the_login() {
        let mut reader = Reader::new(Wire::Bare);
        let ack = br#"{"msgid":2,"errno":0,"id":3,"offlinemsg":["{\"msgid\":6,\"id\":17,\"msg\":\"x\"}"]}"#;
        let waiting = vec![Line { from: 17, text: "x".into() }];
        assert_eq!(reader.take(ack).expect("lawful"), [Said::LoggedIn(waiting)]);
        assert_eq!(reader.take(b"\0{\"msgid\":2,\"errno\":1}").expect("lawful"), [Said::LoginRefused]);
    }
}
