//! The names of all keys, and which of them was probably meant.
//!
//! They come from the settings' own default value, so there is no second list to keep.

use super::Config;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use strsim::levenshtein;

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Switch,
}

/// Every key as `section.key`, with its kind.
pub(super) fn keys() -> BTreeMap<String, Kind> {
    let Json::Object(sections) = serde_json::to_value(Config::default()).expect("settings serialise") else {
        unreachable!("a struct serialises to an object");
    };
    let mut keys = BTreeMap::new();
    for (section, values) in sections {
        for (key, value) in values.as_object().into_iter().flatten() {
            let kind = match value {
                Json::Bool(_) => Kind::Switch,
                Json::Number(_) => Kind::Integer,
                // Null is a path that is not set.
                _ => Kind::Text,
            };
            keys.insert(format!("{section}.{key}"), kind);
        }
    }
    keys
}

/// To be put behind an error; empty if there are no keys.
pub(super) fn nearest(keys: &BTreeMap<String, Kind>, name: &str) -> String {
    nearest_key(keys, name).map_or_else(String::new, |key| format!("; did you mean {key}?"))
}

/// The key that takes the fewest edits, whether its section was written or not. None is near where more than half of
/// the name would be another.
pub(super) fn nearest_key<'a>(keys: &'a BTreeMap<String, Kind>, name: &str) -> Option<&'a str> {
    let without_separator = name.replace(['.', '_'], "");
    let cost = |key: &str| {
        let (_, alone) = key.split_once('.').unwrap_or(("", key));
        // A key named under a wrong section is found, but after one that is near as a whole.
        let alone = levenshtein(&without_separator, &alone.replace('_', "")) + 1;
        let own = name
            .split_once('.')
            .map_or(usize::MAX, |(_, own)| levenshtein(own, key.split_once('.').unwrap_or(("", key)).1) + 1);
        levenshtein(&without_separator, &key.replace(['.', '_'], "")).min(alone).min(own)
    };
    let length = name.split_once('.').map_or(name, |(_, own)| own).chars().count();
    keys.keys().map(String::as_str).min_by_key(|key| cost(key)).filter(|key| cost(key) * 2 <= length)
}
