//! What requests are answered with, above all where a dialect answers differently or not at all.

use crate::support::{DIALECTS, said, said_once};
use chat_protocol::conversation::{Conversation, Log};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::*;
use chat_protocol::{Dialect, MAX_NODE_FRAME_BYTES};
use serde_json::Value;
use std::time::Duration;
use strum::VariantArray;
use uuid::Uuid;

const TIME: TimeMs = 1_767_323_045_678;

fn reply(kind: Kind, result: Result<Reply, Failure>) -> Outgoing<'static> {
    Outgoing::Reply { kind, mid: MidText::new("m"), time: TIME, result }
}

fn parsed(dialect: Dialect, message: &Outgoing<'_>) -> Value {
    serde_json::from_str(&said_once(dialect, message)).expect("a node speaks JSON")
}

#[test]
fn failed_request_is_answered_with_its_own_ack() {
    let acks = [
        (Kind::Unknown, Some(0)),
        (Kind::Login, Some(2)),
        (Kind::Logout, Some(11)),
        (Kind::Register, Some(5)),
        (Kind::OneChat, Some(12)),
        (Kind::GroupChat, Some(12)),
        (Kind::AddFriend, Some(13)),
        (Kind::CreateGroup, Some(14)),
        (Kind::JoinGroup, Some(15)),
        (Kind::Received, None),
        (Kind::History, Some(18)),
        (Kind::Ping, Some(20)),
        (Kind::Pong, None),
        (Kind::RemoveFriend, Some(23)),
        (Kind::LeaveGroup, Some(25)),
        (Kind::Roster, Some(27)),
        (Kind::ChangePassword, Some(29)),
    ];
    assert_eq!(acks.len(), Kind::VARIANTS.len());
    for (kind, msgid) in acks {
        let failure = Failure::new(Errno::TooFast, "slow \"down\"").retry_after(Duration::from_millis(250));
        let said = said(Dialect::Framed, &reply(kind, Err(failure)));
        let Some(msgid) = msgid else {
            assert!(said.is_empty(), "{kind:?}: {said:?}");
            continue;
        };
        let expected = format!(r#"{{"msgid":{msgid},"mid":"m","errno":10,"errmsg":"slow \"down\"","retry_ms":250}}"#);
        assert_eq!(said, [expected], "{kind:?}");
    }
}

#[test]
fn final_failure_has_no_retry_ms_and_no_mid_unless_sent() {
    let message =
        Outgoing::Reply { kind: Kind::AddFriend, mid: None, time: TIME, result: Err(Errno::NoSuchUser.into()) };
    assert_eq!(said_once(Dialect::Framed, &message), r#"{"msgid":13,"errno":5,"errmsg":"no such user"}"#);
}

#[test]
fn classic_dialects_have_neither_notice_nor_ping_nor_event() {
    let event = Event::FriendAdded { id: 1, name: "alice".into() };
    for dialect in [Dialect::Checked, Dialect::Bare] {
        for message in [Outgoing::Notice(Errno::Idle.into()), Outgoing::Ping, Outgoing::Event(&event)] {
            assert!(said(dialect, &message).is_empty(), "{dialect:?}: {message:?}");
        }
    }
}

#[test]
fn classic_dialects_stay_silent_where_old_servers_were() {
    let friend = Friend { id: 1, name: "alice".into(), state: State::Online };
    let joined = Reply::JoinGroup(JoinedGroup { groupid: 1, groupname: "g".into(), groupdesc: String::new() });
    let stored = Stored { log: Log { conv: Conversation::Group(1), epoch: 0 }, seq: 1, time: 0 };
    for dialect in [Dialect::Checked, Dialect::Bare] {
        for (kind, done) in [
            (Kind::Logout, Reply::Logout(Nothing {})),
            (Kind::AddFriend, Reply::AddFriend(friend.clone())),
            (Kind::CreateGroup, Reply::CreateGroup(GroupCreated { groupid: 1 })),
            (Kind::JoinGroup, joined.clone()),
            (Kind::GroupChat, Reply::Chat(Some(stored))),
        ] {
            assert!(said(dialect, &reply(kind, Ok(done))).is_empty(), "{dialect:?}: {kind:?}");
        }
    }
    assert!(said(Dialect::Bare, &reply(Kind::OneChat, Ok(Reply::Chat(Some(stored))))).is_empty());
}

#[test]
fn refusal_without_classic_reply_comes_as_a_chat_line() {
    let kinds = [Kind::Logout, Kind::GroupChat, Kind::AddFriend, Kind::CreateGroup, Kind::JoinGroup];
    for (dialect, field, extra) in
        [(Dialect::Checked, "msgType", &[][..]), (Dialect::Bare, "msgid", &[Kind::OneChat, Kind::Unknown])]
    {
        for kind in kinds.iter().chain(extra) {
            let line = parsed(dialect, &reply(*kind, Err(Errno::NotAllowed.into())));
            assert_eq!(
                (&line[field], &line["id"], &line["name"]),
                (&6.into(), &0.into(), &"server".into()),
                "{kind:?}"
            );
            assert_eq!(
                (&line["msg"], line["time"].as_str().map(str::len)),
                (&"not allowed".into(), Some(19)),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn classic_failures_travel_in_the_reply_there_is() {
    let fail = |dialect, kind, errno: Errno| said_once(dialect, &reply(kind, Err(errno.into())));
    for (said, expected) in [
        (
            fail(Dialect::Bare, Kind::Login, Errno::LoggedIn),
            r#"{"msgid":2,"errno":2,"errmsg":"already logged in elsewhere"}"#,
        ),
        (fail(Dialect::Bare, Kind::Register, Errno::Exists), r#"{"msgid":5,"errno":8,"errmsg":"exists already"}"#),
        (
            fail(Dialect::Checked, Kind::Login, Errno::WrongCredentials),
            r#"{"msgType":2,"code":1,"errmsg":"wrong id, name or password"}"#,
        ),
        (fail(Dialect::Checked, Kind::Register, Errno::Exists), r#"{"msgType":5,"code":404,"msg":"exists already"}"#),
        (fail(Dialect::Checked, Kind::OneChat, Errno::NotAllowed), r#"{"msgType":7,"code":7,"msg":"not allowed"}"#),
        (
            fail(Dialect::Checked, Kind::Unknown, Errno::UnknownMsgid),
            r#"{"msgType":0,"code":404,"msg":"unknown msgid"}"#,
        ),
    ] {
        assert_eq!(said, expected);
    }
}

#[test]
fn history_past_the_frame_limit_keeps_the_newest_and_says_more() {
    let conv = Conversation::Direct(1, 2);
    let message = |seq| ChatMessage {
        log_epoch: 0,
        conv,
        seq,
        sender: 1,
        name: "alice".into(),
        msg: "\u{1}".repeat(10_000).into(),
        time: 0,
        mid: Uuid::nil(),
        sent_as: None,
    };
    let messages: Vec<_> = (1..=200).map(message).collect();
    let page = said_once(
        Dialect::Framed,
        &reply(
            Kind::History,
            Ok(Reply::History(Page { conv: Log { conv, epoch: 0 }, messages, more: false, first_seq: None })),
        ),
    );
    assert!(page.len() <= MAX_NODE_FRAME_BYTES);
    let page: Value = serde_json::from_str(&page).expect("a node speaks JSON");
    let listed = page["messages"].as_array().expect("a list");
    assert!((10..200).contains(&listed.len()));
    assert_eq!((&listed[listed.len() - 1]["seq"], &page["more"]), (&200.into(), &true.into()));
}

#[test]
fn rosters_past_the_frame_limit_are_cut_and_say_more() {
    let name = "界".repeat(50);
    let user = GroupUser { id: 1, name: name.clone(), state: State::Online, role: Role::Normal };
    let group = Group { id: 1, groupname: name, groupdesc: String::new(), users: vec![user; 100], more: false };
    let roster = Roster { friends: vec![], groups: vec![group; 200], more: false };
    let ack = LoginAck {
        id: 1,
        name: "alice".into(),
        token: "t".into(),
        node: "n1".into(),
        version: 1,
        server: "chat".into(),
        time: 0,
        heartbeat_s: 30,
        roster: roster.clone(),
        offline: 0,
        caps: vec![],
        max_frame_bytes: 65_536,
        waiting: vec![],
    };
    for (kind, done) in [(Kind::Login, Reply::Login(Box::new(ack))), (Kind::Roster, Reply::Roster(Box::new(roster)))] {
        let frame = said_once(Dialect::Framed, &reply(kind, Ok(done)));
        assert!(frame.len() <= MAX_NODE_FRAME_BYTES && frame.contains(r#""more":true"#), "{kind:?}");
    }
}

#[test]
fn every_kind_of_failure_can_be_told_in_every_dialect() {
    for dialect in DIALECTS {
        for &kind in Kind::VARIANTS {
            let objects = said(dialect, &reply(kind, Err(Failure::new(Errno::Unavailable, "\u{1}\"\\界"))));
            assert!(objects.iter().all(|object| serde_json::from_str::<Value>(object).is_ok()), "{dialect:?} {kind:?}");
        }
    }
}
