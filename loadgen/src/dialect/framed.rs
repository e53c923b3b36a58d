//! The framed dialect: a 4-byte big-endian length and one JSON object.
//!
//! What is frequent is written by hand, and read in one go (`flat`), borrowing from the input.

use super::flat::Flat;
use super::{Ask, Chat, Frame, Incoming, Login, Push, Refusal, Welcome, Wire};
use chat_client::wire::{HEADER_BYTES, Request, append_frame};
use chat_protocol::MAX_NODE_FRAME_BYTES;
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;
use chat_protocol::message::{LoginAck, msgid};
use serde_json::json;
use std::borrow::Cow;
use std::ops::Range;
use uuid::Uuid;

/// The framed dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framed;

impl Wire for Framed {
    fn split(&self, bytes: &[u8]) -> Result<Option<(Range<usize>, usize)>, String> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length == 0 || length > MAX_NODE_FRAME_BYTES {
            return Err(format!("not this dialect: a frame of {length} bytes, begun with {header:02x?}"));
        }
        let end = HEADER_BYTES + length;
        Ok((rest.len() >= length).then_some((HEADER_BYTES..end, end)))
    }

    fn read<'a>(&self, payload: &'a [u8]) -> Result<Incoming<'a>, String> {
        let mut flat = Flat::default();
        flat.read(payload)?;
        match flat.msgid {
            msgid::ONE_CHAT | msgid::GROUP_CHAT if flat.msg.is_some() => flat.push().map(Incoming::Push),
            msgid::LOGIN_ACK if flat.errno == 0 => welcome(payload),
            msgid::LOGIN_ACK => Ok(Incoming::LoginRefused(flat.refusal())),
            msgid::PING => Ok(Incoming::Ping),
            msgid::NOTICE => Ok(Incoming::Notice(flat.refusal())),
            msgid::EVENT | msgid::PONG => Ok(Incoming::Other),
            msgid::CHAT_ACK => Ok(flat.settled()),
            _ => Ok(flat.answer()),
        }
    }

    fn login(&self, login: Login<'_>, out: &mut Vec<u8>) {
        let password = login.token.is_none().then_some(login.password);
        let name = login.id.is_none().then_some(login.name);
        let request = chat_client::wire::Login {
            id: login.id,
            name,
            password,
            token: login.token,
            takeover: login.takeover,
            v: 1,
            caps: &[],
        };
        Request::Login(request).encode(None, out);
    }

    fn chat(&self, chat: Chat<'_>, out: &mut Vec<u8>) {
        let (number, field, to) = match chat.to {
            Target::User(id) => (msgid::ONE_CHAT, r#""toid":"#, id),
            Target::Group(id) => (msgid::GROUP_CHAT, r#""groupid":"#, id),
        };
        let Chat { mid, text, qos, .. } = chat;
        let mut frame = Frame::begin(out);
        frame.json(r#"{"msgid":"#).number(number);
        frame.json(r#","mid":""#).mid(mid);
        frame.json(r#"","#).json(field).number(to);
        frame.json(r#","msg":""#).json(text);
        frame.json(r#"","qos":"#).number(qos.into());
        frame.json("}").end();
    }

    fn ask(&self, _id: u64, ask: Ask<'_>, mid: Uuid, out: &mut Vec<u8>) {
        let request = match ask {
            Ask::Register { name, password } => Request::Register { name, password },
            Ask::AddFriend { friend } => Request::AddFriend { friendid: friend },
            Ask::CreateGroup { name } => Request::CreateGroup { groupname: name, groupdesc: "" },
            Ask::JoinGroup { group } => Request::JoinGroup { groupid: group },
            Ask::Logout => Request::Logout { revoke: false },
        };
        request.encode(Some(mid), out);
    }

    fn received(&self, conv: &str, seq: u64, out: &mut Vec<u8>) {
        Request::Received { conv, seq }.encode(None, out);
    }

    fn pong(&self, out: &mut Vec<u8>) {
        append_frame(&json!({ "msgid": msgid::PONG }), out);
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

impl<'a> Flat<'a> {
    #[inline]
    fn mid(&self) -> Option<Uuid> {
        self.mid.as_ref().and_then(|text| Uuid::try_parse(&text.0).ok())
    }

    fn refusal(&self) -> Refusal {
        let known = Errno::from_code(self.errno);
        let own = self.errmsg.as_ref().map_or("", |text| &text.0);
        let text = if own.is_empty() { known.map_or("refused", Errno::text) } else { own };
        let retryable = known.is_some_and(Errno::is_retryable) || self.retry_ms.is_some();
        Refusal { code: self.errno, text: text.to_owned(), retry_ms: self.retry_ms, retryable }
    }

    #[inline]
    fn result(&self) -> Result<(), Refusal> {
        if self.errno == 0 { Ok(()) } else { Err(self.refusal()) }
    }

    #[inline]
    fn push(self) -> Result<Push<'a>, String> {
        let target = match (self.toid, self.groupid) {
            (Some(user), None) => Some(Target::User(user)),
            (None, Some(group)) => Some(Target::Group(group)),
            _ => None,
        };
        Ok(Push {
            from: self.id.ok_or("a chat message without id")?,
            target,
            text: self.msg.ok_or("a chat message without msg")?.0,
            conv: self.conv.map_or(Cow::Borrowed(""), |text| text.0),
            seq: self.seq.unwrap_or(0),
            time: self.time.unwrap_or(0),
            mid: self.mid.map(|text| text.0),
        })
    }

    #[inline]
    fn settled(self) -> Incoming<'a> {
        let (mid, result) = (self.mid(), self.result());
        let place = self.conv.zip(self.seq).map(|(conv, seq)| (conv.0, seq));
        Incoming::Settled { mid, place, result }
    }

    fn answer(self) -> Incoming<'a> {
        let made = match self.msgid {
            msgid::CREATE_GROUP_ACK | msgid::ADD_GROUP_ACK => self.groupid,
            _ => self.id,
        };
        Incoming::Answer { mid: self.mid(), result: self.result().map(|()| made.unwrap_or(0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
