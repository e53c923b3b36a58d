//! What a probe says: every request under all the names that servers of the family have for its fields.
//!
//! Such a server takes the fields that it knows and looks at no other. It often does not survive a field that it
//! misses, or one that is not of the type expected; so all are there, whichever server it is. Where two names of a
//! field could both be meant, they carry different values, and what comes of it tells which was read.

use serde_json::{Map, Value, json};

/// The keys of a message's type, the usual ones first.
pub const TYPE_KEYS: [&str; 6] = ["msgid", "msgId", "msgType", "msgtype", "msg_id", "type"];
/// The fields of a result, and the values that mean done in one or the other.
const RESULTS: [&str; 7] = ["errno", "code", "error", "err", "success", "result", "status"];
/// Where a server says why it refuses something.
const REASONS: [&str; 7] = ["errmsg", "msg", "message", "error", "errormsg", "error msg", "reason"];
/// The fields of a password; each has one of its own.
pub const PASSWORDS: [&str; 2] = ["password", "pwd"];
/// The recipient of a chat message, and a friend to be made; each is another user.
pub const RECIPIENTS: [&str; 3] = ["toid", "to", "toId"];
pub const FRIENDS: [&str; 3] = ["friendid", "friendId", "friend_id"];
/// The sender of a message.
pub const SENDERS: [&str; 2] = ["id", "from"];
/// One's own id in requests.
const OWN: [&str; 5] = ["id", "userid", "userId", "user_id", "from"];

const NAMES: [&str; 2] = ["name", "username"];
const TEXTS: [&str; 2] = ["msg", "message"];
/// No server has so many users; none takes it for a number out of range.
const NOBODY: u64 = i32::MAX as u64 - 1;

/// Says who somebody is.
#[derive(Clone, Debug, Default)]
pub struct Person {
    pub id: u64,
    pub name: String,
}

/// The value of the password under each of its names.
pub fn secret(field: &str) -> String {
    format!("probe-{field}")
}

/// The number under every name of a type's key, and each field under all its names.
fn message(number: u64, fields: &[(&[&str], Value)]) -> Value {
    let mut message = Map::new();
    let types: (&[&str], Value) = (&TYPE_KEYS, number.into());
    for (names, value) in std::iter::once(&types).chain(fields) {
        for name in *names {
            message.insert((*name).to_owned(), value.clone());
        }
    }
    message.into()
}

/// Elsewhere this number may mean something else: what the requests that it mostly is then need is there as well, and
/// concerns nobody.
pub fn register(number: u64, name: &str) -> Value {
    let nobody = Value::from(NOBODY);
    let message = message(
        number,
        &[(&OWN, nobody.clone()), (&FRIENDS, nobody.clone()), (&RECIPIENTS, nobody), (&NAMES, name.into())],
    );
    with_passwords(message, None)
}

/// With `only`, the other fields of a password hold a wrong one.
pub fn login(number: u64, who: &Person, only: Option<&str>) -> Value {
    let message = message(number, &[(&OWN, who.id.into()), (&NAMES, who.name.as_str().into())]);
    with_passwords(message, only)
}

fn with_passwords(mut message: Value, only: Option<&str>) -> Value {
    for field in PASSWORDS {
        let is_right = only.is_none_or(|only| only == field);
        message[field] = if is_right { secret(field).into() } else { "wrong".into() };
    }
    message
}

pub fn logout(number: u64, who: &Person) -> Value {
    message(number, &[(&OWN, who.id.into())])
}

/// Each name of the field is another one's id.
pub fn add_friend(number: u64, who: &Person, friends: &[Person]) -> Value {
    each(message(number, &[(&OWN, who.id.into())]), &FRIENDS, friends)
}

/// Likewise.
pub fn chat(number: u64, from: &Person, to: &[Person], text: &str) -> Value {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let fields: [(&[&str], Value); 4] =
        [(&OWN, from.id.into()), (&NAMES, from.name.as_str().into()), (&TEXTS, text.into()), (&["time"], time.into())];
    each(message(number, &fields), &RECIPIENTS, to)
}

fn each(mut message: Value, names: &[&str], people: &[Person]) -> Value {
    for (name, person) in names.iter().zip(people) {
        message[*name] = person.id.into();
    }
    message
}

/// The type of a message, with its key.
pub fn type_of(message: &Value) -> Option<(&'static str, u64)> {
    TYPE_KEYS.iter().find_map(|key| Some((*key, message.get(*key)?.as_u64()?)))
}

/// What an answer says of the outcome: the field, its value, and whether that means done, as far as anybody knows.
pub fn result_of(message: &Value) -> Option<(&'static str, Value, bool)> {
    RESULTS.iter().find_map(|field| {
        let value = message.get(*field)?;
        let done = match value {
            Value::Bool(flag) => *flag,
            Value::Number(_) => [Some(0), Some(200)].contains(&value.as_u64()),
            Value::String(text) => ["0", "200", "ok", "OK", "success"].contains(&text.as_str()),
            _ => return None,
        };
        Some((*field, value.clone(), done))
    })
}

/// Why something was refused, in the server's words.
pub fn reason_of(message: &Value) -> String {
    let words = REASONS.iter().find_map(|field| message.get(*field)?.as_str().filter(|words| !words.is_empty()));
    words.map_or_else(|| crate::dialect::shorten(&message.to_string()), str::to_owned)
}

/// The text of a chat message, with its field.
pub fn text_of(message: &Value) -> Option<(&'static str, &str)> {
    TEXTS.into_iter().find_map(|field| Some((field, message.get(field)?.as_str()?)))
}

/// Whether it is the server itself who speaks, in a chat line, as our own nodes do.
pub fn is_the_servers_own(message: &Value) -> bool {
    message["id"] == json!(0) && message["name"] == "server" && text_of(message).is_some()
}
