//! Classic clients spell some fields in several ways: each is taken, and each client is answered in its own.

use crate::support::{MAX_FRAME_BYTES, decode, frame, payload, request};
use bytes::BytesMut;
use chat_protocol::conversation::Conversation;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::*;
use chat_protocol::{Codec, Dialect};
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

const CLASSIC: [Dialect; 2] = [Dialect::Bare, Dialect::Checked];

/// The usual name of a field and the others.
const NAMES: [(&str, &[&str]); 5] = [
    ("toid", &["to", "toId", "to_id"]),
    ("friendid", &["friendId", "friend_id"]),
    ("groupid", &["groupId", "group_id"]),
    ("groupname", &["groupName", "group_name"]),
    ("groupdesc", &["groupDesc", "group_desc"]),
];

/// Requests with the usual names, numbered as in the bare dialect.
fn requests() -> Vec<Value> {
    vec![
        json!({"msgid": 6, "id": 1, "toid": 2, "msg": "hi"}),
        json!({"msgid": 7, "id": 1, "friendid": 2}),
        json!({"msgid": 8, "id": 1, "groupname": "tea", "groupdesc": "at five"}),
        json!({"msgid": 9, "id": 1, "groupid": 5}),
        json!({"msgid": 10, "id": 1, "groupid": 5, "msg": "hi"}),
    ]
}

/// The request as this dialect numbers it.
fn numbered(dialect: Dialect, mut request: Value) -> Value {
    if dialect == Dialect::Checked {
        let fields = request.as_object_mut().expect("an object");
        let number = fields.remove("msgid").and_then(|number| number.as_u64());
        let number = number.map(|number| match number {
            7..=9 => number + 2,
            10 => 8,
            other => other,
        });
        fields.insert("msgType".into(), json!(number));
    }
    request
}

fn renamed(request: &Value, from: &str, to: &str) -> Option<Value> {
    let mut renamed = request.clone();
    let fields = renamed.as_object_mut().expect("an object");
    let value = fields.remove(from)?;
    fields.insert(to.into(), value);
    Some(renamed)
}

/// What is asked for, without the `mid` that the node makes.
fn command(dialect: Dialect, request_json: &Value) -> Command {
    request(dialect, &request_json.to_string()).command
}

#[test]
fn every_name_of_a_field_means_the_same() {
    for dialect in CLASSIC {
        let mut shown = HashSet::new();
        for usual in requests().into_iter().map(|request| numbered(dialect, request)) {
            let expected = command(dialect, &usual);
            for (name, others) in NAMES {
                for other in others {
                    let Some(spelt) = renamed(&usual, name, other) else { continue };
                    assert_eq!(command(dialect, &spelt), expected, "{spelt}");
                    shown.insert(*other);
                }
            }
        }
        assert_eq!(shown.len(), NAMES.iter().map(|(_, others)| others.len()).sum::<usize>());
    }
    for number in ["msgId", "msg_id"] {
        let text = json!({number: 3}).to_string();
        assert_eq!(request(Dialect::Bare, &text).command, Command::Logout(Logout { revoke: false }));
    }
}

