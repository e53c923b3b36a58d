//! PROTOCOL.md's examples are what the codec takes and says, and its table of errors is the one in the code.
//!
//! Examples stand in fenced blocks marked `json <dialect> client` or `json <dialect> node`, one message a line; whole
//! frames in blocks marked `hex <dialect> client`.

use crate::support::{DIALECTS, codec, request, said, said_by};
use bytes::BytesMut;
use chat_protocol::Dialect;
use chat_protocol::conversation::{Conversation, GroupId, Log, Target, UserId};
use chat_protocol::errno::{ALL, Errno, Failure};
use chat_protocol::framing::length::HEADER_BYTES;
use chat_protocol::message::*;
use std::collections::HashSet;
use std::time::Duration;
use uuid::{Uuid, uuid};

pub const DOCUMENT: &str = include_str!("../../../PROTOCOL.md");
const ALICE: UserId = 3;
const BOB: UserId = 17;
const GROUP: GroupId = 5;
const TIME: TimeMs = 1_767_323_045_678;
const MID: Uuid = uuid!("019b7ca4-56ce-7000-8000-0000000000a1");

/// The lines of all blocks marked `mark`.
fn block_lines(mark: &str) -> Vec<&'static str> {
    let opening = format!("```{mark}");
    let mut lines = Vec::new();
    let mut within = false;
    for line in DOCUMENT.lines() {
        match line {
            _ if line == opening => within = true,
            _ if line.starts_with("```") => within = false,
            _ if within => lines.push(line),
            _ => {}
        }
    }
    lines
}

fn done(kind: Kind, reply: Reply) -> Outgoing<'static> {
    Outgoing::Reply { kind, mid: None, time: TIME, result: Ok(reply) }
}

fn failed(kind: Kind, failure: Failure) -> Outgoing<'static> {
    Outgoing::Reply { kind, mid: None, time: TIME, result: Err(failure) }
}

fn message(conv: Conversation, seq: u64) -> ChatMessage {
    let (name, msg) = ("bob".into(), "hello, 世界".into());
    ChatMessage { conv, log_epoch: 0, seq, sender: BOB, name, msg, time: TIME, mid: MID, sent_as: None }
}

fn roster() -> Roster {
    let user = |id, name: &str, state, role| GroupUser { id, name: name.into(), state, role };
    let users =
        vec![user(ALICE, "alice", State::Online, Role::Creator), user(BOB, "bob", State::Offline, Role::Normal)];
    Roster {
        friends: vec![Friend { id: BOB, name: "bob".into(), state: State::Offline }],
        groups: vec![Group { id: GROUP, groupname: "tea".into(), groupdesc: "at five".into(), users, more: false }],
        more: false,
    }
}

fn login_ack(waiting: Vec<ChatMessage>) -> Outgoing<'static> {
    let ack = LoginAck {
        id: ALICE,
        name: "alice".into(),
        token: "AAAAAAAAAAM.example".into(),
        node: "node-1".into(),
        version: 1,
        server: "chat 0.1.0".into(),
        time: TIME,
        heartbeat_s: 30,
        roster: roster(),
        offline: 1,
        caps: vec!["events".into()],
        max_frame_bytes: 65_536,
        waiting,
    };
    done(Kind::Login, Reply::Login(Box::new(ack)))
}

