//! The framed dialect: a 4-byte big-endian length and one JSON object.
//!
//! Frames are read in one go, borrowing from the input.

use super::{Ask, Chat, Incoming, Login, Push, Refusal, Welcome, Wire};
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::errno::Errno;
use chat_protocol::framing::Cut;
use chat_protocol::framing::length::{self, HEADER_BYTES, Order};
use chat_protocol::from_node::{Flat, Spoken};
use chat_protocol::message::{self, Command, LoginAck, Proof, Secret, Who, msgid, write_chat};
use std::borrow::Cow;
use std::ops::Range;
use uuid::Uuid;

/// The framed dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framed;

impl Wire for Framed {
    fn split(&self, bytes: &[u8]) -> Result<Option<(Range<usize>, usize)>, String> {
        let found = length::cut(bytes, Order::Big, MAX_NODE_FRAME_BYTES).map_err(|error| {
            let length = error.announced_bytes().unwrap_or_default();
            format!("not this dialect: a frame of {length} bytes, begun with {:02x?}", &bytes[..HEADER_BYTES])
        })?;
        Ok(found.map(|Cut { payload, end }| (payload, end)))
    }

    fn read<'a>(&self, payload: &'a [u8]) -> Result<Incoming<'a>, String> {
        let mut flat = Flat::default();
        flat.read(payload)?;
        match flat.kind() {
            Spoken::Push if flat.msg.is_some() => push(flat).map(Incoming::Push),
            Spoken::LoginAck if flat.errno == 0 => welcome(payload),
            Spoken::LoginAck => Ok(Incoming::LoginRefused(refusal(&flat))),
            Spoken::Ping => Ok(Incoming::Ping),
            Spoken::Notice => Ok(Incoming::Notice(refusal(&flat))),
            Spoken::Event => Ok(Incoming::Other),
            Spoken::ChatAck => Ok(settled(flat)),
            Spoken::Push | Spoken::Other => Ok(answer(&flat)),
        }
    }

    fn login(&self, login: Login<'_>, out: &mut Vec<u8>) {
        let who = login.id.map_or_else(|| Who::Name(login.name.into()), Who::Id);
        let proof = match login.token {
            Some(token) => Proof::Token(Secret(token.into())),
            None => Proof::Password(Secret(login.password.into())),
        };
        let takeover = login.takeover;
        let login = message::Login { who, proof, takeover, events: false, acknowledges: true };
        Command::Login(login).write(None, out);
    }

    fn chat(&self, chat: Chat<'_>, out: &mut Vec<u8>) {
        write_chat(chat.mid, chat.to, chat.text, chat.qos, out);
    }

    fn ask(&self, _id: u64, ask: Ask<'_>, mid: Uuid, out: &mut Vec<u8>) {
        let request = match ask {
            Ask::Register { name, password } => {
                Command::Register(message::Register { name: name.into(), password: Secret(password.into()) })
            }
            Ask::AddFriend { friend } => Command::AddFriend(message::AddFriend { friend: Who::Id(friend) }),
            Ask::CreateGroup { name } => {
                Command::CreateGroup(message::CreateGroup { groupname: name.into(), groupdesc: String::new() })
            }
            Ask::JoinGroup { group } => Command::JoinGroup(message::JoinGroup { groupid: group }),
            Ask::Logout => Command::Logout(message::Logout { revoke: false }),
        };
        request.write(Some(mid), out);
    }

    fn received(&self, conv: &str, seq: u64, out: &mut Vec<u8>) {
        Command::Received(message::Received { conv: conv.into(), seq }).write(None, out);
    }

    fn pong(&self, out: &mut Vec<u8>) {
        Command::Pong(message::Pong {}).write(None, out);
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn answers(&self, _ask: &Ask<'_>) -> bool {
        true
    }
}

fn welcome(payload: &[u8]) -> Result<Incoming<'_>, String> {
    let ack: LoginAck = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let groups = ack.roster.groups.into_iter().map(|group| (group.groupname, group.id)).collect();
    Ok(Incoming::Welcome(Box::new(Welcome {
        id: ack.id,
        token: Some(ack.token),
        node: Some(ack.node),
        waiting: ack.offline,
        time: ack.time,
        groups,
        messages: Vec::new(),
    })))
}

