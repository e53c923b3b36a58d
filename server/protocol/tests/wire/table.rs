//! PROTOCOL.md's table of messages is the catalogue: the same numbers, names, directions and fields, both ways. And the
//! catalogue's fields are those that are written.

use crate::document::{DOCUMENT, everything_said};
use chat_protocol::message::{CATALOGUE, Entry, Sender};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One message in one direction.
type Message = (u64, String, &'static str);
type Fields = BTreeSet<String>;

fn word(sender: Sender) -> &'static str {
    match sender {
        Sender::Client => "client",
        Sender::Node => "node",
    }
}

fn catalogue() -> BTreeMap<Message, Fields> {
    let fields = |entry: &Entry| entry.fields.iter().map(|field| field.to_string()).collect();
    CATALOGUE.iter().map(|entry| ((entry.number, entry.name.to_owned(), word(entry.sender)), fields(entry))).collect()
}

/// What stands in backticks, but for the fields of what is listed within braces.
fn fields_in(cell: &str) -> Fields {
    let mut depth = 0;
    let outside: String = cell
        .chars()
        .filter(|character| {
            depth += i32::from(*character == '{');
            depth -= i32::from(*character == '}');
            depth == 0
        })
        .collect();
    outside.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn table() -> BTreeMap<Message, Fields> {
    let mut rows = BTreeMap::new();
    let start = DOCUMENT.lines().skip_while(|line| !line.starts_with("| msgid | name |")).skip(2);
    for line in start.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, name, from, fields, _, _] = cells[..] else { panic!("a row of another shape: {line}") };
        for sender in [Sender::Client, Sender::Node].map(word).into_iter().filter(|sender| from.contains(sender)) {
            let number = number.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let before = rows.insert((number, name.to_owned(), sender), fields_in(fields));
            assert_eq!(before, None, "twice: {line}");
        }
    }
    rows
}

#[test]
fn table_of_messages_is_the_catalogue() {
    assert_eq!(table(), catalogue());
}

#[test]
fn catalogue_has_the_fields_that_are_written() {
    let mut written: BTreeMap<(u64, &str), Fields> = BTreeMap::new();
    for (sender, line) in everything_said() {
        let object: Value = serde_json::from_str(&line).expect("JSON");
        let number = object["msgid"].as_u64().expect("a number");
        let errors = object["errno"].as_u64().is_some_and(|errno| errno > 0) && number != 21;
        let fields = object.as_object().expect("an object").keys().filter(|_| !errors).cloned();
        written.entry((number, sender)).or_default().extend(fields);
    }
    for ((number, name, sender), fields) in catalogue() {
        let mut written = written.remove(&(number, sender)).unwrap_or_else(|| panic!("no example of {name}"));
        let beside = ["msgid", "mid", "errno", "id"].map(str::to_owned);
        written.retain(|field| fields.contains(field) || !beside.contains(field));
        assert_eq!(written, fields, "{name} from a {sender}");
    }
    assert!(written.is_empty(), "not in the catalogue: {written:?}");
}
