//! Settings that come from the environment: `CHAT_SECTION__KEY` overrides `section.key`.

use super::Error;
use super::keys::{Kind, keys, nearest_key};
use std::collections::BTreeMap;
use std::ffi::OsString;
use toml::{Table, Value};

/// What our variables begin with.
const PREFIX: &str = "CHAT_";
/// Not a setting: where `chat-server migrate` finds the URL of the classic database.
pub const MIGRATE_FROM: &str = "CHAT_MIGRATE_FROM";
/// Between section and key in a variable.
const SEPARATOR: &str = "__";

/// What to say of the variables of this process that begin as ours do and name no section: nothing, or one line.
///
/// They are no error, since Kubernetes makes such for every service: for one called `chat`, `CHAT_SERVICE_HOST` and
/// `CHAT_PORT` among others.
pub fn unknown_variables() -> Option<String> {
    unknown_among(std::env::vars_os().map(|(name, _)| name))
}

pub(super) fn unknown_among(names: impl Iterator<Item = OsString>) -> Option<String> {
    let keys = keys();
    let names = names.filter_map(|name| name.into_string().ok());
    let mut unknown: Vec<String> = names.filter(|name| is_ours(name) && !is_of_a_section(&keys, name)).collect();
    unknown.sort_unstable();
    let told: Vec<String> = unknown.into_iter().map(|name| format!("{name}{}", meant(&keys, &name))).collect();
    let text = "variables of the environment that name no setting, and count for nothing";
    (!told.is_empty()).then(|| format!("{text}: {}", told.join(", ")))
}

/// Whether the variable has the form `CHAT_SECTION__…` of a section that there is.
pub(super) fn is_of_a_section(keys: &BTreeMap<String, Kind>, name: &str) -> bool {
    let Some((section, _)) = name[PREFIX.len()..].split_once(SEPARATOR) else { return false };
    keys.keys().any(|key| key.split('.').next().is_some_and(|known| known.eq_ignore_ascii_case(section)))
}

/// What a variable without a section was meant for, where only the separator is missing.
fn meant(keys: &BTreeMap<String, Kind>, name: &str) -> String {
    let bare = |name: &str| name.replace('_', "").to_uppercase();
    let meant = keys.keys().map(|key| variable(key)).find(|known| bare(known) == bare(name));
    meant.map_or_else(String::new, |known| format!(" (did you mean {known}?)"))
}

pub(super) fn is_ours(name: &str) -> bool {
    let is_harness = name.starts_with("CHAT_TEST_") || (name.ends_with("_IMAGE") && !name.contains(SEPARATOR));
    name.starts_with(PREFIX) && !is_harness && name != MIGRATE_FROM
}

/// Puts the variable's value in the place of the key it names.
pub(super) fn override_key(
    table: &mut Table,
    keys: &BTreeMap<String, Kind>,
    name: &str,
    value: Option<&str>,
) -> Result<(), Error> {
    let known = keys.iter().find(|(key, _)| variable(key) == name);
    let Some((key, kind)) = known else {
        let guess = name[PREFIX.len()..].to_lowercase().replace(SEPARATOR, ".");
        let hint =
            nearest_key(keys, &guess).map_or_else(String::new, |key| format!("; did you mean {}?", variable(key)));
        return Err(Error::Variable(format!("unknown variable {name}{hint}")));
    };
    // The value itself is not shown: it may be a URL with a password.
    let wrong = |expected: &str| Error::Variable(format!("{name} ({key}): expected {expected}"));
    let value = value.ok_or_else(|| wrong("UTF-8"))?;
    let value = match kind {
        Kind::Text => Value::String(value.to_owned()),
        Kind::Integer => Value::Integer(value.trim().parse().map_err(|_| wrong("an integer"))?),
        Kind::Switch => Value::Boolean(value.trim().parse().map_err(|_| wrong("true or false"))?),
    };
    let (section, key) = key.split_once('.').expect("every key has a section");
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    section.as_table_mut().expect("read_file lets only tables pass").insert(key.to_owned(), value);
    Ok(())
}

/// The variable that overrides `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', SEPARATOR).to_uppercase())
}
