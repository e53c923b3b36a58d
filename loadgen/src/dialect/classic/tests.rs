//! What is said to classic servers and understood of them, profile by profile.

use super::*;
use serde_json::{Value, json};

const MINE: &str = r#"
    framing = "length_little"
    type_key = "msgId"
    done = true
    lists = "objects"
    login_by = "name"
    answered = ["login", "register", "create_group"]
    [types]
    create_group_ack = 18
    [fields]
    from = "from"
    to = "to"
    password = "pwd"
    result = "ok"
    reason = "error"
    time = ""
"#;

fn classic(name: &str) -> Classic {
    Classic::new(Profile::find(name).expect("shipped"))
}

fn mine() -> Classic {
    Classic::new(Profile::parse(MINE).expect("lawful"))
}

fn said(wire: &Classic, say: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    say(&mut out);
    let (payload, end) = wire.split(&out).expect("a frame").expect("a whole one");
    assert_eq!(end, out.len());
    serde_json::from_slice(&out[payload]).expect("JSON")
}

const LOGIN: Login<'_> = Login { id: Some(7), name: "a", password: "p", token: None, takeover: true };

#[test]
fn requests_are_as_the_course_has_them() {
    let course = classic("course");
    let check = |ask: Ask<'_>, expected: Value| {
        assert_eq!(said(&course, |out| course.ask(7, ask, Uuid::nil(), out)), expected);
    };
    check(Ask::Register { name: "a\"", password: "p" }, json!({ "msgid": 4, "name": "a\"", "password": "p" }));
    check(Ask::AddFriend { friend: 9 }, json!({ "msgid": 7, "id": 7, "friendid": 9 }));
    check(Ask::CreateGroup { name: "g" }, json!({ "msgid": 8, "id": 7, "groupname": "g", "groupdesc": "" }));
    check(Ask::JoinGroup { group: 3 }, json!({ "msgid": 9, "id": 7, "groupid": 3 }));
    check(Ask::Logout, json!({ "msgid": 3, "id": 7 }));
    assert_eq!(said(&course, |out| course.login(LOGIN, out)), json!({ "msgid": 1, "id": 7, "password": "p" }));
}

#[test]
fn chat_goes_to_friend_or_group_in_the_servers_words() {
    let chat = |to| Chat { from: 7, from_name: "a", to, text: "hi", mid: Uuid::nil(), qos: 1 };
    let course = classic("course");
    let mut said_to_group = said(&course, |out| course.chat(chat(Target::Group(3)), out));
    let time = said_to_group["time"].take();
    assert_eq!(time.as_str().map(str::len), Some("2020-01-02 03:04:05".len()));
    assert_eq!(said_to_group, json!({ "msgid": 10, "id": 7, "name": "a", "groupid": 3, "msg": "hi", "time": null }));
    let mine = mine();
    let expected = json!({ "msgId": 6, "from": 7, "name": "a", "to": 9, "msg": "hi" });
    assert_eq!(said(&mine, |out| mine.chat(chat(Target::User(9)), out)), expected);
    let by_name = json!({ "msgId": 1, "name": "a", "pwd": "p" });
    assert_eq!(said(&mine, |out| mine.login(LOGIN, out)), by_name);
}

#[test]
fn requests_are_as_descendants_in_camel_case_have_them() {
    let camel = classic("camel");
    let check = |ask: Ask<'_>, expected: Value| {
        assert_eq!(said(&camel, |out| camel.ask(7, ask, Uuid::nil(), out)), expected);
    };
    check(Ask::AddFriend { friend: 9 }, json!({ "msgId": 7, "id": 7, "friendId": 9 }));
    check(Ask::CreateGroup { name: "g" }, json!({ "msgId": 8, "id": 7, "groupName": "g", "groupDesc": "" }));
    check(Ask::JoinGroup { group: 3 }, json!({ "msgId": 9, "id": 7, "groupId": 3 }));
    let chat = Chat { from: 7, from_name: "a", to: Target::User(9), text: "hi", mid: Uuid::nil(), qos: 1 };
    let mut to_friend = said(&camel, |out| camel.chat(chat, out));
    to_friend["time"].take();
    assert_eq!(to_friend, json!({ "msgId": 6, "id": 7, "name": "a", "to": 9, "msg": "hi", "time": null }));
}

#[test]
fn messages_end_as_the_framing_has_it() {
    let check = |name: &str, first: u8, last: Option<u8>| {
        let wire = classic(name);
        let mut out = Vec::new();
        wire.login(LOGIN, &mut out);
        assert_eq!(out[0], first, "{name}");
        assert!(last.is_none_or(|last| out.last() == Some(&last)), "{name}");
    };
    check("course", b'{', Some(0));
    check("checked", 0xFE, None);
}

