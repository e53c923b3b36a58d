//! The framed dialect as a client sees it: requests to bytes, a node's frames to [`FromNode`].
//!
//! Parsing is bounded by the frame's length, fails with a text and never panics; unknown fields and msgids are ignored.
//! Payloads are the protocol's own structs. Framing itself is in `frames`.

use chat_protocol::conversation::{GroupId, Target, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{Event, Friend, LoginAck, Roster, TimeMs, msgid};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;
use uuid::Uuid;

/// The bytes of a frame's length.
pub const HEADER_BYTES: usize = 4;

/// What a client asks for; `None` is left out of the frame, so that the node's default holds.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Request<'a> {
    Login(Login<'a>),
    Logout { revoke: bool },
    Register { name: &'a str, password: &'a str },
    OneChat { toid: UserId, msg: &'a str, qos: u8 },
    GroupChat { groupid: GroupId, msg: &'a str, qos: u8 },
    AddFriend { friendid: UserId },
    RemoveFriend { friendid: UserId },
    CreateGroup { groupname: &'a str, groupdesc: &'a str },
    JoinGroup { groupid: GroupId },
    LeaveGroup { groupid: GroupId },
    Received { conv: &'a str, seq: u64 },
    History(History),
    Ping {},
    Pong {},
    Roster(RosterPage),
    ChangePassword { old: &'a str, new: &'a str },
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Login<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    pub takeover: bool,
    pub v: u32,
    pub caps: &'a [&'a str],
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toid: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groupid: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RosterPage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groupid: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    msgid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<Uuid>,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

impl<'a> Request<'a> {
    /// A chat message to a friend or a group.
    pub fn chat(to: Target, msg: &'a str, qos: u8) -> Self {
        match to {
            Target::User(toid) => Request::OneChat { toid, msg, qos },
            Target::Group(groupid) => Request::GroupChat { groupid, msg, qos },
        }
    }

    pub fn msgid(&self) -> u64 {
        match self {
            Request::Login(_) => msgid::LOGIN,
            Request::Logout { .. } => msgid::LOGOUT,
            Request::Register { .. } => msgid::REGISTER,
            Request::OneChat { .. } => msgid::ONE_CHAT,
            Request::GroupChat { .. } => msgid::GROUP_CHAT,
            Request::AddFriend { .. } => msgid::ADD_FRIEND,
            Request::RemoveFriend { .. } => msgid::REMOVE_FRIEND,
            Request::CreateGroup { .. } => msgid::CREATE_GROUP,
            Request::JoinGroup { .. } => msgid::ADD_GROUP,
            Request::LeaveGroup { .. } => msgid::LEAVE_GROUP,
            Request::Received { .. } => msgid::RECEIVED,
            Request::History(_) => msgid::HISTORY,
            Request::Ping {} => msgid::PING,
            Request::Pong {} => msgid::PONG,
            Request::Roster(_) => msgid::ROSTER,
            Request::ChangePassword { .. } => msgid::CHANGE_PASSWORD,
        }
    }

    /// Appends the whole frame, length included, to `out`.
    pub fn encode(&self, mid: Option<Uuid>, out: &mut Vec<u8>) {
        append_frame(&Envelope { msgid: self.msgid(), mid, request: self }, out);
    }
}

/// Appends one frame holding `body` as JSON to `out`.
pub fn append_frame<T: Serialize>(body: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    serde_json::to_writer(&mut *out, body).expect("writing JSON with text keys to memory cannot fail");
    let length = u32::try_from(out.len() - start - HEADER_BYTES).expect("what is sent fits in memory and in 4 GiB");
    out[start..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// One frame of a node.
#[derive(Debug, PartialEq)]
pub enum FromNode<'a> {
    Push(Push<'a>),
    Reply {
        mid: Option<Uuid>,
        result: Result<Reply, Failure>,
    },
    Ping,
    Notice(Failure),
    Event(Event),
    /// A msgid that this client does not know, to be ignored.
    Unknown(u64),
}

/// A chat message as pushed, and as listed by HISTORY_ACK.
#[derive(Debug, PartialEq)]
pub struct Push<'a> {
    /// Empty for a relayed message that has no place in a conversation.
    pub conv: Cow<'a, str>,
    /// 0 for a relayed message.
    pub seq: u64,
    pub id: UserId,
    pub name: String,
    pub target: Target,
    pub msg: String,
    pub time: TimeMs,
    pub mid: Option<Uuid>,
}

/// The body of a reply to a request that was done.
#[derive(Debug, PartialEq)]
pub enum Reply {
    Login(Box<LoginAck>),
    Logout,
    Register { id: UserId },
    Chat(Acknowledged),
    AddFriend(Friend),
    CreateGroup { groupid: GroupId },
    JoinGroup(JoinedGroup),
    History(HistoryPage),
    Pong { time: TimeMs },
    RemoveFriend,
    LeaveGroup,
    Roster(Box<Roster>),
    ChangePassword { token: String },
}

/// Where an accepted message stands; all absent where it was relayed, not stored (`qos` 0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub conv: Option<Box<str>>,
    pub seq: Option<u64>,
    pub time: Option<TimeMs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedGroup {
    pub groupid: GroupId,
    pub groupname: String,
    #[serde(default)]
    pub groupdesc: String,
}

/// HISTORY's answer before its messages are told whether they are one's own.
#[derive(Debug, PartialEq)]
pub struct HistoryPage {
    pub conv: String,
    pub messages: Vec<Push<'static>>,
    pub more: bool,
}

/// A newtype, since serde borrows in an `Option<Cow>` only behind one.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of everything frequent, so that it is parsed in one go.
#[derive(Deserialize)]
struct Flat<'a> {
    #[serde(default)]
    msgid: u64,
    #[serde(borrow)]
    mid: Option<Text<'a>>,
    #[serde(default)]
    errno: u64,
    #[serde(borrow)]
    errmsg: Option<Text<'a>>,
    retry_ms: Option<u64>,
    #[serde(borrow)]
    conv: Option<Text<'a>>,
    seq: Option<u64>,
    id: Option<u64>,
    name: Option<String>,
    toid: Option<u64>,
    groupid: Option<u64>,
    msg: Option<String>,
    time: Option<TimeMs>,
}

impl<'a> Flat<'a> {
    fn mid(&self) -> Option<Uuid> {
        self.mid.as_ref().and_then(|text| Uuid::try_parse(&text.0).ok())
    }

    /// The refusal that `errno` stands for. A code this client does not know keeps its words and counts as final.
    fn failure(&self) -> Failure {
        let known = Errno::from_code(self.errno);
        let text = match (&self.errmsg, known) {
            (Some(text), Some(_)) if !text.0.is_empty() => text.0.clone().into_owned(),
            (_, Some(errno)) => errno.text().to_owned(),
            (text, None) => format!("errno {}: {}", self.errno, text.as_ref().map_or("", |text| &text.0)),
        };
        let failure = Failure::new(known.unwrap_or(Errno::NotAllowed), text);
        match self.retry_ms {
            Some(wait) => failure.retry_after(Duration::from_millis(wait)),
            None => failure,
        }
    }

    fn push(self) -> Result<Push<'a>, String> {
        let mid = self.mid();
        let target = match (self.toid, self.groupid) {
            (Some(user), None) => Target::User(user),
            (None, Some(group)) => Target::Group(group),
            _ => return Err("a chat message needs either toid or groupid".into()),
        };
        Ok(Push {
            conv: self.conv.map_or(Cow::Borrowed(""), |text| text.0),
            seq: self.seq.unwrap_or(0),
            id: self.id.ok_or("a chat message without id")?,
            name: self.name.unwrap_or_default(),
            target,
            msg: self.msg.ok_or("a chat message without msg")?,
            time: self.time.unwrap_or(0),
            mid,
        })
    }

    fn reply(self, frame: &'a [u8]) -> Result<FromNode<'a>, String> {
        let mid = self.mid();
        if self.errno != 0 || self.msgid == msgid::ERROR {
            return Ok(FromNode::Reply { mid, result: Err(self.failure()) });
        }
        let reply = match self.msgid {
            msgid::CHAT_ACK => {
                Reply::Chat(Acknowledged { conv: self.conv.map(|text| text.0.into()), seq: self.seq, time: self.time })
            }
            msgid::PONG => Reply::Pong { time: self.time.unwrap_or(0) },
            msgid::LOGOUT_ACK => Reply::Logout,
            msgid::REMOVE_FRIEND_ACK => Reply::RemoveFriend,
            msgid::LEAVE_GROUP_ACK => Reply::LeaveGroup,
            msgid::REGISTER_ACK => Reply::Register { id: self.id.ok_or("REGISTER_ACK without id")? },
            msgid::CREATE_GROUP_ACK => {
                Reply::CreateGroup { groupid: self.groupid.ok_or("CREATE_GROUP_ACK without groupid")? }
            }
            msgid::LOGIN_ACK => Reply::Login(Box::new(body(frame)?)),
            msgid::ADD_FRIEND_ACK => Reply::AddFriend(body(frame)?),
            msgid::ADD_GROUP_ACK => Reply::JoinGroup(body(frame)?),
            msgid::HISTORY_ACK => Reply::History(body::<RawHistory>(frame)?.try_into()?),
            msgid::ROSTER_ACK => Reply::Roster(Box::new(body(frame)?)),
            msgid::CHANGE_PASSWORD_ACK => Reply::ChangePassword { token: body::<Token>(frame)?.token },
            other => return Ok(FromNode::Unknown(other)),
        };
        Ok(FromNode::Reply { mid, result: Ok(reply) })
    }
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct RawHistory<'a> {
    conv: String,
    #[serde(borrow)]
    messages: Vec<Flat<'a>>,
    #[serde(default)]
    more: bool,
}

impl TryFrom<RawHistory<'_>> for HistoryPage {
    type Error = String;

    fn try_from(raw: RawHistory<'_>) -> Result<Self, String> {
        let own = |flat: Flat<'_>| flat.push().map(|push| Push { conv: Cow::Owned(push.conv.into_owned()), ..push });
        let messages = raw.messages.into_iter().map(own).collect::<Result<_, _>>()?;
        Ok(HistoryPage { conv: raw.conv, messages, more: raw.more })
    }
}

fn body<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(frame).map_err(|error| error.to_string())
}

/// Reads one frame (without its length). Errors: a text that says what is wrong; the connection cannot be trusted then.
pub fn parse(frame: &[u8]) -> Result<FromNode<'_>, String> {
    let flat: Flat<'_> = body(frame)?;
    match flat.msgid {
        msgid::ONE_CHAT | msgid::GROUP_CHAT => flat.push().map(FromNode::Push),
        msgid::PING => Ok(FromNode::Ping),
        msgid::NOTICE => Ok(FromNode::Notice(flat.failure())),
        // News are best effort: a kind that this client does not know is ignored like an unknown msgid.
        msgid::EVENT => Ok(body(frame).map_or(FromNode::Unknown(msgid::EVENT), FromNode::Event)),
        _ => flat.reply(frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn sent(request: Request<'_>) -> Value {
        let mut out = Vec::new();
        request.encode(None, &mut out);
        let (header, body) = out.split_at(HEADER_BYTES);
        assert_eq!(u32::from_be_bytes(header.try_into().unwrap()) as usize, body.len());
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn requests_have_the_fields_of_the_contract() {
        for (request, expected) in [
            (Request::chat(Target::User(2), "hi\u{0}", 1), json!({"msgid": 6, "toid": 2, "msg": "hi\u{0}", "qos": 1})),
            (Request::chat(Target::Group(3), "hi", 0), json!({"msgid": 10, "groupid": 3, "msg": "hi", "qos": 0})),
            (Request::Ping {}, json!({"msgid": 19})),
            (Request::Received { conv: "g1", seq: 7 }, json!({"msgid": 16, "conv": "g1", "seq": 7})),
            (
                Request::History(History { toid: Some(2), before: Some(9), ..History::default() }),
                json!({"msgid": 17, "toid": 2, "before": 9}),
            ),
            (Request::Roster(RosterPage::default()), json!({"msgid": 26})),
            (
                Request::Login(Login {
                    name: Some("a"),
                    token: Some("t"),
                    v: 1,
                    caps: &["events"],
                    ..Login::default()
                }),
                json!({"msgid": 1, "name": "a", "token": "t", "takeover": false, "v": 1, "caps": ["events"]}),
            ),
        ] {
            assert_eq!(sent(request), expected);
        }
    }

    #[test]
    fn frames_parse() {
        let mid = "01890a5d-ac96-774b-bcce-b302099a8057";
        let check = |frame: Value, expected: FromNode<'_>| {
            assert_eq!(parse(frame.to_string().as_bytes()), Ok(expected), "{frame}");
        };
        check(json!({"msgid": 19, "new": [1]}), FromNode::Ping);
        check(json!({"msgid": 99}), FromNode::Unknown(99));
        check(json!({"msgid": 31, "kind": "unheard of"}), FromNode::Unknown(31));
        check(
            json!({"msgid": 21, "errno": 14, "retry_ms": 50}),
            FromNode::Notice(Failure::from(Errno::Draining).retry_after(Duration::from_millis(50))),
        );
        check(
            json!({"msgid": 12, "mid": mid, "errno": 0, "conv": "d1-2", "seq": 3, "time": 5}),
            FromNode::Reply {
                mid: Uuid::try_parse(mid).ok(),
                result: Ok(Reply::Chat(Acknowledged { conv: Some("d1-2".into()), seq: Some(3), time: Some(5) })),
            },
        );
        check(
            json!({"msgid": 5, "errno": 77, "errmsg": "odd"}),
            FromNode::Reply { mid: None, result: Err(Failure::new(Errno::NotAllowed, "errno 77: odd")) },
        );
        check(
            json!({"msgid": 31, "kind": "presence", "id": 4, "name": "d", "state": "online"}),
            FromNode::Event(Event::Presence { id: 4, name: "d".into(), state: chat_protocol::message::State::Online }),
        );
        let message = json!({"conv": "g9", "seq": 1, "id": 4, "name": "d", "groupid": 9, "msg": "x", "time": 8});
        let push = || Push {
            conv: "g9".into(),
            seq: 1,
            id: 4,
            name: "d".into(),
            target: Target::Group(9),
            msg: "x".into(),
            time: 8,
            mid: None,
        };
        let mut pushed = message.clone();
        pushed["msgid"] = json!(10);
        check(pushed, FromNode::Push(push()));
        let page = HistoryPage { conv: "g9".into(), messages: vec![push()], more: true };
        check(
            json!({"msgid": 18, "errno": 0, "conv": "g9", "messages": [message], "more": true}),
            FromNode::Reply { mid: None, result: Ok(Reply::History(page)) },
        );
    }

    #[test]
    fn bad_frames_are_refused() {
        let bomb = "[".repeat(100_000);
        for bad in [
            "",
            "[]",
            "null",
            "\"x\"",
            "{",
            r#"{"msgid":"6"}"#,
            r#"{"msgid":-1}"#,
            r#"{"msgid":6,"msgid":6}"#,
            r#"{"msgid":6,"id":1,"msg":"x"}"#,
            r#"{"msgid":6,"id":1,"toid":1,"groupid":1,"msg":"x"}"#,
            r#"{"msgid":2,"errno":0}"#,
            r#"{"msgid":18,"conv":"d1-2","messages":[{"id":1}]}"#,
            &format!(r#"{{"msgid":6,"x":{bomb}"#),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
        assert!(parse(b"{\"msgid\":6,\"msg\":\"\xff\"}").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_fields_never_panic(
            msgid in 0u64..40, errno in 0u64..30, number in any::<i64>(), text in ".{0,20}", pick in 0usize..6
        ) {
            let value = [json!(number), json!(text), json!([]), json!({}), json!(null), json!([{}])][pick].clone();
            let frame = json!({"msgid": msgid, "errno": errno, "conv": text, "messages": value, "friends": value,
                "token": value, "id": value, "kind": text});
            let _ = parse(frame.to_string().as_bytes());
        }
    }
}
