//! Well-formed objects with a bad field: answered with an errno and the `mid`, and the connection lives on.

use crate::support::{decode, request};
use chat_protocol::Dialect;
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{AddFriend, Command, Incoming, Kind, Who};

const MID: &str = "\"0190b6a2-7c1e-7b6e-8000-000000000001\"";

/// The fields of a request as JSON text, so that a field can hold any number at all.
type Object = Vec<(&'static str, String)>;

fn object(fields: &[(&'static str, &str)]) -> Object {
    fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn with(object: &Object, field: &'static str, value: &str) -> Object {
    let mut changed = without(object, field);
    changed.push((field, value.to_owned()));
    changed
}

fn without(object: &Object, field: &str) -> Object {
    object.iter().filter(|(name, _)| *name != field).cloned().collect()
}

fn json(object: &Object) -> String {
    let fields: Vec<_> = object.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

#[track_caller]
fn refusal(dialect: Dialect, json: &str) -> (Kind, Option<String>, Failure) {
    match decode(dialect, json) {
        Ok(Incoming::Refused { kind, mid, failure }) => (kind, mid.map(|mid| mid.as_str().to_owned()), failure),
        other => panic!("{json}: {other:?}"),
    }
}

/// What a field takes, and so what it does not.
#[derive(Clone, Copy)]
enum Takes {
    /// An id; the errno is for one that is too large to exist.
    Id(Errno),
    Position,
    Limit,
    Qos,
    Version,
    Flag,
    Words,
    Text,
    Name,
    Password,
    Description,
    Uuid,
    Mid,
}

impl Takes {
    fn bad_values(self) -> Vec<String> {
        let fixed: &[&str] = match self {
            Takes::Id(_) | Takes::Version => &["0", "-1", "1.5", "1.0", "1e2", "-1e400", "true", "\"1\""],
            Takes::Position => &["-1", "1.5", "-1e400", "false", "\"1\""],
            Takes::Limit => &["0", "201", "-1", "1.5", "4294967297", "9007199254740992", "1e400", "\"1\""],
            Takes::Qos => &["2", "-1", "0.0", "true", "18446744073709551616", "1e400", "\"1\""],
            Takes::Flag => &["0", "1", "\"true\""],
            Takes::Words => &["1", "\"events\"", "[1]", "[\"events\",null]", "[[]]"],
            Takes::Text => &["1", "true"],
            Takes::Name => &["\"\"", "\" a\"", "\"a \"", "\"a\\u0000\"", "\"a\\nb\"", "\"\\u3000a\"", "1"],
            Takes::Password => &["\"\"", "1", "true"],
            Takes::Description => &["1", "true"],
            Takes::Uuid => &["\"\"", "\"x\"", "\"0190b6a2-7c1e-7b6e-8000-00000000000\"", "1"],
            Takes::Mid => &["1", "true"],
        };
        let mut bad: Vec<String> = fixed.iter().map(|&value| value.to_owned()).collect();
        bad.extend(["null", "{}", "{\"a\":1}"].map(str::to_owned));
        if !matches!(self, Takes::Words) {
            bad.extend(["[]", "[\"a\"]"].map(str::to_owned));
        }
        bad.extend(self.too_long().map(|characters| format!("\"{}\"", "界".repeat(characters))));
        bad
    }

    fn too_long(self) -> Option<usize> {
        match self {
            Takes::Name => Some(51),
            Takes::Password => Some(129),
            Takes::Description => Some(201),
            Takes::Mid => Some(22),
            _ => None,
        }
    }
}

/// A lawful request of a kind, with what each of its fields takes and whether it must be there.
struct Lawful {
    kind: Kind,
    object: Object,
    fields: Vec<(&'static str, Takes, bool)>,
}

fn lawful(kind: Kind, object_fields: &[(&'static str, &str)], fields: &[(&'static str, Takes, bool)]) -> Lawful {
    Lawful { kind, object: object(object_fields), fields: fields.to_vec() }
}

fn accounts() -> Vec<Lawful> {
    let credentials = Takes::Id(Errno::WrongCredentials);
    vec![
        lawful(
            Kind::Login,
            &[("msgid", "1"), ("id", "1"), ("password", "\"p\"")],
            &[
                ("id", credentials, true),
                ("password", Takes::Password, true),
                ("takeover", Takes::Flag, false),
                ("v", Takes::Version, false),
                ("caps", Takes::Words, false),
            ],
        ),
        lawful(
            Kind::Login,
            &[("msgid", "1"), ("name", "\"a\""), ("token", "\"t\"")],
            &[("name", Takes::Name, true), ("token", Takes::Text, true)],
        ),
        lawful(Kind::Logout, &[("msgid", "3")], &[("revoke", Takes::Flag, false)]),
        lawful(
            Kind::Register,
            &[("msgid", "4"), ("name", "\"a\""), ("password", "\"p\"")],
            &[("name", Takes::Name, true), ("password", Takes::Password, true)],
        ),
        lawful(
            Kind::ChangePassword,
            &[("msgid", "28"), ("old", "\"p\""), ("new", "\"q\"")],
            &[("old", Takes::Password, true), ("new", Takes::Password, true)],
        ),
    ]
}

fn friends_and_groups() -> Vec<Lawful> {
    let user = Takes::Id(Errno::NoSuchUser);
    let group = Takes::Id(Errno::NoSuchGroup);
    vec![
        lawful(Kind::AddFriend, &[("msgid", "7"), ("friendid", "1")], &[("friendid", user, true)]),
        lawful(Kind::AddFriend, &[("msgid", "7"), ("name", "\"a\"")], &[("name", Takes::Name, true)]),
        lawful(Kind::RemoveFriend, &[("msgid", "22"), ("friendid", "1")], &[("friendid", user, true)]),
        lawful(
            Kind::CreateGroup,
            &[("msgid", "8"), ("groupname", "\"g\""), ("groupdesc", "\"\"")],
            &[("groupname", Takes::Name, true), ("groupdesc", Takes::Description, true)],
        ),
        lawful(Kind::JoinGroup, &[("msgid", "9"), ("groupid", "1")], &[("groupid", group, true)]),
        lawful(Kind::LeaveGroup, &[("msgid", "24"), ("groupid", "1")], &[("groupid", group, true)]),
        lawful(
            Kind::Roster,
            &[("msgid", "26"), ("groupid", "1")],
            &[("groupid", group, false), ("after", Takes::Position, false), ("limit", Takes::Limit, false)],
        ),
    ]
}

fn messages() -> Vec<Lawful> {
    let user = Takes::Id(Errno::NoSuchUser);
    let group = Takes::Id(Errno::NoSuchGroup);
    let chat = [("msg", Takes::Text, true), ("qos", Takes::Qos, false), ("mid", Takes::Uuid, true)];
    vec![
        lawful(
            Kind::OneChat,
            &[("msgid", "6"), ("toid", "1"), ("msg", "\"\""), ("mid", MID)],
            &[&[("toid", user, true)][..], &chat].concat(),
        ),
        lawful(
            Kind::GroupChat,
            &[("msgid", "10"), ("groupid", "1"), ("msg", "\"\""), ("mid", MID)],
            &[&[("groupid", group, true)][..], &chat].concat(),
        ),
        lawful(
            Kind::Received,
            &[("msgid", "16"), ("conv", "\"d1-2\""), ("seq", "1")],
            &[("conv", Takes::Text, true), ("seq", Takes::Position, true)],
        ),
        lawful(
            Kind::History,
            &[("msgid", "17"), ("toid", "1")],
            &[("toid", user, true), ("before", Takes::Position, false), ("limit", Takes::Limit, false)],
        ),
        lawful(Kind::History, &[("msgid", "17"), ("groupid", "1")], &[("groupid", group, true)]),
        lawful(Kind::Ping, &[("msgid", "19")], &[]),
        lawful(Kind::Pong, &[("msgid", "20")], &[]),
    ]
}

fn all() -> impl Iterator<Item = Lawful> {
    accounts().into_iter().chain(friends_and_groups()).chain(messages()).map(|mut lawful| {
        if lawful.kind != Kind::Login {
            lawful.fields.push(("id", Takes::Id(Errno::NotAllowed), false));
        }
        if !matches!(lawful.kind, Kind::OneChat | Kind::GroupChat) {
            lawful.fields.push(("mid", Takes::Mid, false));
        }
        lawful
    })
}

#[test]
fn lawful_requests_are_taken() {
    for Lawful { kind, object, .. } in all() {
        assert_eq!(request(Dialect::Framed, &json(&object)).command.kind(), kind);
    }
}

#[test]
fn every_bad_field_is_named() {
    for Lawful { kind, object, fields } in all() {
        for (field, takes, _) in fields {
            for value in takes.bad_values() {
                let text = json(&with(&object, field, &value));
                let (refused, _, failure) = refusal(Dialect::Framed, &text);
                assert_eq!((refused, failure.errno), (kind, Errno::Malformed), "{text}");
                assert!(failure.text.contains(&format!("field {field}: expected ")), "{text}: {failure}");
            }
        }
    }
}

#[test]
fn missing_fields_are_refused_where_they_are_needed() {
    for Lawful { kind, object, fields } in all() {
        for (field, _, required) in fields {
            let text = json(&without(&object, field));
            if required {
                let (refused, _, failure) = refusal(Dialect::Framed, &text);
                assert_eq!((refused, failure.errno), (kind, Errno::Malformed), "{text}");
            } else {
                assert_eq!(request(Dialect::Framed, &text).command.kind(), kind, "{text}");
            }
        }
    }
}

#[test]
fn ids_too_large_to_exist_are_unknown_not_malformed() {
    for Lawful { kind, object, fields } in all() {
        for (field, takes, _) in fields {
            let Takes::Id(errno) = takes else { continue };
            for value in [
                "9007199254740992",
                "9007199254740992.0",
                "1e16",
                "18446744073709551615",
                "18446744073709551616",
                "1e400",
            ] {
                let text = json(&with(&object, field, value));
                let (refused, _, failure) = refusal(Dialect::Framed, &text);
                assert_eq!((refused, failure.errno), (kind, errno), "{text}");
            }
            request(Dialect::Framed, &json(&with(&object, field, "9007199254740991")));
        }
    }
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    for Lawful { object, .. } in all() {
        for value in ["null", "1e400", "[[{}]]", "{\"msgid\":[]}", "\"\\u0000\""] {
            let text = json(&with(&object, "unheard-of", value));
            assert_eq!(request(Dialect::Framed, &text), request(Dialect::Framed, &json(&object)), "{text}");
        }
    }
}

#[test]
fn unknown_and_node_only_msgids_are_refused() {
    let acks = [0, 2, 5, 11, 12, 13, 14, 15, 18, 21, 23, 25, 27, 29, 30, 31, 32, 1 << 53];
    let numbers = acks.iter().map(u64::to_string).chain(["-1".into(), "18446744073709551616".into()]);
    for number in numbers {
        let text = format!("{{\"msgid\":{number},\"mid\":\"m\"}}");
        let (kind, mid, failure) = refusal(Dialect::Framed, &text);
        assert_eq!((kind, mid.as_deref(), failure.errno), (Kind::Unknown, Some("m"), Errno::UnknownMsgid), "{text}");
    }
    for number in [0, 2, 5, 11, 16, 17, 19, 20, 26, 31] {
        let (kind, _, failure) = refusal(Dialect::Bare, &format!("{{\"msgid\":{number}}}"));
        assert_eq!((kind, failure.errno), (Kind::Unknown, Errno::UnknownMsgid), "{number}");
    }
    for number in [0, 2, 5, 7, 12, 19] {
        let (kind, _, failure) = refusal(Dialect::Checked, &format!("{{\"msgType\":{number}}}"));
        assert_eq!((kind, failure.errno), (Kind::Unknown, Errno::UnknownMsgid), "{number}");
    }
}

#[test]
fn mid_is_echoed_as_sent_also_where_it_is_refused() {
    let longest = "x".repeat(64);
    for (mid, echoed) in [
        ("\"not a uuid\"", Some("not a uuid")),
        ("\"\"", Some("")),
        ("1", None),
        (&format!("\"{longest}\""), Some(&*longest)),
    ] {
        let text = format!(r#"{{"msgid":6,"toid":1,"msg":"hi","mid":{mid}}}"#);
        let (_, got, failure) = refusal(Dialect::Framed, &text);
        assert_eq!((got.as_deref(), failure.errno), (echoed, Errno::Malformed), "{text}");
    }
    let upper = r#"{"msgid":6,"toid":1,"msg":"hi","mid":"0190B6A2-7C1E-7B6E-8000-000000000001"}"#;
    let mid = request(Dialect::Framed, upper).mid;
    assert_eq!(mid.as_ref().map(|mid| mid.as_str()), Some("0190B6A2-7C1E-7B6E-8000-000000000001"));
}

#[test]
fn ambiguous_requests_are_refused() {
    for text in [
        r#"{"msgid":1,"id":1,"name":"a","password":"p"}"#,
        r#"{"msgid":1,"id":1,"password":"p","token":"t"}"#,
        r#"{"msgid":17,"toid":1,"groupid":1}"#,
        r#"{"msgid":6,"toid":1,"groupid":1,"msg":"hi","mid":"0190b6a2-7c1e-7b6e-8000-000000000001"}"#,
        r#"{"msgid":10,"toid":1,"groupid":1,"msg":"hi","mid":"0190b6a2-7c1e-7b6e-8000-000000000001"}"#,
    ] {
        assert_eq!(refusal(Dialect::Framed, text).2.errno, Errno::Malformed, "{text}");
    }
}

/// As before friends could be added by name: a client may send a `name` with anything.
#[test]
fn name_beside_friendid_and_in_the_classic_dialects_counts_for_nothing() {
    for (dialect, text) in [
        (Dialect::Framed, r#"{"msgid":7,"friendid":2,"name":"bob"}"#),
        (Dialect::Framed, r#"{"msgid":7,"friendid":2,"name":7}"#),
        (Dialect::Bare, r#"{"msgid":7,"id":1,"friendid":2,"name":"ann"}"#),
    ] {
        let expected = Command::AddFriend(AddFriend { friend: Who::Id(2) });
        assert_eq!(request(dialect, text).command, expected, "{text}");
    }
    assert_eq!(refusal(Dialect::Bare, r#"{"msgid":7,"id":1,"name":"bob"}"#).2.errno, Errno::Malformed);
}

#[test]
fn classic_clients_may_leave_out_what_old_ones_do() {
    for (dialect, text) in [
        (Dialect::Bare, r#"{"msgid":6,"toid":2,"msg":"hi"}"#),
        (Dialect::Bare, r#"{"msgid":6,"toid":2,"msg":"hi","name":1,"time":null,"qos":7,"mid":5}"#),
        (Dialect::Checked, r#"{"msgType":8,"groupid":2,"msg":"hi"}"#),
    ] {
        let request = request(dialect, text);
        let Command::Chat(chat) = request.command else { panic!("{text}") };
        assert_eq!((chat.sent_as, chat.stored, request.mid), (None, true, None), "{text}");
        assert_eq!(chat.mid, None, "{text}");
    }
    let Command::CreateGroup(group) = request(Dialect::Bare, r#"{"msgid":8,"groupname":"g"}"#).command else {
        panic!("not a group")
    };
    assert_eq!(group.groupdesc, "");
    assert_eq!(refusal(Dialect::Bare, r#"{"msgid":8}"#).2.errno, Errno::Malformed);
    assert_eq!(refusal(Dialect::Checked, r#"{"msgType":9,"id":1}"#).0, Kind::AddFriend);
}
