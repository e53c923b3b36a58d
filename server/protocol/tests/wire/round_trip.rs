//! However a stream is cut into pieces, the same messages come out; and what a node says holds what it was made of.

use crate::support::{DIALECTS, codec, decode_all, frame, said_once};
use bytes::BytesMut;
use chat_protocol::Dialect;
use chat_protocol::conversation::{Conversation, Log, MAX_ID, Target};
use chat_protocol::message::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![1..100_u64, 1..MAX_ID]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![id().prop_map(Target::User), id().prop_map(Target::Group)]
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9\"\\\\{}李雷é]{1,50}"
}

fn secret() -> impl Strategy<Value = Secret> {
    vec(any::<char>(), 1..=128).prop_map(|characters| Secret(characters.into_iter().collect()))
}

fn conversation() -> impl Strategy<Value = Conversation> {
    (id(), id(), any::<bool>()).prop_map(|(one, other, direct)| {
        if direct && one != other { Conversation::direct(one, other) } else { Conversation::Group(one) }
    })
}

fn log() -> impl Strategy<Value = Log> {
    (conversation(), prop_oneof![Just(0), any::<u32>()]).prop_map(|(conv, epoch)| Log { conv, epoch })
}

/// Requests that every dialect has.
fn classic_command() -> impl Strategy<Value = Command> {
    let sent_as = (option::of(any::<String>()), option::of(any::<String>()))
        .prop_filter("one of them", |(name, time)| name.is_some() || time.is_some())
        .prop_map(|(name, time)| Box::new(SentAs { name, time }));
    prop_oneof![
        (id(), secret()).prop_map(|(id, password)| {
            let (who, proof) = (Who::Id(id), Proof::Password(password));
            Command::Login(Login { who, proof, takeover: false, events: false, acknowledges: false })
        }),
        Just(Command::Logout(Logout { revoke: false })),
        (name(), secret()).prop_map(|(name, password)| Command::Register(Register { name, password })),
        (target(), any::<String>(), option::of(sent_as))
            .prop_map(|(to, msg, sent_as)| { Command::Chat(Chat { to, msg, stored: true, mid: None, sent_as }) }),
        id().prop_map(by_id),
        (name(), name()).prop_map(|(groupname, groupdesc)| Command::CreateGroup(CreateGroup { groupname, groupdesc })),
        id().prop_map(|groupid| Command::JoinGroup(JoinGroup { groupid })),
    ]
}

fn by_id(friend: u64) -> Command {
    Command::AddFriend(AddFriend { friend: Who::Id(friend) })
}

/// Requests as the framed dialect has them.
fn framed_command() -> impl Strategy<Value = Command> {
    let login = (any::<[bool; 4]>(), id(), name(), secret()).prop_map(
        |([by_id, by_token, takeover, events], id, name, secret)| {
            let who = if by_id { Who::Id(id) } else { Who::Name(name) };
            let proof = if by_token { Proof::Token(secret) } else { Proof::Password(secret) };
            Command::Login(Login { who, proof, takeover, events, acknowledges: true })
        },
    );
    let chat = (target(), any::<String>(), any::<bool>(), any::<u128>()).prop_map(|(to, msg, stored, mid)| {
        Command::Chat(Chat { to, msg, stored, mid: Some(Uuid::from_u128(mid)), sent_as: None })
    });
    prop_oneof![
        login,
        any::<bool>().prop_map(|revoke| Command::Logout(Logout { revoke })),
        (name(), secret()).prop_map(|(name, password)| Command::Register(Register { name, password })),
        chat,
        id().prop_map(by_id),
        name().prop_map(|name| Command::AddFriend(AddFriend { friend: Who::Name(name) })),
        (name(), name()).prop_map(|(groupname, groupdesc)| Command::CreateGroup(CreateGroup { groupname, groupdesc })),
        id().prop_map(|groupid| Command::JoinGroup(JoinGroup { groupid })),
        (log(), 0..MAX_ID).prop_map(|(log, seq)| Command::Received(Received { conv: log.to_string(), seq })),
        (target(), option::of(0..MAX_ID), 1..=200_u32).prop_map(|(of, before, limit)| Command::History(History {
            of,
            before,
            limit
        })),
        Just(Command::Ping(Ping {})),
        Just(Command::Pong(Pong {})),
        id().prop_map(|friendid| Command::RemoveFriend(RemoveFriend { friendid })),
        id().prop_map(|groupid| Command::LeaveGroup(LeaveGroup { groupid })),
        option::of((id(), 0..MAX_ID, 1..=200_u32).prop_map(|(group, after, limit)| GroupPage { group, after, limit }))
            .prop_map(|page| Command::Roster(AskRoster { page })),
        (secret(), secret()).prop_map(|(old, new)| Command::ChangePassword(ChangePassword { old, new })),
    ]
}

