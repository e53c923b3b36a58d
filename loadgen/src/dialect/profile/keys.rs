//! Which keys a profile may have, and the nearest to one that it may not.

use super::Profile;
use serde_json::Value;

/// Finds the first key that does not exist.
pub fn check(table: &toml::Table) -> Result<(), String> {
    let known = serde_json::to_value(Profile::default()).map_err(|error| error.to_string())?;
    check_table(table, &known, "")
}

fn check_table(table: &toml::Table, known: &Value, path: &str) -> Result<(), String> {
    for (key, value) in table {
        let Some(inner) = known.get(key) else {
            return Err(format!("unknown key {path}{key}; the nearest is {}", nearest(key)));
        };
        if let (toml::Value::Table(inner_table), Value::Object(_)) = (value, inner) {
            check_table(inner_table, inner, &format!("{path}{key}."))?;
        }
    }
    Ok(())
}

/// The key of any table that is most like `key`, with its table.
fn nearest(key: &str) -> String {
    let known = serde_json::to_value(Profile::default()).unwrap_or_default();
    let mut paths = Vec::new();
    for (name, value) in known.as_object().into_iter().flatten() {
        let inner = value.as_object().into_iter().flatten();
        paths.extend(inner.map(|(inner, value)| (format!("{name}.{inner}"), inner.clone(), value.clone())));
        paths.push((name.clone(), name.clone(), Value::Null));
    }
    let distance = |name: &str, value: &Value| {
        // Whoever writes the field's own name where ours belongs means that field.
        let by_value = value.as_str().map_or(usize::MAX, |value| 2 * edits(key, value) + 1);
        by_value.min(2 * edits(key, name))
    };
    let best = paths.into_iter().min_by_key(|(_, name, value)| distance(name, value));
    best.map_or(String::new(), |(path, ..)| path)
}

/// How many characters must be put in, taken out or replaced to make one of the other, whatever their case.
fn edits(one: &str, other: &str) -> usize {
    strsim::levenshtein(&one.to_lowercase(), &other.to_lowercase())
}
