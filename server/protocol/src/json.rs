//! One JSON object from bytes, for text that anyone on the network may have written.
//!
//! The text is UTF-8 or refused, nested no deeper than [`MAX_NESTING`] (counted before anything recurses, so the stack
//! is safe), free of duplicate keys at every level, and followed by nothing. Strings are borrowed where they hold no
//! escapes. No request has a field deeper than a list of strings, so whatever lies deeper is checked and dropped:
//! what a frame costs in memory stays a small multiple of its length.

use crate::scan::{After, Outside, Scanner, Text};
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
    if let Some(fields) = scan(text) {
        return Ok(fields);
    }
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

/// Reads an object of the usual form; `None`: it has another, or is wrong.
fn scan(text: &str) -> Option<Fields<'_>> {
    let mut scanner = Scanner::object(text)?;
    let mut list = Vec::with_capacity(USUAL_FIELDS);
    loop {
        let key = scanner.key()?;
        let value = match scanner.is_at_string() {
            true => Value::Str(Cow::Borrowed(scanner.string()?)),
            false => Value::UInt(scanner.number()?),
        };
        list.push((Cow::Borrowed(key), value));
        if scanner.after_value()? == After::End {
            break;
        }
    }
    is_unique(list.iter().map(|(key, _)| key.as_ref())).then_some(Fields { list })
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
    let (mut depth, mut outside) = (0_usize, Outside::default());
    for &byte in bytes.iter().filter(|&&byte| outside.holds(byte)) {
        match byte {
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
        while let Some(key) = map.next_key::<Text<'de>>()? {
            list.push((key.0, map.next_value_seed(self.0)?));
        }
        unique::<A::Error>(list.iter().map(|(key, _)| key.as_ref()))?;
        Ok(Fields { list })
    }
}

/// Fails if a key comes twice, once escapes are resolved.
fn unique<'k, E: serde::de::Error>(keys: impl ExactSizeIterator<Item = &'k str> + Clone) -> Result<(), E> {
    if is_unique(keys) { Ok(()) } else { Err(E::custom("duplicate key")) }
}

fn is_unique<'k>(keys: impl ExactSizeIterator<Item = &'k str> + Clone) -> bool {
    if keys.len() <= FEW_KEYS {
        return !keys.clone().enumerate().any(|(place, key)| keys.clone().take(place).any(|earlier| earlier == key));
    }
    let mut sorted: Vec<&str> = keys.collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
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
        while let Some(key) = map.next_key::<Text<'de>>()? {
            map.next_value_seed(self.0)?;
            keys.push(key.0);
        }
        unique::<A::Error>(keys.iter().map(AsRef::as_ref))?;
        Ok(Value::Object)
    }
}

#[cfg(test)]
mod tests;