fn framed_replies() -> Vec<Outgoing<'static>> {
    let direct = Conversation::Direct(ALICE, BOB);
    let stored = Stored { log: Log { conv: direct, epoch: 0 }, seq: 42, time: TIME };
    let friend = Friend { id: BOB, name: "bob".into(), state: State::Online };
    let joined = JoinedGroup { groupid: GROUP, groupname: "tea".into(), groupdesc: "at five".into() };
    let log = Log { conv: direct, epoch: 0 };
    let page = Page { conv: log, messages: vec![message(direct, 42)], more: true, first_seq: None };
    let beginning = Page { conv: log, messages: vec![message(direct, 42)], more: false, first_seq: Some(42) };
    let busy = Failure::from(Errno::Unavailable).retry_after(Duration::from_millis(500));
    let acked = Outgoing::Reply {
        kind: Kind::OneChat,
        mid: MidText::new(&MID.to_string()),
        time: TIME,
        result: Ok(Reply::Chat(Some(stored))),
    };
    vec![
        failed(Kind::Unknown, Errno::UnknownMsgid.into()),
        login_ack(vec![]),
        failed(Kind::Login, Errno::WrongCredentials.into()),
        failed(Kind::Login, Errno::AccountDisabled.into()),
        done(Kind::Logout, Reply::Logout(Nothing {})),
        done(Kind::Register, Reply::Register(Registered { id: ALICE })),
        failed(Kind::Register, Failure::field("password", "a string of 1 to 128 characters")),
        acked,
        done(Kind::OneChat, Reply::Chat(None)),
        failed(Kind::GroupChat, busy),
        done(Kind::AddFriend, Reply::AddFriend(friend)),
        done(Kind::CreateGroup, Reply::CreateGroup(GroupCreated { groupid: GROUP })),
        done(Kind::JoinGroup, Reply::JoinGroup(joined)),
        done(Kind::History, Reply::History(page)),
        done(Kind::History, Reply::History(beginning)),
        done(Kind::Ping, Reply::Ping(ServerTime { time: TIME })),
        done(Kind::RemoveFriend, Reply::RemoveFriend(FriendRemoved { friendid: BOB })),
        done(Kind::LeaveGroup, Reply::LeaveGroup(GroupLeft { groupid: GROUP })),
        done(Kind::Roster, Reply::Roster(Box::new(roster()))),
        done(Kind::ChangePassword, Reply::ChangePassword(NewToken { token: "AAAAAAAAAAM.example".into() })),
    ]
}

fn framed_says() -> Vec<String> {
    let (direct, group) = (Conversation::Direct(ALICE, BOB), Conversation::Group(GROUP));
    let pushes = [message(direct, 42), message(group, 7), message(group, 0)];
    let name = || "bob".to_owned();
    let events = [
        Event::FriendAdded { id: BOB, name: name() },
        Event::FriendRemoved { id: BOB, name: name() },
        Event::Joined { groupid: GROUP, id: BOB, name: name() },
        Event::Left { groupid: GROUP, id: BOB, name: name() },
        Event::Presence { id: BOB, name: name(), state: State::Online },
        Event::Gap { conv: direct.to_string(), first: 43, last: 44 },
    ];
    let notice = Failure::from(Errno::Draining).retry_after(Duration::from_millis(1_500));
    let mut outgoing = framed_replies();
    outgoing.extend(pushes.iter().map(Outgoing::Push));
    let ended = Outgoing::Notice(Errno::EndedByOperator.into());
    outgoing.extend([Outgoing::Ping, Outgoing::Notice(notice), ended]);
    outgoing.extend(events.iter().map(Outgoing::Event));
    outgoing.iter().flat_map(|message| said(Dialect::Framed, message)).collect()
}

fn classic_says(dialect: Dialect) -> Vec<String> {
    let (direct, group) = (Conversation::Direct(ALICE, BOB), Conversation::Group(GROUP));
    let sent_as = SentAs { name: Some("Bob".into()), time: Some("2026-01-02 11:04:05".into()) };
    let as_sent = ChatMessage { sent_as: Some(Box::new(sent_as)), ..message(direct, 42) };
    let plain = message(group, 7);
    let stored = Stored { log: Log { conv: direct, epoch: 0 }, seq: 42, time: TIME };
    [
        login_ack(vec![as_sent.clone()]),
        failed(Kind::Login, Errno::WrongCredentials.into()),
        done(Kind::Register, Reply::Register(Registered { id: ALICE })),
        failed(Kind::Register, Errno::Exists.into()),
        done(Kind::OneChat, Reply::Chat(Some(stored))),
        failed(Kind::OneChat, Errno::NotAllowed.into()),
        Outgoing::Push(&as_sent),
        Outgoing::Push(&plain),
        failed(Kind::JoinGroup, Errno::NoSuchGroup.into()),
        failed(Kind::Unknown, Errno::UnknownMsgid.into()),
    ]
    .iter()
    .flat_map(|message| said(dialect, message))
    .collect()
}

