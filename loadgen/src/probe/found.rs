//! What a probe makes of what it saw: the shipped profile that says the same, or a file that does.

use crate::dialect::profile::{Done, Framing, Lists, LoginBy, Profile, SHIPPED, Types};
use serde::Serialize;
use serde_json::Value;

/// How sure it is that a run with this will measure the server and not a misunderstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sureness {
    /// Only a part was seen to work.
    Guess,
    /// Users can log in; no message was seen to arrive. Or no shipped profile says all that was seen.
    Likely,
    /// A message arrived, and a shipped profile says all that was seen.
    Sure,
}

/// One thing that users of a server do, and whether it was seen to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub what: &'static str,
    pub seen: bool,
    pub detail: String,
}

/// What a server speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// `framed`, `bare` or `checked`.
    pub dialect: &'static str,
    /// The shipped profile that fits best; none for `framed`, which needs none.
    pub profile: Option<&'static str>,
    pub sureness: Sureness,
    pub steps: Vec<Step>,
    /// Where no shipped profile fits: what differs from the best, by key.
    pub differs: Vec<String>,
    /// A profile file that says what was seen, where none is shipped.
    pub file: Option<String>,
    /// How to measure the server.
    pub command: String,
}

/// What was seen of a server. What is `None` was not.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub framing: Framing,
    pub type_key: &'static str,
    /// Those of the layout that the first answer fits, and what was seen to differ.
    pub types: Types,
    pub login_by: LoginBy,
    pub result: Option<&'static str>,
    pub done: Option<Done>,
    pub password: Option<&'static str>,
    pub to: Option<&'static str>,
    pub from: Option<&'static str>,
    pub friend: Option<&'static str>,
    pub text: Option<&'static str>,
    pub lists: Option<Lists>,
    pub offline: Option<String>,
    pub friends: Option<String>,
    /// One of our own nodes; and it was seen to speak the framed dialect.
    pub is_ours: bool,
    pub is_framed: bool,
}

impl Facts {
    /// A server with this framing and this number for registering.
    pub fn of(framing: Framing, register: u64) -> Facts {
        let shipped = shipped().map(|(_, profile)| profile);
        let fits = |profile: &Profile| {
            profile.types.register == register && (profile.framing == Framing::Checked) == (framing == Framing::Checked)
        };
        let types = shipped.filter(fits).map(|profile| profile.types).next().unwrap_or_default();
        Facts {
            framing,
            type_key: "",
            types,
            login_by: LoginBy::Id,
            result: None,
            done: None,
            password: None,
            to: None,
            from: None,
            friend: None,
            text: None,
            lists: None,
            offline: None,
            friends: None,
            is_ours: false,
            is_framed: false,
        }
    }

    /// The profile with all that was seen in place of what it says.
    fn corrected(&self, like: &Profile) -> Profile {
        let mut profile = like.clone();
        (profile.framing, profile.login_by) = (self.framing, self.login_by);
        (profile.type_key, profile.types) = (self.type_key.to_owned(), self.types.clone());
        if let Some(done) = &self.done {
            profile.done = done.clone();
        }
        if let Some(lists) = self.lists {
            profile.lists = lists;
        }
        let fields = &mut profile.fields;
        let seen = [
            (&mut fields.result, self.result),
            (&mut fields.password, self.password),
            (&mut fields.to, self.to),
            (&mut fields.from, self.from),
            (&mut fields.friend, self.friend),
            (&mut fields.text, self.text),
            (&mut fields.offline, self.offline.as_deref()),
            (&mut fields.friends, self.friends.as_deref()),
        ];
        for (field, name) in seen {
            // Lists are found whatever their capitals.
            if let Some(name) = name.filter(|name| !field.eq_ignore_ascii_case(name) || field.len() < name.len()) {
                *field = name.to_owned();
            }
        }
        profile
    }
}

fn shipped() -> impl Iterator<Item = (&'static str, Profile)> {
    SHIPPED.into_iter().filter_map(|(name, _)| Some((name, Profile::find(name).ok()?)))
}

/// A key of a profile, in its table where it has one, and its value. JSON's strings, numbers and lists are TOML's.
struct Difference {
    table: Option<String>,
    line: String,
}

/// The keys in which two profiles differ, with the other's values.
fn differences(one: &Profile, other: &Profile) -> Vec<Difference> {
    let [one, other] = [one, other].map(|profile| serde_json::to_value(profile).unwrap_or_default());
    let mut differences = Vec::new();
    let mut compare = |table: Option<&String>, key: &String, one: &Value, other: &Value| {
        if one != other && !other.is_null() && key != "description" {
            differences.push(Difference { table: table.cloned(), line: format!("{key} = {other}") });
        }
    };
    for (key, value) in other.as_object().into_iter().flatten() {
        match value.as_object() {
            None => compare(None, key, &one[key], value),
            Some(inner) => inner.iter().for_each(|(name, value)| compare(Some(key), name, &one[key][name], value)),
        }
    }
    differences
}

/// A profile file that says what differs from the course.
fn file(profile: &Profile) -> String {
    let mut differences = differences(&Profile::default(), profile);
    differences.sort_by(|one, other| one.table.cmp(&other.table));
    let mut text = String::new();
    for of_table in differences.chunk_by(|one, other| one.table == other.table) {
        if let Some(table) = &of_table[0].table {
            text.push_str(&format!("[{table}]\n"));
        }
        of_table.iter().for_each(|difference| text.push_str(&format!("{}\n", difference.line)));
    }
    text
}

pub(super) fn conclude(target: &str, facts: &Facts, steps: Vec<Step>) -> Found {
    let seen = |what: &str| steps.iter().any(|step| step.what == what && step.seen);
    let sureness = match (seen("delivers to who is there"), seen("logs in")) {
        (true, _) => Sureness::Sure,
        (false, true) => Sureness::Likely,
        _ => Sureness::Guess,
    };
    if facts.is_framed {
        let command = format!("loadgen run --target {target}");
        return Found { dialect: "framed", profile: None, sureness, steps, differs: Vec::new(), file: None, command };
    }
    let fitting = shipped().map(|(name, profile)| {
        let corrected = facts.corrected(&profile);
        (differences(&profile, &corrected), name, corrected)
    });
    let Some((differs, name, corrected)) = fitting.min_by_key(|(differs, ..)| differs.len()) else {
        unreachable!("profiles are shipped");
    };
    let dialect = if facts.framing == Framing::Checked { "checked" } else { "bare" };
    let fits = differs.is_empty();
    let file = (!fits).then(|| file(&corrected));
    let differs = differs.into_iter().map(|difference| match difference.table {
        Some(table) => format!("{table}.{}", difference.line),
        None => difference.line,
    });
    let differs = differs.collect();
    let sureness = if fits { sureness } else { sureness.min(Sureness::Likely) };
    let profile = if fits { name } else { "FILE" };
    let command = format!("loadgen run --target {target} --profile {profile}");
    Found { dialect, profile: Some(name), sureness, steps, differs, file, command }
}
