//! One JSON object from bytes, for text that anyone on the network may have written.
//!
//! The text is UTF-8 or refused, nested no deeper than [`MAX_NESTING`] (counted before anything recurses, so the stack
//! is safe), free of duplicate keys at every level, and followed by nothing. Strings are borrowed where they hold no
//! escapes. No request has a field deeper than a list of strings, so whatever lies deeper is checked and dropped:
//! what a frame costs in memory stays a small multiple of its length.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// How deep arrays and objects may nest, the outermost object included; beyond it the frame is refused.
pub const MAX_NESTING: usize = 32;

/// Most requests have fewer fields, so that one allocation holds them.
const USUAL_FIELDS: usize = 8;
/// Up to here keys are compared each with each; beyond it they are sorted, which a hostile frame cannot make quadratic.
const FEW_KEYS: usize = 16;

/// One JSON value as far as any request looks into it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    UInt(u64),
    /// Always negative.
    Int(i64),
    /// Anything with a fraction or an exponent, and integers past 64 bits; infinite past what `f64` holds.
    Float(f64),
    Str(Cow<'a, str>),
    /// An array with nothing but strings in it, possibly empty.
    Strings(Vec<Cow<'a, str>>),
    /// Any other array.
    Array,
    Object,
}

/// The fields of the one object in a frame, in the order written, each name once.
#[derive(Debug)]
pub struct Fields<'a> {
    list: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Fields<'a> {
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Takes the field out, so that its text need not be copied.
    pub fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let place = self.list.iter().position(|(key, _)| key == name)?;
        Some(self.list.swap_remove(place).1)
    }
}

/// Why bytes are not one acceptable JSON object; the connection they came from cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("nested deeper than {MAX_NESTING}")]
    TooDeep,
    #[error("not a JSON object")]
    NotAnObject,
    #[error("not one JSON object: {0}")]
    Syntax(String),
}

/// Reads `bytes` as one JSON object with nothing but white space around it.
pub fn parse(bytes: &[u8]) -> Result<Fields<'_>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)?;
    if nests_too_deep(bytes) {
        return Err(Error::TooDeep);
    }
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(Error::NotAnObject);
    }
    // serde_json refuses numbers past f64, though they are lawful JSON. Only then, or when the text is wrong anyway,
    // is it read a second time in the way that copes with them.
    read(text, Numbers::Usual).or_else(|_| read(text, Numbers::Any)).map_err(|error| Error::Syntax(error.to_string()))
}

fn read(text: &str, numbers: Numbers) -> serde_json::Result<Fields<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(FieldsVisitor(numbers))?;
    deserializer.end()?;
    Ok(fields)
}

fn nests_too_deep(bytes: &[u8]) -> bool {
    // What opens at most this often cannot nest deeper, and counting needs no look at strings.
    if bytes.iter().filter(|&&byte| byte == b'{' || byte == b'[').count() <= MAX_NESTING {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return true;
        }
    }
    false
}

/// How numbers are read: the quick way, or one that also takes those past `f64` at the price of one more pass over
/// the text per level of nesting.
#[derive(Clone, Copy)]
enum Numbers {
    Usual,
    Any,
}

struct FieldsVisitor(Numbers);

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut list: Vec<(Cow<'de, str>, Value<'de>)> = Vec::with_capacity(USUAL_FIELDS);
        while let Some(key) = map.next_key_seed(Text)? {
            list.push((key, map.next_value_seed(self.0)?));
        }
        unique::<A::Error>(list.iter().map(|(key, _)| key.as_ref()))?;
        Ok(Fields { list })
    }
}

/// Fails if a key comes twice, once escapes are resolved.
fn unique<'k, E: serde::de::Error>(keys: impl ExactSizeIterator<Item = &'k str> + Clone) -> Result<(), E> {
    let twice = if keys.len() <= FEW_KEYS {
        keys.clone().enumerate().any(|(place, key)| keys.clone().take(place).any(|earlier| earlier == key))
    } else {
        let mut sorted: Vec<&str> = keys.collect();
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    };
    if twice { Err(E::custom("duplicate key")) } else { Ok(()) }
}

impl<'de> DeserializeSeed<'de> for Numbers {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        match self {
            Numbers::Usual => deserializer.deserialize_any(ValueVisitor(self)),
            Numbers::Any => {
                let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
                any_value(raw.get()).map_err(D::Error::custom)
            }
        }
    }
}

/// Reads the text of one value; a number of any size is taken.
fn any_value(text: &str) -> serde_json::Result<Value<'_>> {
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return serde_json::Deserializer::from_str(text).deserialize_any(ValueVisitor(Numbers::Any));
    }
    if let Ok(number) = text.parse() {
        return Ok(Value::UInt(number));
    }
    match text.parse() {
        Ok(number @ ..=-1) => Ok(Value::Int(number)),
        _ => text.parse().map(Value::Float).map_err(serde_json::Error::custom),
    }
}

