use super::*;
use crate::message::State;
use proptest::prelude::*;
use serde_json::{Value, json};

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
            result: Ok(Reply::Chat(Some(Stored { log: "d1-2".into(), seq: 3, time: 5 }))),
        },
    );
    check(
        json!({"msgid": 5, "errno": 77, "errmsg": "odd"}),
        FromNode::Reply { mid: None, result: Err(Failure::new(Errno::NotAllowed, "errno 77: odd")) },
    );
    check(
        json!({"msgid": 31, "kind": "presence", "id": 4, "name": "d", "state": "online"}),
        FromNode::Event(Event::Presence { id: 4, name: "d".into(), state: State::Online }),
    );
    let message =
        json!({"msgid": 10, "conv": "g9", "seq": 1, "id": 4, "name": "d", "groupid": 9, "msg": "x", "time": 8});
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
    check(message.clone(), FromNode::Push(push()));
    let page = Page { conv: "g9".into(), messages: vec![push()], more: true, first_seq: None };
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