fn number(dialect: Dialect, kind: Kind) -> u64 {
    const KINDS: [(Kind, u64, u64); 16] = [
        (Kind::Login, 1, 1),
        (Kind::Logout, 3, 3),
        (Kind::Register, 4, 4),
        (Kind::OneChat, 6, 6),
        (Kind::AddFriend, 7, 9),
        (Kind::CreateGroup, 8, 10),
        (Kind::JoinGroup, 9, 11),
        (Kind::GroupChat, 10, 8),
        (Kind::Received, 16, 0),
        (Kind::History, 17, 0),
        (Kind::Ping, 19, 0),
        (Kind::Pong, 20, 0),
        (Kind::RemoveFriend, 22, 0),
        (Kind::LeaveGroup, 24, 0),
        (Kind::Roster, 26, 0),
        (Kind::ChangePassword, 28, 0),
    ];
    let (_, msgid, msg_type) = KINDS.into_iter().find(|row| row.0 == kind).expect("every kind has a row");
    if dialect == Dialect::Checked { msg_type } else { msgid }
}

fn target_field(to: Target) -> (&'static str, u64) {
    match to {
        Target::User(user) => ("toid", user),
        Target::Group(group) => ("groupid", group),
    }
}

/// The fields of a command as a client writes them.
fn fields(command: &Command) -> Value {
    match command {
        Command::Login(login) => login_fields(login),
        Command::Logout(Logout { revoke }) => json!({ "revoke": revoke }),
        Command::Register(Register { name, password }) => json!({ "name": name, "password": password.0 }),
        Command::Chat(chat) => chat_fields(chat),
        Command::AddFriend(AddFriend { friend: Who::Name(name) }) => json!({ "name": name }),
        Command::AddFriend(AddFriend { friend: Who::Id(friendid) })
        | Command::RemoveFriend(RemoveFriend { friendid }) => {
            json!({ "friendid": friendid })
        }
        Command::CreateGroup(CreateGroup { groupname, groupdesc }) => {
            json!({ "groupname": groupname, "groupdesc": groupdesc })
        }
        Command::JoinGroup(JoinGroup { groupid }) | Command::LeaveGroup(LeaveGroup { groupid }) => {
            json!({ "groupid": groupid })
        }
        Command::Received(Received { conv, seq }) => json!({ "conv": conv, "seq": seq }),
        Command::History(History { of, before, limit }) => {
            let (field, number) = target_field(*of);
            let mut history = json!({ field: number, "limit": limit });
            if let Some(before) = before {
                history["before"] = json!(before);
            }
            history
        }
        Command::Ping(_) | Command::Pong(_) | Command::Roster(AskRoster { page: None }) => json!({}),
        Command::Roster(AskRoster { page: Some(page) }) => {
            json!({ "groupid": page.group, "after": page.after, "limit": page.limit })
        }
        Command::ChangePassword(ChangePassword { old, new }) => json!({ "old": old.0, "new": new.0 }),
    }
}

fn login_fields(login: &Login) -> Value {
    let mut object = json!({ "takeover": login.takeover, "v": 1, "caps": ["x"] });
    match &login.who {
        Who::Id(id) => object["id"] = json!(id),
        Who::Name(name) => object["name"] = json!(name),
    }
    match &login.proof {
        Proof::Password(secret) => object["password"] = json!(secret.0),
        Proof::Token(secret) => object["token"] = json!(secret.0),
    }
    if login.events {
        object["caps"] = json!(["x", "events"]);
    }
    object
}

fn chat_fields(chat: &Chat) -> Value {
    let (field, number) = target_field(chat.to);
    let mut object = json!({ field: number, "msg": chat.msg, "mid": chat.mid, "qos": u8::from(chat.stored) });
    if let Some(SentAs { name, time }) = chat.sent_as.as_deref() {
        for (field, text) in [("name", name), ("time", time)] {
            if let Some(text) = text {
                object[field] = json!(text);
            }
        }
    }
    object
}

fn written(dialect: Dialect, command: &Command) -> Vec<u8> {
    let mut object = fields(command);
    let number_field = if dialect == Dialect::Checked { "msgType" } else { "msgid" };
    object[number_field] = json!(number(dialect, command.kind()));
    frame(dialect, object.to_string())
}

fn commands(decoded: Vec<Incoming>) -> Vec<Command> {
    let command = |incoming| match incoming {
        Incoming::Request(request) => request.command,
        Incoming::Refused { kind, failure, .. } => panic!("{kind:?}: {failure}"),
    };
    decoded.into_iter().map(command).collect()
}

