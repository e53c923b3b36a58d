//! JSON that lost its backslashes.
//!
//! The classic servers put the JSON of a message into their SQL as it is, where MySQL takes `\"` for `"` and `\n` for a
//! new line. What is stored then holds the text itself between its quotes, and often is no JSON any more. A text ends
//! where what follows is a comma and the next field, or the end of the object. If that makes two fields of one name, or
//! one that these messages do not have, then somebody may have written so in the text: it is not guessed.

use serde_json::{Map, Value};

/// Longer rows are not looked at; MySQL's TEXT holds as much.
const MAX_BYTES: usize = 64 * 1024;
/// Looks at places where a text may end; a row that needs more counts as readable in several ways.
const MAX_LOOKS: usize = 100_000;
/// Fields in one message; those of the family have seven. It bounds how deep the reading nests.
const MAX_FIELDS: usize = 32;
/// The longest name of a field.
const MAX_NAME_BYTES: usize = 32;
/// What chat messages of the family have for fields, in lower case and without underscores.
const USUAL: [&str; 14] = [
    "msgid",
    "msgtype",
    "type",
    "id",
    "fromid",
    "from",
    "userid",
    "name",
    "toid",
    "to",
    "groupid",
    "groupname",
    "msg",
    "time",
];

/// How a row reads, with all between quotes taken as it stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Literal {
    /// Not at all: it is cut off, or something else altogether.
    Unreadable,
    /// Like this, as proper JSON.
    Object(String),
    /// Where a text ends cannot be told.
    Ambiguous,
}

/// Whether the text is a JSON object as it stands.
pub fn is_whole(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

/// Reads the text of an object whose strings have no escapes.
pub fn read(text: &str) -> Literal {
    if text.len() > MAX_BYTES {
        return Literal::Unreadable;
    }
    let Some(inside) = text.trim().strip_prefix('{') else { return Literal::Unreadable };
    let mut reader = Reader { text: inside, dead_ends: vec![false; inside.len() + 1], looks: 0 };
    let mut fields = Vec::new();
    if reader.fields(0, &mut fields) {
        return object(fields).map_or(Literal::Ambiguous, Literal::Object);
    }
    if reader.looks < MAX_LOOKS { Literal::Unreadable } else { Literal::Ambiguous }
}

struct Reader<'a> {
    text: &'a str,
    /// Places where a field may begin but from which there is no way to the end.
    dead_ends: Vec<bool>,
    looks: usize,
}

/// A field's name and the JSON of its value.
type Field<'a> = (&'a str, Value);

impl<'a> Reader<'a> {
    /// Reads fields from `at` to the end of the object. False if there is no way, and `read` is then as before.
    fn fields(&mut self, at: usize, read: &mut Vec<Field<'a>>) -> bool {
        if self.dead_ends[at] || read.len() >= MAX_FIELDS {
            return false;
        }
        let leads_on = name(self.text, at).is_some_and(|(name, value)| match self.text[value..].strip_prefix('"') {
            Some(string) => self.string(name, value + 1, string, read),
            None => self.plain(name, value, read),
        });
        self.dead_ends[at] = !leads_on;
        leads_on
    }

    /// A text, as short as can be.
    fn string(&mut self, name: &'a str, at: usize, string: &'a str, read: &mut Vec<Field<'a>>) -> bool {
        for (length, _) in string.match_indices('"') {
            self.looks += 1;
            if self.looks >= MAX_LOOKS {
                return false;
            }
            read.push((name, Value::from(&string[..length])));
            if self.next(at + length + 1, read) {
                return true;
            }
            read.pop();
        }
        false
    }

    /// A number, a truth or nothing.
    fn plain(&mut self, name: &'a str, at: usize, read: &mut Vec<Field<'a>>) -> bool {
        let rest = &self.text[at..];
        let length = rest.find([',', '}']).unwrap_or(rest.len());
        let Ok(value) = serde_json::from_str::<Value>(&rest[..length]) else { return false };
        if value.is_array() || value.is_object() {
            return false;
        }
        read.push((name, value));
        let leads_on = self.next(at + length, read);
        if !leads_on {
            read.pop();
        }
        leads_on
    }

