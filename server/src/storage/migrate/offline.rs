//! Making sense of the JSON text in a row of `offlinemessage`.
//!
//! The classic servers store the chat message as the client sent it:
//! `{"msgid":6,"id":1,"name":"zhang","toid":2,"msg":"hi", "time":"…"}` to a user, `"msgid":10` with `groupid` to a
//! group. Their descendants differ in the number of the message and write ids as text at times; what decides is the
//! fields that are there.

use chat_protocol::conversation::{Conversation, MAX_ID, UserId};
use chat_protocol::message::{SentAs, TimeMs};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// The way all of them write the time.
const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

#[derive(Debug, PartialEq, Eq)]
pub struct Parsed {
    pub conv: Conversation,
    pub sender: UserId,
    pub msg: String,
    /// `None` if the message does not say, or not in the usual way.
    pub time: Option<TimeMs>,
    pub sent_as: SentAs,
}

/// Reads the message that waits for `recipient`; the error says what is missing.
pub fn parse(recipient: UserId, text: &str) -> Result<Parsed, String> {
    // C++ servers may have stored what follows the end of a C string as well.
    let text = text.trim_end_matches('\0');
    let fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object ({error})"))?;
    let sender = id(&fields, "id")?;
    let conv = if fields.contains_key("groupid") {
        Conversation::Group(id(&fields, "groupid")?)
    } else if sender == recipient {
        return Err("sent to oneself".into());
    } else {
        Conversation::direct(sender, recipient)
    };
    let msg = fields.get("msg").and_then(Value::as_str).ok_or("no text in \"msg\"")?.to_owned();
    let own = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let sent_as = SentAs { name: own("name"), time: own("time") };
    let time = sent_as.time.as_deref().and_then(milliseconds);
    Ok(Parsed { conv, sender, msg, time, sent_as })
}

fn id(fields: &Map<String, Value>, name: &str) -> Result<u64, String> {
    let id = match fields.get(name) {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    id.filter(|id| (1..MAX_ID).contains(id)).ok_or_else(|| format!("no id in {name:?}"))
}

/// Written in the client's local time; this machine's is the best guess.
fn milliseconds(text: &str) -> Option<TimeMs> {
    let time = DateTime::strptime(TIME_FORMAT, text).ok()?;
    let time = TimeZone::system().to_timestamp(time).ok()?.as_millisecond();
    (time > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_all_kinds_are_understood() {
        let check = |text: &str, conv: Conversation, msg: &str| {
            let parsed = parse(2, text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!((parsed.conv, parsed.sender, &*parsed.msg), (conv, 1, msg), "{text}");
        };
        let direct = Conversation::direct(1, 2);
        check(r#"{"msgid":6,"id":1,"name":"zhang","toid":2,"msg":"hi","time":"2024-01-01 10:00:00"}"#, direct, "hi");
        check(r#"{"id":"1","msg":"世界\n","msgType":6,"toid":"2"}"#, direct, "世界\n");
        check(r#"{"msgid":10,"id":1,"groupid":7,"msg":""}"#, Conversation::Group(7), "");
        check("{\"id\":1,\"msg\":\"x\"}\0\0", direct, "x");
    }

    #[test]
    fn own_name_and_time_are_kept_as_sent() {
        let text = r#"{"id":1,"name":"zhang","toid":2,"msg":"hi","time":"yesterday"}"#;
        let parsed = parse(2, text).expect("it is whole");
        assert_eq!(parsed.sent_as, SentAs { name: Some("zhang".into()), time: Some("yesterday".into()) });
        assert_eq!(parsed.time, None);
        let usual = parse(2, &text.replace("yesterday", "2024-01-01 10:00:00")).expect("it is whole");
        let day = 24 * 60 * 60 * 1_000;
        assert!(usual.time.is_some_and(|time| (time - 1_704_103_200_000).abs() <= day), "{usual:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |text: &str, reason: &str| {
            let error = parse(2, text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        };
        check(r#"{"msgid":6,"id":1,"name":"zhang","msg":"cut o"#, "not a JSON object");
        check("hello", "not a JSON object");
        check("", "not a JSON object");
        check("[1]", "not a JSON object");
        check(r#"{"msg":"x"}"#, "\"id\"");
        check(r#"{"id":-1,"msg":"x"}"#, "\"id\"");
        check(r#"{"id":1,"groupid":"club","msg":"x"}"#, "\"groupid\"");
        check(r#"{"id":1,"toid":2}"#, "\"msg\"");
        check(r#"{"id":2,"toid":2,"msg":"x"}"#, "oneself");
    }
}