fn refusal(flat: &Flat<'_>) -> Refusal {
    let known = Errno::from_code(flat.errno);
    let own = flat.errmsg.as_ref().map_or("", |text| &text.0);
    let text = if own.is_empty() { known.map_or("refused", Errno::text) } else { own };
    let retryable = known.is_some_and(Errno::is_retryable) || flat.retry_ms.is_some();
    Refusal { code: flat.errno, text: text.to_owned(), retry_ms: flat.retry_ms, retryable }
}

#[inline]
fn result(flat: &Flat<'_>) -> Result<(), Refusal> {
    if flat.errno == 0 { Ok(()) } else { Err(refusal(flat)) }
}

#[inline]
fn push(flat: Flat<'_>) -> Result<Push<'_>, String> {
    Ok(Push {
        from: flat.id.ok_or("a chat message without id")?,
        target: flat.target(),
        text: flat.msg.ok_or("a chat message without msg")?.0,
        conv: flat.conv.map_or(Cow::Borrowed(""), |text| text.0),
        seq: flat.seq.unwrap_or(0),
        time: flat.time.unwrap_or(0),
        mid: flat.mid.map(|text| text.0),
    })
}

#[inline]
fn settled(flat: Flat<'_>) -> Incoming<'_> {
    let (mid, result) = (flat.mid(), result(&flat));
    let place = flat.conv.zip(flat.seq).map(|(conv, seq)| (conv.0, seq));
    Incoming::Settled { mid, place, result }
}

fn answer<'a>(flat: &Flat<'_>) -> Incoming<'a> {
    let made = match flat.msgid {
        msgid::PONG => return Incoming::Other,
        msgid::CREATE_GROUP_ACK | msgid::ADD_GROUP_ACK => flat.groupid,
        _ => flat.id,
    };
    Incoming::Answer { mid: flat.mid(), result: result(flat).map(|()| made.unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::conversation::Target;
    use serde_json::json;

    #[test]
    fn chat_is_one_frame_that_reads_back() {
        let mut out = Vec::new();
        let (mid, text) = (Uuid::from_u128(7), "hello there");
        Framed.chat(Chat { from: 1, from_name: "a", to: Target::Group(9), text, mid, qos: 1 }, &mut out);
        let (payload, end) = Framed.split(&out).expect("a frame").expect("a whole one");
        assert_eq!(end, out.len());
        let value: serde_json::Value = serde_json::from_slice(&out[payload]).expect("JSON");
        assert_eq!(value, json!({ "msgid": 10, "mid": mid, "groupid": 9, "msg": text, "qos": 1 }));
    }

    #[test]
    fn frames_of_a_node_are_told_apart() {
        let check = |text: &str, expected: fn(&Incoming<'_>) -> bool| {
            let read = Framed.read(text.as_bytes()).expect("a lawful frame");
            assert!(expected(&read), "{text}: {read:?}");
        };
        check(r#"{"msgid":19}"#, |read| *read == Incoming::Ping);
        check(r#"{"msgid":12,"errno":0,"conv":"g1","seq":4}"#, |read| {
            matches!(read, Incoming::Settled { result: Ok(()), .. })
        });
        check(r#"{"msgid":12,"errno":11,"retry_ms":50}"#, |read| {
            matches!(read, Incoming::Settled { result: Err(Refusal { retryable: true, retry_ms: Some(50), .. }), .. })
        });
        check(r#"{"msgid":14,"errno":0,"groupid":8}"#, |read| matches!(read, Incoming::Answer { result: Ok(8), .. }));
        check(r#"{"msgid":2,"errno":1}"#, |read| matches!(read, Incoming::LoginRefused(refusal) if refusal.code == 1));
        check(
            r#"{"msgid":6,"id":3,"toid":4,"msg":"x","conv":"d3-4","seq":2}"#,
            |read| matches!(read, Incoming::Push(push) if push.from == 3 && push.seq == 2),
        );
    }

    #[test]
    fn another_protocol_is_seen_at_the_first_bytes() {
        assert!(Framed.split(b"HTTP/1.1 400").is_err());
        assert!(Framed.split(b"\0\0\0\0").is_err());
        assert_eq!(Framed.split(b"\0\0"), Ok(None));
    }
}