#[test]
fn logins_bring_groups_and_what_waited() {
    let check = |wire: &Classic, text: &str| {
        let read = wire.read(text.as_bytes()).expect("lawful");
        let Incoming::Welcome(welcome) = read else { panic!("{text}: {read:?}") };
        assert_eq!((welcome.id, welcome.waiting), (7, 1), "{text}");
        assert_eq!(welcome.groups, [("g".to_owned(), 3)], "{text}");
        let message = wire.read(welcome.messages[0].as_bytes()).expect("lawful");
        assert!(matches!(message, Incoming::Push(push) if push.from == 9 && push.text == "hi"), "{text}");
    };
    check(
        &classic("course"),
        r#"{"msgid":2,"errno":0,"id":7,"name":"a","offlinemsg":["{\"msgid\":6,\"id\":9,\"toid\":7,\"msg\":\"hi\"}"],
            "groups":["{\"id\":3,\"groupname\":\"g\",\"users\":[]}"]}"#,
    );
    check(
        &classic("checked"),
        r#"{"msgType":2,"code":200,"id":7,"offlinemessage":["{\"msgType\":6,\"id\":9,\"toid\":7,\"msg\":\"hi\"}"],
            "groups":["{\"id\":3,\"name\":\"g\"}"]}"#,
    );
    check(
        &classic("camel"),
        r#"{"msgId":2,"errno":0,"id":7,"offlineMsg":["{\"msgId\":6,\"id\":9,\"to\":7,\"msg\":\"hi\"}"],
            "groups":["{\"groupId\":3,\"groupName\":\"g\"}"]}"#,
    );
    check(
        &mine(),
        r#"{"msgId":2,"ok":true,"id":"7","offlinemsg":[{"msgId":6,"from":9,"to":7,"msg":"hi"}],
            "groups":[{"id":3,"groupname":"g"}]}"#,
    );
}

#[test]
fn answers_are_told_apart() {
    let (course, checked, mine) = (classic("course"), classic("checked"), mine());
    let check = |wire: &Classic, text: &str, expected: fn(&Incoming<'_>) -> bool| {
        let read = wire.read(text.as_bytes()).expect("lawful");
        assert!(expected(&read), "{text}: {read:?}");
    };
    check(&course, r#"{"msgid":5,"errno":0,"id":13}"#, |read| matches!(read, Incoming::Answer { result: Ok(13), .. }));
    check(&course, r#"{"msgid":5,"errno":1}"#, |read| matches!(read, Incoming::Answer { result: Err(_), .. }));
    check(
        &course,
        r#"{"msgid":2,"errno":2,"errmsg":"online already"}"#,
        |read| matches!(read, Incoming::LoginRefused(refusal) if refusal.code == 2 && refusal.text == "online already"),
    );
    check(&course, r#"{"msgid":2}"#, |read| matches!(read, Incoming::LoginRefused(_)));
    check(&course, r#"{"msgid":99}"#, |read| *read == Incoming::Other);
    check(&checked, r#"{"msgType":7,"code":200,"msg":"sent"}"#, |read| {
        matches!(read, Incoming::Settled { result: Ok(()), .. })
    });
    check(
        &checked,
        r#"{"msgType":7,"code":7,"msg":"not a friend"}"#,
        |read| matches!(read, Incoming::Settled { result: Err(refusal), .. } if refusal.text == "not a friend"),
    );
    check(&mine, r#"{"msgId":18,"ok":true,"groupid":5}"#, |read| {
        matches!(read, Incoming::Answer { result: Ok(5), .. })
    });
    const EXISTS: u64 = Errno::Exists.code() as u64;
    check(
        &mine,
        r#"{"msgId":5,"ok":false,"error":"taken"}"#,
        |read| matches!(read, Incoming::Answer { result: Err(refusal), .. } if refusal.code == EXISTS),
    );
}

#[test]
fn other_protocols_and_other_forms_are_named() {
    let check = |wire: &Classic, text: &str, part: &str| {
        let error = wire.read(text.as_bytes()).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    };
    check(&classic("course"), r#"{"msgType":2}"#, "msgid");
    check(&classic("course"), r#"{"msgid":2,"errno":0,"offlinemsg":[{"msgid":6}]}"#, "lists");
    check(&mine(), r#"{"msgId":2,"ok":true,"offlinemsg":["{}"]}"#, "lists");
    check(&classic("course"), "[1]", "");
}