struct ValueVisitor(Numbers);

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::UInt(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Str(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Str(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut strings = Some(Vec::new());
        while let Some(item) = items.next_element_seed(self.0)? {
            match (item, &mut strings) {
                (Value::Str(text), Some(list)) => list.push(text),
                _ => strings = None,
            }
        }
        Ok(strings.map_or(Value::Array, Value::Strings))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut keys: Vec<Cow<'de, str>> = Vec::new();
        while let Some(key) = map.next_key_seed(Text)? {
            map.next_value_seed(self.0)?;
            keys.push(key);
        }
        unique::<A::Error>(keys.iter().map(AsRef::as_ref))?;
        Ok(Value::Object)
    }
}

/// A string, borrowed where it holds no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Value<'_>) {
        let object = format!("{{\"x\":{text}}}");
        let fields = parse(object.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(fields.get("x"), Some(&expected), "{text}");
    }

    fn refuse(bytes: &[u8]) -> Error {
        parse(bytes).expect_err(&String::from_utf8_lossy(&bytes[..bytes.len().min(80)]))
    }

    fn nested(depth: usize, open: &str, close: &str) -> Vec<u8> {
        format!("{{\"x\":{}1{}}}", open.repeat(depth - 1), close.repeat(depth - 1)).into_bytes()
    }

    #[test]
    fn values_keep_their_type() {
        check("null", Value::Null);
        check("true", Value::Bool(true));
        check("0", Value::UInt(0));
        check("9007199254740992", Value::UInt(1 << 53));
        check("18446744073709551615", Value::UInt(u64::MAX));
        check("18446744073709551616", Value::Float(18446744073709551616.0));
        check("-1", Value::Int(-1));
        check("-9223372036854775809", Value::Float(-9223372036854775808.0));
        check("7.0", Value::Float(7.0));
        check("1e400", Value::Float(f64::INFINITY));
        check("-1e400", Value::Float(f64::NEG_INFINITY));
        check(&"9".repeat(400), Value::Float(f64::INFINITY));
        check("\"a\\u0000b\"", Value::Str("a\0b".into()));
        check("\"\\ud83d\\ude00\"", Value::Str("😀".into()));
        check("[]", Value::Strings(vec![]));
        check("[\"a\",\"b\"]", Value::Strings(vec!["a".into(), "b".into()]));
        check("[\"a\",1,\"b\"]", Value::Array);
        check("{\"a\":[1e400,{}]}", Value::Object);
    }

    #[test]
    fn huge_number_leaves_its_neighbours_alone() {
        let fields = parse(br#" {"a":"x\ty","b":1e999,"c":-3,"d":{"e":[1e999]}} "#).expect("lawful JSON");
        assert_eq!(fields.get("a"), Some(&Value::Str("x\ty".into())));
        assert_eq!(fields.get("c"), Some(&Value::Int(-3)));
        assert_eq!(fields.get("d"), Some(&Value::Object));
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let fields = parse(br#"{"msg":"hello"}"#).expect("lawful JSON");
        assert!(matches!(fields.get("msg"), Some(Value::Str(Cow::Borrowed("hello")))));
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["", " ", "null", "1", "\"x\"", "[]", "[{}]", "\0{}", "\u{feff}{}", "}"] {
            assert_eq!(refuse(text.as_bytes()), Error::NotAnObject, "{text}");
        }
        for text in [
            "{",
            "{}}",
            "{}{}",
            "{} x",
            "{}\0",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":1.}",
            "{\"a\":1e}",
            "{\"a\":tru}",
            "{\"a\":\"\0\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":[1e400,}",
            "{\"a\":1e400}x",
            "{1:2}",
        ] {
            assert!(matches!(refuse(text.as_bytes()), Error::Syntax(_)), "{text}");
        }
        for bytes in [&b"{\"a\":\"\xff\"}"[..], b"\xc0\x80", b"{}\x80", b"{\"a\":\"\xed\xa0\x80\"}"] {
            assert_eq!(refuse(bytes), Error::NotUtf8);
        }
    }

    #[test]
    fn duplicate_keys_are_refused_at_every_level() {
        let many: Vec<String> = (0..40).map(|key| format!("\"k{key}\":0")).collect();
        assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
        for text in [
            r#"{"a":1,"a":1}"#.to_owned(),
            r#"{"a":1,"b":2,"\u0061":3}"#.to_owned(),
            r#"{"x":{"a":1,"a":2}}"#.to_owned(),
            r#"{"x":[[{"a":{"b":0,"b":0}}]]}"#.to_owned(),
            r#"{"y":1e400,"x":[{"a":1,"a":2}]}"#.to_owned(),
            format!("{{{},\"k7\":1}}", many.join(",")),
            format!("{{\"x\":{{{},\"k7\":1}}}}", many.join(",")),
        ] {
            assert!(refuse(text.as_bytes()).to_string().contains("duplicate key"), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
            assert!(parse(&nested(MAX_NESTING, open, close)).is_ok());
            for depth in [MAX_NESTING + 1, 129, 10_000, 1_000_000] {
                assert_eq!(refuse(&nested(depth, open, close)), Error::TooDeep);
            }
        }
        assert_eq!(refuse(&b"[".repeat(1_000_000)), Error::TooDeep);
        assert_eq!(refuse(&b"{\"a\":".repeat(1_000_000)), Error::TooDeep);
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        let text = format!("{{\"a\\\"\":\"{}\\\\\",\"b\":\"\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
        assert!(parse(text.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn json_like_text_ends_in_a_result(text in "[{}\\[\\]\",:\\\\a1e.\\-tfn ]{0,60}") {
            let _ = parse(text.as_bytes());
        }
    }
}