/// Every message of the framed dialect with all fields that it can have, by who says it.
pub fn everything_said() -> Vec<(&'static str, String)> {
    let short = Roster { more: true, ..roster() };
    let (login, all) = (login_ack(vec![]), Reply::Roster(Box::new(short.clone())));
    let Outgoing::Reply { kind, mid, time, result: Ok(Reply::Login(ack)) } = login else { panic!("another reply") };
    let ack = LoginAck { roster: short, ..*ack };
    let cut = [
        Outgoing::Reply { kind, mid, time, result: Ok(Reply::Login(Box::new(ack))) },
        done(Kind::Roster, all),
        failed(Kind::Unknown, Errno::UnknownMsgid.into()),
        Outgoing::Push(&message(Conversation::Direct(ALICE, BOB), 0)),
    ]
    .iter()
    .flat_map(|message| said(Dialect::Framed, message))
    .collect::<Vec<_>>();
    let asked = block_lines("json framed client").into_iter().map(|line| ("client", line.to_owned()));
    let mut chat = Vec::new();
    write_chat(MID, Target::User(BOB), "hello, 世界", 1, &mut chat);
    let chat = String::from_utf8(chat.split_off(HEADER_BYTES)).expect("a client speaks UTF-8");
    let asked = asked.chain([("client", chat)]);
    framed_says().into_iter().chain(cut).map(|line| ("node", line)).chain(asked).collect()
}

#[test]
fn node_examples_are_what_the_codec_says() {
    for dialect in DIALECTS {
        let says = if dialect == Dialect::Framed { framed_says() } else { classic_says(dialect) };
        let written = block_lines(&format!("json {} node", dialect));
        let written_set: HashSet<_> = written.iter().copied().collect();
        let missing: Vec<_> = says.iter().filter(|line| !written_set.contains(line.as_str())).collect();
        assert!(
            missing.is_empty(),
            "PROTOCOL.md lacks, for {dialect:?}:\n{}",
            missing.iter().map(|line| format!("{line}\n")).collect::<String>()
        );
        let said: HashSet<_> = says.iter().map(String::as_str).collect();
        let invented: Vec<_> = written.iter().filter(|line| !said.contains(*line)).collect();
        assert!(invented.is_empty(), "nobody says, for {dialect:?}: {invented:#?}");
    }
}

#[test]
fn client_that_spells_in_its_own_way_is_answered_as_the_examples_say() {
    let mut codec = codec(Dialect::Bare);
    for line in block_lines("json bare client of another spelling") {
        let decoded = codec.decode(&mut BytesMut::from(line));
        assert!(matches!(decoded, Ok(Some(Incoming::Request(_)))), "{line}: {decoded:?}");
    }
    let (direct, group) = (Conversation::Direct(ALICE, BOB), Conversation::Group(GROUP));
    let pushes = [message(direct, 42), message(group, 7)];
    let mut says = vec![login_ack(vec![message(direct, 41)])];
    says.extend(pushes.iter().map(Outgoing::Push));
    says.push(failed(Kind::OneChat, Errno::NotAllowed.into()));
    let said: Vec<String> = says.iter().flat_map(|message| said_by(&codec, message)).collect();
    let written = block_lines("json bare node to another spelling");
    assert_eq!(said, written);
}

#[test]
fn client_examples_are_requests_of_every_kind() {
    for (dialect, kinds) in [(Dialect::Framed, 16), (Dialect::Checked, 8), (Dialect::Bare, 8)] {
        let lines = block_lines(&format!("json {} client", dialect));
        let shown: HashSet<Kind> = lines.iter().map(|line| request(dialect, line).command.kind()).collect();
        assert_eq!(shown.len(), kinds, "{dialect:?}: {shown:?}");
    }
}

#[test]
fn whole_frames_are_taken() {
    for dialect in DIALECTS {
        let lines = block_lines(&format!("hex {} client", dialect));
        assert!(!lines.is_empty(), "{dialect:?}");
        for line in lines {
            let digits: Vec<u8> = line.bytes().filter(u8::is_ascii_hexdigit).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
            let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
            let mut input = BytesMut::from(&bytes[..]);
            let decoded = codec(dialect).decode(&mut input);
            assert!(matches!(decoded, Ok(Some(Incoming::Request(_)))), "{line}: {decoded:?}");
            assert!(input.iter().all(|&byte| byte == 0), "{line}");
        }
    }
}

#[test]
fn error_table_is_the_one_in_the_code() {
    for errno in ALL {
        let start = format!("| {} | ", errno.code());
        let row = DOCUMENT.lines().find(|line| line.starts_with(&start) && line.matches('|').count() == 4);
        let row = row.unwrap_or_else(|| panic!("no row for {errno:?}"));
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        assert_eq!(last.trim().starts_with("retryable"), errno.is_retryable(), "{row}");
    }
}