/// Feeds `bytes` in pieces of the given lengths, over and over.
fn fed_in_pieces(dialect: Dialect, bytes: &[u8], lengths: &[usize]) -> Vec<Command> {
    let (mut codec, mut input, mut decoded) = (codec(dialect), BytesMut::new(), Vec::new());
    let mut rest = bytes;
    for length in lengths.iter().cycle() {
        let (piece, later) = rest.split_at((*length).min(rest.len()));
        input.extend_from_slice(piece);
        decoded.extend(decode_all(&mut codec, &mut input).expect("lawful messages"));
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert!(input.is_empty(), "left over: {input:?}");
    commands(decoded)
}

fn chat_message() -> impl Strategy<Value = ChatMessage> {
    let of_sender = (id(), name(), option::of((option::of(name()), option::of(name()))));
    // From year 1 to year 9999, as far as a classic client's time can say.
    let times = -62_135_596_800_000..253_402_207_200_000_i64;
    (log(), 0..MAX_ID, of_sender, any::<String>(), times, any::<u128>()).prop_map(
        |(Log { conv, epoch: log_epoch }, seq, (sender, name, sent_as), msg, time, mid)| ChatMessage {
            log_epoch,
            conv,
            seq,
            sender: if let Conversation::Direct(low, _) = conv { low } else { sender },
            name: name.into(),
            msg: msg.into(),
            time,
            mid: Uuid::from_u128(mid),
            sent_as: sent_as.map(|(name, time)| Box::new(SentAs { name, time })),
        },
    )
}

proptest! {
    #[test]
    fn framed_requests_survive_any_cutting(
        sent in vec(framed_command(), 1..8),
        lengths in vec(1..200_usize, 1..8),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|command| written(Dialect::Framed, command)).collect();
        prop_assert_eq!(&fed_in_pieces(Dialect::Framed, &bytes, &lengths), &sent);
        prop_assert_eq!(&fed_in_pieces(Dialect::Framed, &bytes, &[1]), &sent);
    }

    #[test]
    fn node_reads_what_a_client_writes(sent in vec(framed_command(), 1..8)) {
        let mut bytes = Vec::new();
        for command in &sent {
            command.write(None, &mut bytes);
        }
        prop_assert_eq!(&fed_in_pieces(Dialect::Framed, &bytes, &[bytes.len()]), &sent);
    }

    #[test]
    fn checked_requests_survive_any_cutting(
        sent in vec(classic_command(), 1..8),
        lengths in vec(1..200_usize, 1..8),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|command| written(Dialect::Checked, command)).collect();
        prop_assert_eq!(&fed_in_pieces(Dialect::Checked, &bytes, &lengths), &sent);
        prop_assert_eq!(&fed_in_pieces(Dialect::Checked, &bytes, &[1]), &sent);
    }

    #[test]
    fn bare_requests_survive_any_cutting_and_separators(
        sent in vec((classic_command(), "[\0 \r\n\t]{0,3}"), 1..8),
        lengths in vec(1..200_usize, 1..8),
    ) {
        let written = |(command, separator): &(Command, String)| {
            [written(Dialect::Bare, command), separator.clone().into_bytes()].concat()
        };
        let bytes: Vec<u8> = sent.iter().flat_map(written).collect();
        let sent: Vec<Command> = sent.into_iter().map(|(command, _)| command).collect();
        prop_assert_eq!(&fed_in_pieces(Dialect::Bare, &bytes, &lengths), &sent);
        prop_assert_eq!(&fed_in_pieces(Dialect::Bare, &bytes, &[1]), &sent);
    }

    #[test]
    fn framed_push_says_what_it_was_made_of(message in chat_message()) {
        let push: Value = serde_json::from_str(&said_once(Dialect::Framed, &Outgoing::Push(&message)))?;
        prop_assert_eq!(&push["conv"], &json!(message.log().to_string()));
        prop_assert_eq!(push.get("seq").cloned(), (message.seq > 0).then(|| json!(message.seq)));
        prop_assert_eq!(push.get("qos").cloned(), (message.seq == 0).then(|| json!(0)));
        prop_assert_eq!(&push["id"], &json!(message.sender));
        prop_assert_eq!((&push["name"], &push["msg"]), (&json!(message.name), &json!(message.msg)));
        prop_assert_eq!((&push["time"], &push["mid"]), (&json!(message.time), &json!(message.mid)));
        let (field, to) = target_field(message.conv.target_from(message.sender));
        prop_assert_eq!(&push[field], &json!(to));
    }

    #[test]
    fn classic_push_is_as_sent(message in chat_message()) {
        let sent_as = message.sent_as.clone().unwrap_or_default();
        for dialect in [Dialect::Checked, Dialect::Bare] {
            let push: Value = serde_json::from_str(&said_once(dialect, &Outgoing::Push(&message)))?;
            let name = sent_as.name.as_deref().unwrap_or(&message.name);
            prop_assert_eq!((&push["name"], &push["msg"]), (&json!(name), &json!(message.msg)));
            match &sent_as.time {
                Some(time) => prop_assert_eq!(&push["time"], &json!(time)),
                None => prop_assert_eq!(push["time"].as_str().map(str::len), Some("YYYY-MM-DD HH:MM:SS".len())),
            }
            let (field, to) = target_field(message.conv.target_from(message.sender));
            prop_assert_eq!((&push["id"], &push[field]), (&json!(message.sender), &json!(to)));
        }
    }

    #[test]
    fn pushes_follow_one_another_in_one_buffer(messages in vec(chat_message(), 0..5)) {
        for dialect in DIALECTS {
            let (mut together, mut apart) = (BytesMut::new(), Vec::new());
            for message in &messages {
                codec(dialect).encode(&Outgoing::Push(message), &mut together);
                let mut alone = BytesMut::new();
                codec(dialect).encode(&Outgoing::Push(message), &mut alone);
                apart.extend_from_slice(&alone);
            }
            prop_assert_eq!(&together[..], &apart[..]);
        }
    }
}