    /// After a value: the next field, or the end.
    fn next(&mut self, at: usize, read: &mut Vec<Field<'a>>) -> bool {
        let rest = self.text[at..].trim_start();
        let at = self.text.len() - rest.len();
        rest.trim_end() == "}" || rest.starts_with(',') && self.fields(at + 1, read)
    }
}

/// The name of a field that begins at `at`, and where its value does.
fn name(text: &str, at: usize) -> Option<(&str, usize)> {
    let rest = text[at..].trim_start().strip_prefix('"')?;
    let (name, rest) = rest.split_once('"')?;
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    is_name.then_some((name, text.len() - value.len()))
}

/// `None` if a field is there twice, or is none of the usual ones.
fn object(fields: Vec<Field<'_>>) -> Option<String> {
    let mut object = Map::new();
    for (name, value) in fields {
        let usual = name.to_lowercase().replace('_', "");
        if !USUAL.contains(&&*usual) || object.insert(name.to_owned(), value).is_some() {
            return None;
        }
    }
    Some(Value::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, msg: &str) {
        let Literal::Object(json) = read(text) else { panic!("{text}: {:?}", read(text)) };
        let object: Value = serde_json::from_str(&json).expect("proper JSON");
        assert_eq!(object["msg"], msg, "{text}");
        assert_eq!((&object["id"], &object["msgid"]), (&Value::from(1), &Value::from(6)), "{text}");
    }

    #[test]
    fn text_is_read_as_it_stands() {
        check(r#"{"id":1,"msg":"say "hi" to her","msgid":6}"#, r#"say "hi" to her"#);
        check("{\"id\":1,\"msg\":\"two\nlines\tand a tab\",\"msgid\":6}", "two\nlines\tand a tab");
        check(r#"{"id":1,"msg":"C:\new","msgid":6,"name":"zhang"}"#, r"C:\new");
        check(r#"{"msg":""","id":1,"msgid":6}"#, "\"");
        check(r#"{"msg":"a, "b", and {"c"}","id":1,"msgid":6}"#, r#"a, "b", and {"c"}"#);
        check(r#"{"msg":"see {"msg" : x}","id":1,"msgid":6}"#, r#"see {"msg" : x}"#);
        check(r#" { "id" : 1 , "msg" : "plain" , "msgid" : 6 } "#, "plain");
        check(r#"{"id":1,"msgid":6,"msg":"ends with "quotes""}"#, r#"ends with "quotes""#);
        check(r#"{"id":1,"msg":"x","msgid":6,"name":"zhang "the" san","toid":2}"#, "x");
    }

    #[test]
    fn where_a_text_ends_is_not_guessed() {
        for text in [
            r#"{"id":1,"msg":"he wrote "msg":"a","msg":"b" to me","msgid":6}"#,
            r#"{"id":1,"msg":"a","msgid":7,"name":"b","msgid":6}"#,
            r#"{"id":1,"msg":"a","x":"b","msgid":6}"#,
        ] {
            assert_eq!(read(text), Literal::Ambiguous, "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_object_is_unreadable() {
        for text in
            ["", "x", "{", "{}", r#"{"id":1,"msg":"cut o"#, r#"{"id":1"#, r#"{"id":[1]}"#, r#"{"a b":1}"#, "[1]"]
        {
            assert_eq!(read(text), Literal::Unreadable, "{text}");
        }
    }

    #[test]
    fn hostile_rows_end() {
        let fields = format!("{{\"a\":\"{}", "\",\"a\":\"".repeat(5_000));
        assert!(!matches!(read(&fields), Literal::Object(_)));
        assert!(!matches!(read(&format!("{fields}\"}}")), Literal::Object(_)));
        assert_eq!(read(&"{".repeat(MAX_BYTES + 1)), Literal::Unreadable);
        assert_eq!(read(&format!("{{\"a\":\"{}", "\"".repeat(MAX_BYTES - 10))), Literal::Unreadable);
    }
}
