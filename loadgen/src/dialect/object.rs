//! One JSON object whose field names are known only at run time: read without copying, written in order.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The fields of an object, each value as it was written.
#[derive(Debug)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Object<'a>, String> {
        serde_json::from_slice(payload).map_err(|error| error.to_string())
    }

    /// The field as it was written; none where its name is empty.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| !name.is_empty() && known == name).map(|(_, value)| *value)
    }

    /// The name under which a field is there: as given, or else in other capitals, as in `offlineMsg` for `offlinemsg`.
    pub fn spelled<'n>(&'n self, name: &'n str) -> &'n str {
        let other = || self.0.iter().map(|(known, _)| &**known).find(|known| known.eq_ignore_ascii_case(name));
        if name.is_empty() || self.raw(name).is_some() { name } else { other().unwrap_or(name) }
    }

    /// All of it, or as much as a person is shown.
    pub fn shown(&self) -> String {
        let fields = self.0.iter().map(|(name, value)| format!("{name:?}:{}", value.get()));
        super::shorten(&format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
    }

    /// The field as a string.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let text: Text<'a> = serde_json::from_str(self.raw(name)?.get()).ok()?;
        Some(text.0)
    }

    /// The field as a number; some servers write numbers as strings.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.raw(name)?.get();
        text.trim_matches('"').parse().ok()
    }

    /// The entries of a list, each as it was written; `None` where the field is missing.
    pub fn list(&self, name: &str) -> Result<Option<Vec<&'a RawValue>>, String> {
        let Some(value) = self.raw(name).filter(|value| value.get() != "null") else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|error| format!("{name}: {error}"))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((name.0, value));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Writes an object, field by field; those without a name are left out.
pub(super) fn write(out: &mut Vec<u8>, fields: &[(&str, &dyn Field)]) {
    let mut serializer = serde_json::Serializer::new(out);
    let written = serializer.serialize_map(None).and_then(|mut map| {
        for (name, value) in fields.iter().filter(|(name, _)| !name.is_empty()) {
            value.put(name, &mut map)?;
        }
        map.end()
    });
    written.expect("strings and numbers can be written, and memory takes all");
}

type Map<'a> = serde_json::ser::Compound<'a, &'a mut Vec<u8>, serde_json::ser::CompactFormatter>;

/// A value that can be written: anything plain.
pub(super) trait Field {
    fn put(&self, name: &str, map: &mut Map<'_>) -> serde_json::Result<()>;
}

impl<T: Serialize> Field for T {
    fn put(&self, name: &str, map: &mut Map<'_>) -> serde_json::Result<()> {
        map.serialize_entry(name, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_whatever_their_form() {
        let mut out = Vec::new();
        write(&mut out, &[("id", &7_u64), ("", &"left out"), ("name", &"a\"b"), ("list", &["x", "y"])]);
        let object = Object::parse(&out).expect("an object");
        assert_eq!(object.number("id"), Some(7));
        assert_eq!(object.text("name").as_deref(), Some("a\"b"));
        assert_eq!(object.list("list").expect("a list").map(|list| list.len()), Some(2));
        assert_eq!(object.list("none").expect("no list").map(|list| list.len()), None);
        assert!(object.list("name").is_err());
        assert_eq!(Object::parse(br#"{"id":"12"}"#).expect("an object").number("id"), Some(12));
        assert!(Object::parse(b"[1]").is_err());
    }
}