#[test]
fn our_own_dialect_has_one_name_for_each_field() {
    let mid = Uuid::nil().to_string();
    for text in [
        json!({"msgid": 6, "mid": mid, "to": 2, "msg": "hi"}),
        json!({"msgid": 7, "friendId": 2}),
        json!({"msgid": 9, "groupId": 2}),
        json!({"msgid": 8, "groupName": "tea", "groupdesc": ""}),
    ] {
        let decoded = decode(Dialect::Framed, text.to_string());
        assert!(matches!(decoded, Ok(Incoming::Refused { .. })), "{text}: {decoded:?}");
    }
    let failure = decode(Dialect::Framed, r#"{"msgId":19}"#).expect_err("no number");
    assert_eq!(failure.errno, Errno::Malformed);
}

#[test]
fn of_several_names_the_usual_one_counts() {
    for dialect in CLASSIC {
        for (name, others) in NAMES {
            for other in others {
                for usual in requests().into_iter().filter(|request| request.get(name).is_some()) {
                    let mut both = numbered(dialect, usual);
                    let expected = command(dialect, &both);
                    // Whatever the other holds: it is a field that nobody knows.
                    for value in [json!(9), json!("lisi"), json!(null), json!([{}])] {
                        both[*other] = value;
                        assert_eq!(command(dialect, &both), expected, "{both}");
                    }
                }
            }
        }
    }
    let text = r#"{"to_id":4,"to":3,"msgId":6,"msg_id":7,"msg":"hi"}"#;
    let Command::Chat(chat) = request(Dialect::Bare, text).command else { panic!("not a chat") };
    assert_eq!(chat.to, chat_protocol::conversation::Target::User(3));
}

#[test]
fn bad_field_is_refused_by_the_name_that_the_client_uses() {
    for (text, field) in [
        (r#"{"msgid":6,"to":"lisi","msg":"hi"}"#, "to"),
        (r#"{"msgid":6,"to":null,"msg":"hi"}"#, "to"),
        (r#"{"msgid":6,"msg":"hi"}"#, "toid"),
        (r#"{"msgId":7,"friendId":0}"#, "friendId"),
        (r#"{"msgid":9,"group_id":-1}"#, "group_id"),
        (r#"{"msgid":8,"groupName":""}"#, "groupName"),
        (r#"{"msgid":8,"groupname":"g","groupDesc":7}"#, "groupDesc"),
    ] {
        match decode(Dialect::Bare, text) {
            Ok(Incoming::Refused { failure, .. }) => {
                assert_eq!(failure.errno, Errno::Malformed, "{text}");
                assert!(failure.text.starts_with(&format!("field {field}: ")), "{text}: {failure}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let unknown = decode(Dialect::Bare, r#"{"msgid":6,"to":9007199254740992,"msg":"hi"}"#);
    assert!(matches!(unknown, Ok(Incoming::Refused { failure, .. }) if failure.errno == Errno::NoSuchUser));
    for text in [r#"{"msgId":"6"}"#, r#"{"msg_id":null}"#, r#"{"msgID":6}"#, r#"{"msgid":null,"msgId":6}"#] {
        assert_eq!(decode(Dialect::Bare, text).expect_err(text).errno, Errno::Malformed);
    }
}

fn message(conv: Conversation) -> ChatMessage {
    let (name, msg) = ("bob".into(), "hi".into());
    ChatMessage { conv, log_epoch: 0, seq: 1, sender: 17, name, msg, time: 0, mid: Uuid::nil(), sent_as: None }
}

/// What the node says to a client that has sent `requests` before.
fn said_to(dialect: Dialect, requests: &[&str], message: &Outgoing<'_>) -> Value {
    let mut codec = Codec::new(dialect, MAX_FRAME_BYTES);
    for request in requests {
        let mut input = BytesMut::from(&frame(dialect, request)[..]);
        codec.decode(&mut input).expect("an object").expect("a whole one");
    }
    let mut out = BytesMut::new();
    codec.encode(message, &mut out);
    serde_json::from_slice(&payload(dialect, &mut out)).expect("a node speaks JSON")
}

#[test]
fn client_is_answered_as_it_spells() {
    let (direct, group) = (message(Conversation::Direct(3, 17)), message(Conversation::Group(5)));
    let refused = Outgoing::Reply { kind: Kind::OneChat, mid: None, time: 0, result: Err(Errno::NotAllowed.into()) };
    let check = |requests: &[&str], said: &Outgoing<'_>, present: &[(&str, u64)], absent: &[&str]| {
        let object = said_to(Dialect::Bare, requests, said);
        for (name, value) in present {
            assert_eq!(object[name], *value, "{requests:?}: {object}");
        }
        for name in absent {
            assert_eq!(object.get(name), None, "{requests:?}: {object}");
        }
    };
    let (to_user, to_group) = (Outgoing::Push(&direct), Outgoing::Push(&group));
    check(&[], &to_user, &[("msgid", 6), ("toid", 3)], &["to"]);
    check(&[r#"{"msgid":6,"to":1,"msg":""}"#], &to_user, &[("msgid", 6), ("to", 3)], &["toid"]);
    check(&[r#"{"msgid":6,"to":1,"msg":""}"#], &refused, &[("msgid", 6), ("to", 0)], &["toid"]);
    check(&[r#"{"msgid":10,"groupId":1,"msg":""}"#], &to_group, &[("groupId", 5)], &["groupid"]);
    // Each field by itself; also where the request was refused for something else; the latest counts.
    check(&[r#"{"msgId":10,"groupId":1}"#], &to_user, &[("msgId", 6), ("toid", 3)], &["msgid", "toId"]);
    check(&[r#"{"msgid":6,"to":1}"#, r#"{"msgid":6,"toid":1}"#], &to_user, &[("toid", 3)], &["to"]);
    // A name means something only where a request has that field.
    check(&[r#"{"msgid":3,"to":1}"#], &to_user, &[("toid", 3)], &["to"]);

    let object = said_to(Dialect::Checked, &[r#"{"msgType":6,"to":1,"msg":""}"#], &to_user);
    assert_eq!((&object["msgType"], &object["to"], object.get("toid")), (&json!(6), &json!(3), None));
}

#[test]
fn login_and_registration_are_answered_under_the_clients_number_name() {
    let failed = |kind| Outgoing::Reply { kind, mid: None, time: 0, result: Err(Failure::from(Errno::Exists)) };
    for (kind, number) in [(Kind::Login, 2), (Kind::Register, 5)] {
        let object = said_to(Dialect::Bare, &[r#"{"msgId":1,"id":1,"password":"p"}"#], &failed(kind));
        assert_eq!((&object["msgId"], &object["errno"], object.get("msgid")), (&json!(number), &json!(8), None));
    }
    let registered =
        Outgoing::Reply { kind: Kind::Register, mid: None, time: 0, result: Ok(Reply::Register(Registered { id: 3 })) };
    let object = said_to(Dialect::Bare, &[r#"{"msg_id":4,"name":"a","password":"p"}"#], &registered);
    assert_eq!(object, json!({"msg_id": 5, "errno": 0, "id": 3}));
}
