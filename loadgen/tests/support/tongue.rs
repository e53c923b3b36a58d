//! What a test server speaks, written down by hand: not one line of it comes from the profiles that it is to prove.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    Bare,
    /// Ends with a NUL.
    Nul,
    LengthBig,
    LengthLittle,
}

/// A server's language. Numbers: login, its answer, logout, register, its answer, chat, add friend, create group, join
/// group, group chat.
#[derive(Clone, Debug)]
pub struct Tongue {
    pub frame: Frame,
    pub key: &'static str,
    pub numbers: [u64; 10],
    pub from: &'static str,
    pub to: &'static str,
    pub friend: &'static str,
    pub group: &'static str,
    pub group_name: &'static str,
    pub password: &'static str,
    pub result: &'static str,
    pub done: Value,
    pub refused: Value,
    pub lists_of_strings: bool,
    /// Users log in by name.
    pub by_name: bool,
}

impl Tongue {
    /// As in the course.
    pub fn course() -> Tongue {
        Tongue {
            frame: Frame::Bare,
            key: "msgid",
            numbers: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            from: "id",
            to: "toid",
            friend: "friendid",
            group: "groupid",
            group_name: "groupname",
            password: "password",
            result: "errno",
            done: json!(0),
            refused: json!(1),
            lists_of_strings: true,
            by_name: false,
        }
    }

    pub fn logout_last() -> Tongue {
        Tongue { numbers: [1, 2, 10, 3, 4, 5, 6, 7, 8, 9], frame: Frame::Nul, ..Tongue::course() }
    }

    pub fn register_second() -> Tongue {
        Tongue { numbers: [1, 4, 10, 2, 3, 5, 6, 7, 8, 9], ..Tongue::course() }
    }

    /// This language with `to` for `toid`.
    pub fn with_to(self) -> Tongue {
        Tongue { to: "to", ..self }
    }

    pub fn camel() -> Tongue {
        let (key, friend, group, group_name) = ("msgId", "friendId", "groupId", "groupName");
        Tongue { key, friend, group, group_name, ..Tongue::course().with_to() }
    }

    pub fn camel_logout_last() -> Tongue {
        Tongue { numbers: Tongue::logout_last().numbers, ..Tongue::camel() }
    }

    /// As different from the course as the family gets; [`Tongue::FAR`] describes it.
    pub fn far() -> Tongue {
        Tongue {
            frame: Frame::LengthLittle,
            key: "msgType",
            numbers: [101, 102, 110, 103, 104, 105, 106, 107, 108, 109],
            from: "from",
            to: "to",
            password: "pwd",
            result: "code",
            done: json!("ok"),
            refused: json!("bad"),
            lists_of_strings: false,
            by_name: true,
            ..Tongue::course()
        }
    }

    pub const FAR: &str = r#"
        framing = "length_little"
        type_key = "msgType"
        done = "ok"
        lists = "objects"
        login_by = "name"
        [types]
        login = 101
        login_ack = 102
        logout = 110
        register = 103
        register_ack = 104
        chat = 105
        add_friend = 106
        create_group = 107
        join_group = 108
        group_chat = 109
        [fields]
        from = "from"
        to = "to"
        password = "pwd"
        result = "code"
    "#;

    /// The bytes of one message.
    pub fn encode(&self, message: &Value) -> Vec<u8> {
        let text = message.to_string().into_bytes();
        let length = text.len() as u32;
        match self.frame {
            Frame::Bare => text,
            Frame::Nul => [text, vec![0]].concat(),
            Frame::LengthBig => [length.to_be_bytes().to_vec(), text].concat(),
            Frame::LengthLittle => [length.to_le_bytes().to_vec(), text].concat(),
        }
    }

    /// Takes the whole messages off the front of `bytes`.
    pub fn decode(&self, bytes: &mut Vec<u8>) -> Vec<Value> {
        match self.frame {
            Frame::Bare | Frame::Nul => self.decode_bare(bytes),
            Frame::LengthBig => decode_lengths(bytes, u32::from_be_bytes),
            Frame::LengthLittle => decode_lengths(bytes, u32::from_le_bytes),
        }
    }

    fn decode_bare(&self, bytes: &mut Vec<u8>) -> Vec<Value> {
        bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        let mut messages = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
        let whole: Vec<Value> = messages.by_ref().map_while(Result::ok).collect();
        let end = messages.byte_offset();
        bytes.drain(..end);
        whole
    }

    /// The entry of a list.
    pub fn entry(&self, value: Value) -> Value {
        if self.lists_of_strings { Value::String(value.to_string()) } else { value }
    }
}

fn decode_lengths(bytes: &mut Vec<u8>, length: fn([u8; 4]) -> u32) -> Vec<Value> {
    let mut whole = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<4>() {
        let end = length(*header) as usize;
        let Some(payload) = rest.get(..end) else { break };
        whole.push(serde_json::from_slice(payload).expect("a client of ours writes JSON"));
        bytes.drain(..4 + end);
    }
    whole
}
